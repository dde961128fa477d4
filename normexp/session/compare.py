"""Comparing the values of one field over stored runs, everything else alike."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.analysis.arms import Row
from normexp.analysis.pairing import ArmComparison, compare_arms, differing_fields
from normexp.config.field import FieldSpec, Role, Rule, Scalar, specs, spell
from normexp.config.norm import BatchNorm
from normexp.config.schema import IDENTITY_GROUPS, KINDS
from normexp.config.tree import field_specs, known_keys, nest
from normexp.errors import NotFoundError, UsageError
from normexp.registry import did_you_mean
from normexp.store.layout import look_around, studies
from normexp.store.rows import FINAL

NO_FIELD = "no such field"

MOMENTUM = "norm.momentum"

FOLLOWING = {
    "norm.estimator": (
        MOMENTUM,
        "norm.window",
        "norm.mix",
        "norm.momentum_schedule",
        "norm.final_momentum",
        "norm.initial_mean",
        "norm.initial_var",
        "norm.running_variance",
    )
}
"""Fields that some values of a field do not read, and are then settled: at null, or the default."""


@dataclass(frozen=True)
class FieldComparison:
    """One value of a field against its baseline, in one combination of all other fields.

    Attributes:
        cell: the other differing fields and their values, alike on both sides.
        baseline: the compared field's value, and those that only its choice has.
        other: the same.
        also: fields that differ as well, since they follow from the choice.
        found: the numbers.
    """

    cell: dict[str, Any]
    baseline: dict[str, Any]
    other: dict[str, Any]
    also: tuple[str, ...]
    found: ArmComparison


@dataclass(frozen=True)
class FieldReport:
    """All comparisons of one field."""

    source: str
    field: str
    baseline: Any
    metric: str
    comparisons: tuple[FieldComparison, ...]


def compare_field(
    wanted: str, field: str, *, metric: str = "test_loss", store: Path = Path("runs")
) -> FieldReport:
    """Compare the values of a field with a baseline, within each combination of the others.

    Args:
        wanted: a study's name, or the directory of a study or a sweep.
        field: dotted, or the name of a group for its kind; `=VALUE` names the baseline, else it is
            the schema's default, or the first value.
        metric: a final metric of the runs.
        store: where studies are looked for.

    Raises:
        NotFoundError: no such study.
        UsageError: no such field, value or metric, or nothing to compare.
    """
    place = _place(wanted, store)
    rows = _rows(place)
    name, equals, typed = field.partition("=")
    path = _path(name, rows)
    _check_metric(metric, rows)
    present = [row for row in rows if path in row]
    baseline = _baseline(path, present, typed if equals else None)
    found = tuple(_comparisons(path, baseline, present, metric))
    if not found:
        raise UsageError(
            f"no run with another {path} than {spell(baseline)} is otherwise like one with it",
            f"type normexp sweep with {path}={spell(baseline)},OTHER and everything else alike",
        )
    return FieldReport(str(place), path, baseline, metric, found)


def report_numbers(report: FieldReport) -> dict[str, Any]:
    """A report as data."""
    return {
        "source": report.source,
        "field": report.field,
        "baseline": report.baseline,
        "metric": report.metric,
        "comparisons": [
            {
                "cell": each.cell,
                "baseline": each.baseline,
                "other": each.other,
                "also_differing": list(each.also),
                "pairing": each.found.pairing,
                **asdict(each.found.result),
                "diverged": each.found.diverged,
                "unmatched": each.found.unmatched,
                "run_ids": list(each.found.run_ids),
            }
            for each in report.comparisons
        ],
    }


def _place(wanted: str, store: Path) -> Path:
    """The directory that is meant.

    Raises:
        NotFoundError: there is none.
    """
    known = {study.path.name: study.path for study in studies(store)}
    if wanted in known:
        return known[wanted]
    if wanted and Path(wanted).is_dir():
        return Path(wanted)
    hint = did_you_mean(wanted, known, look_around(store))
    raise NotFoundError(f"no study or sweep {wanted!r} in {store}", hint)


def _rows(place: Path) -> list[Row]:
    from normexp.store.read import run_directories  # PyArrow
    from normexp.store.rows import rows_of

    return [_completed(row) for row in rows_of(run_directories(place))]


def _completed(row: Row) -> Row:
    """A row with the fields that the schema has got since: at the values that name the same run."""
    later = {
        path: spec.rule.neutral
        for path, spec in _specs(row).items()
        if path not in row and spec.rule.neutral != Rule.neutral
    }
    return {**row, **later}


def _path(name: str, rows: Sequence[Row]) -> str:
    """The field that was typed.

    Raises:
        UsageError: no such field, or nothing differs in it here.
    """
    path = f"{name}.kind" if name in IDENTITY_GROUPS else name
    differing = _differing(rows)
    told = ", ".join(_short(each) for each in differing) or "none"
    if path == "seed":
        raise UsageError("seeds are what is averaged over", f"fields that differ here: {told}")
    if path not in known_keys():
        raise UsageError(
            f"unknown field {name!r}", did_you_mean(name, known_keys(), f"there differ: {told}")
        )
    if path not in differing:
        value = next((f", {spell(row[path])}" for row in rows if path in row), "")
        raise UsageError(
            f"{name} has one value in these runs{value}" if value else f"no run here has {name}",
            f"fields that differ here: {told}",
        )
    return path


def _check_metric(metric: str, rows: Sequence[Row]) -> None:
    there = [name for name in FINAL if any(row.get(name) is not None for row in rows)]
    if metric not in there:
        raise UsageError(
            f"unknown metric {metric!r}; these runs have {', '.join(there)}",
            did_you_mean(metric, there, "type --metric test_loss"),
        )


def _baseline(path: str, rows: Sequence[Row], typed: str | None) -> Any:  # noqa: ANN401
    """The value that others are compared with.

    Raises:
        UsageError: what was typed is no value of these runs.
    """
    values = _in_order(path, [row[path] for row in rows])
    if typed is None:
        default = values[0] if path.endswith(".kind") else _specs(rows[0])[path].default
        return default if default in values else values[0]
    for value in values:
        if typed == spell(value) or _same_number(typed, value):
            return value
    raise UsageError(
        f"no run here has {path}={typed}; there is {', '.join(map(spell, values))}",
        f"type {_short(path)}={spell(values[0])}",
    )


def _same_number(typed: str, value: object) -> bool:
    try:
        return isinstance(value, float | int) and float(typed) == value
    except ValueError:
        return False


def _in_order(path: str, values: Iterable[Any]) -> list[Any]:
    """Each value once: kinds as the schema has them, numbers by size, texts as they come."""
    found = list({repr(value): value for value in values}.values())
    if path.endswith(".kind"):
        return [kind for kind in KINDS[path.removesuffix(".kind")] if kind in found]
    if all(value is None or isinstance(value, int | float) for value in found):
        return sorted(found, key=lambda value: (value is None, value or 0))
    return found


def _comparisons(
    path: str, baseline: Scalar, rows: Sequence[Row], metric: str
) -> Iterator[FieldComparison]:
    """Every arm with the baseline's value against every arm with another, cell by cell."""
    own = _own(path, rows)
    outside = [each for each in _differing(rows) if each not in own]
    for members in _cells(outside, rows):
        cell = {p: members[0][p] for p in outside if p in members[0]}
        arms = _arms(own, members)
        for values, first in arms:
            for others, second in arms:
                wanted = values[path] == baseline and others[path] != baseline
                if wanted and _match(path, values, others):
                    yield FieldComparison(
                        cell,
                        values,
                        others,
                        _also(own, first[0], second[0]),
                        compare_arms(first, second, metric),
                    )


