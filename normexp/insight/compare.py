"""The values of one field compared over stored runs, everything else alike."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.config.data import ANSWERS
from normexp.config.field import Scalar, spell
from normexp.config.identity import between, in_order, varying
from normexp.config.norm import ESTIMATOR_FIELDS, unread
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import known_keys, specs_of
from normexp.errors import NotFoundError, UsageError, did_you_mean
from normexp.insight.comparison import ArmComparison, Row, compare_arms
from normexp.store.layout import look_around
from normexp.store.selection import select
from normexp.store.stored import FINAL, whole_runs
from normexp.study.asked import ANY_RUN, Where

NO_FIELD = "no such field"


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


def compare_field(  # noqa: PLR0913
    wanted: str,
    field: str,
    *,
    metric: str = "test_loss",
    store: Path = Path("runs"),
    where: Where = ANY_RUN,
    lost: list[Path] | None = None,
) -> FieldReport:
    """Compare the values of a field with a baseline, within each combination of the others.

    Args:
        wanted: a study or a sweep, by name, id or path.
        field: dotted, or the name of a group for its kind; `=VALUE` names the baseline, else it is
            the schema's default, or the first value.
        metric: a final metric of the runs.
        store: where studies are looked for.
        where: fields that the runs must have.
        lost: gets the directories of damaged runs.

    Raises:
        NotFoundError: no such study.
        UsageError: no such field, value or metric, or nothing to compare.
    """
    selection = select(store, wanted, where)
    rows = [run.row for run in whole_runs(selection.runs, lost)]
    if not rows:
        raise NotFoundError(f"no complete run in {wanted}", look_around(store))
    name, equals, typed = field.partition("=")
    path = _path(name, rows)
    there = [name for name in FINAL if any(row.get(name) is not None for row in rows)]
    if metric not in there:
        raise UsageError(
            f"unknown metric {metric!r}; these runs have {', '.join(there)}",
            did_you_mean(metric, there, "type --metric test_loss"),
        )
    present = [row for row in rows if path in row]
    baseline = _typed_baseline(path, present, typed) if equals else baseline_of(path, present)
    found = tuple(comparisons(path, baseline, present, metric))
    if not found:
        raise UsageError(
            f"no run with another {name} than {spell(baseline)} is otherwise like one with it",
            f"type normexp sweep with {name}={spell(baseline)},OTHER, everything else alike",
        )
    return FieldReport(str(selection.root), path, baseline, metric, found)


def report_numbers(report: FieldReport) -> dict[str, Any]:
    """Return a report as data."""
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


def comparisons(
    path: str, baseline: Scalar, rows: Sequence[Row], metric: str
) -> Iterator[FieldComparison]:
    """Compare every arm with the baseline's value with every other arm, cell by cell.

    Arms of a kind differ in the fields that only some choices of the group have; arms of an
    estimator in those that others do not read, which have to agree where both sides read them.
    """
    following = ESTIMATOR_FIELDS if path == "norm.estimator" else ()
    group = path.removesuffix("kind") if path.endswith(".kind") else path
    differing = [each for each in varying(rows) if each not in (path, "seed")]
    own = [p for p in differing if p in following or (group != path and p.startswith(group))]
    outside, own = [each for each in differing if each not in own], [path, *own]
    for members in _grouped(outside, rows):
        arms = _grouped(own, members)
        for first in [arm for arm in arms if arm[0][path] == baseline]:
            for second in [arm for arm in arms if arm[0][path] != baseline]:
                one, other = first[0], second[0]
                read = {*following} & one.keys() & other.keys() - unread(one) - unread(other)
                if any(one[each] != other[each] for each in read):
                    continue
                yield FieldComparison(
                    {p: members[0][p] for p in outside if p in members[0]},
                    {p: one[p] for p in own if p in one},
                    {p: other[p] for p in own if p in other},
                    tuple(
                        p for p in between(one, other) if p not in own and not p.startswith(group)
                    ),
                    compare_arms(first, second, metric),
                )


def baseline_of(path: str, rows: Sequence[Row]) -> Any:  # noqa: ANN401  a value of any field
    """The schema's default of a field where these runs have it, else the first of their values."""
    values = in_order(path, [row[path] for row in rows])
    if path.endswith(".kind"):
        return values[0]
    default = specs_of(rows[0])[path].default
    return default if default in values else values[0]


def _path(name: str, rows: Sequence[Row]) -> str:
    """The field that was typed.

    Raises:
        UsageError: no such field, or nothing differs in it here.
    """
    path = f"{name}.kind" if name in IDENTITY_GROUPS else name
    there = [each for each in varying(rows) if each not in (*ANSWERS, "seed")]
    names = ", ".join(each.removesuffix(".kind") for each in there) or "none"
    if path == "seed":
        raise UsageError("seeds are what is averaged over", f"fields that differ here: {names}")
    if path not in known_keys():
        raise UsageError(
            f"unknown field {name!r}", did_you_mean(name, known_keys(), f"there differ: {names}")
        )
    if path in ANSWERS:
        raise UsageError(
            f"{name} says which data these are, and losses on different data are not compared",
            f"fields that differ here: {names}",
        )
    if path not in there:
        value = next((f", {spell(row[path])}" for row in rows if path in row), "")
        raise UsageError(
            f"{name} has one value in these runs{value}" if value else f"no run here has {name}",
            f"fields that differ here: {names}",
        )
    return path


def _typed_baseline(path: str, rows: Sequence[Row], typed: str) -> Any:  # noqa: ANN401
    """The value that was typed, as a text or as a number in any spelling.

    Raises:
        UsageError: no run has it.
    """
    values, number = in_order(path, [row[path] for row in rows]), math.nan
    with suppress(ValueError):
        number = float(typed)
    for value in values:
        if typed == spell(value) or number == value:
            return value
    short = path.removesuffix(".kind")
    raise UsageError(
        f"no run here has {short}={typed}; there is {', '.join(map(spell, values))}",
        f"type {short}={spell(values[0])}",
    )


def _grouped(fields: Sequence[str], rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by the values of these fields, absent ones included, in the order of the values."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(repr([row.get(each, NO_FIELD) for each in fields]), []).append(row)
    rank = ranking(fields, rows)
    return sorted(grouped.values(), key=lambda members: rank(members[0]))


def ranking(fields: Sequence[str], rows: Sequence[Row]) -> Callable[[Row], list[int]]:
    """A key that sorts rows by the values of fields; a row without a field comes first."""
    ranks = {
        each: {
            repr(value): rank
            for rank, value in enumerate(in_order(each, [r[each] for r in rows if each in r]))
        }
        for each in fields
    }
    return lambda row: [ranks[p][repr(row[p])] if p in row else -1 for p in fields]