def _match(path: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the fields that follow agree, as far as both sides read them."""
    return all(
        first[each] == second[each] or {None, _default(each)} & {first[each], second[each]}
        for each in FOLLOWING.get(path, ())
        if each in first and each in second
    )


def _default(path: str) -> Scalar:
    """What a field is settled to where it is not read; momentum to null."""
    default: Scalar = specs(BatchNorm)[path.removeprefix("norm.")].default
    return None if path == MOMENTUM else default


def _own(path: str, rows: Sequence[Row]) -> list[str]:
    """The compared field; of a kind, with the fields that only some choices of the group have."""
    if not path.endswith(".kind"):
        following = FOLLOWING.get(path, ())
        return [path, *(each for each in _differing(rows) if each in following)]
    group = path.removesuffix("kind")
    return [path, *(each for each in _differing(rows) if each.startswith(group) and each != path)]


def _arms(own: Sequence[str], rows: Sequence[Row]) -> list[tuple[dict[str, Any], list[Row]]]:
    """The rows by the values of these fields, in the order of the values."""
    grouped: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in rows:
        values = {each: row[each] for each in own if each in row}
        grouped.setdefault(repr(values), (values, []))[1].append(row)
    rank = _ranking(own, rows)
    return sorted(grouped.values(), key=lambda arm: rank(arm[1][0]))


def _cells(outside: Sequence[str], rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by the values of these fields, absent ones included, in the order of the values."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(repr([row.get(each, NO_FIELD) for each in outside]), []).append(row)
    rank = _ranking(outside, rows)
    return sorted(grouped.values(), key=lambda members: rank(members[0]))


def _ranking(fields: Sequence[str], rows: Sequence[Row]) -> Callable[[Row], list[int]]:
    """What orders rows by the values of these fields; a row without a field comes first."""
    ranks = {
        each: {
            repr(value): rank
            for rank, value in enumerate(_in_order(each, [r[each] for r in rows if each in r]))
        }
        for each in fields
    }
    return lambda row: [ranks[p][repr(row[p])] if p in row else -1 for p in fields]


def _also(own: Sequence[str], first: Row, second: Row) -> tuple[str, ...]:
    """What else differs between two arms of one cell: it follows from the choice."""
    group = own[0].removesuffix("kind") if own[0].endswith(".kind") else own[0]
    return tuple(
        path
        for path in differing_fields(first, second)
        if path not in own and not path.startswith(group)
    )


def _differing(rows: Sequence[Row]) -> list[str]:
    """The fields that tell the runs apart: what differs between runs of the same kinds, and kinds.

    A field that merely follows from the choice of a kind is none of them; seeds are not.
    """
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(row[group] for group in IDENTITY_GROUPS), []).append(row)
    found = {
        path
        for members in alike.values()
        for path, spec in _specs(members[0]).items()
        if spec.rule.role is not Role.RUNTIME
        and path != "seed"
        and len({repr(row.get(path)) for row in members}) > 1
    }
    kinds = [f"{group}.kind" for group in IDENTITY_GROUPS]
    found |= {path for path, *values in zip(kinds, *alike, strict=True) if len({*values}) > 1}
    return [path for path in known_keys() if path in found]


def _specs(row: Row) -> dict[str, FieldSpec]:
    return field_specs(nest({path: value for path, value in row.items() if "." in path}))


def _short(path: str) -> str:
    return path.removesuffix(".kind")
