"""Comparing the values of one field over stored runs, everything else alike."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.analysis.alike import (
    FieldComparison,
    comparisons,
    differing,
    in_order,
)
from normexp.analysis.arms import Row
from normexp.config.data import ANSWERS
from normexp.config.differences import completed
from normexp.config.field import spell
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import known_keys, specs_of
from normexp.errors import NotFoundError, UsageError, did_you_mean
from normexp.store.files import intact
from normexp.store.layout import look_around
from normexp.store.rows import FINAL, rows_of
from normexp.trust.selection import Selection, select


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
        wanted: a study or a sweep, by name, id or path.
        field: dotted, or the name of a group for its kind; `=VALUE` names the baseline, else it is
            the schema's default, or the first value.
        metric: a final metric of the runs.
        store: where studies are looked for.

    Raises:
        NotFoundError: no such study.
        UsageError: no such field, value or metric, or nothing to compare.
    """
    selection = select(store, wanted)
    rows = _rows(selection)
    if not rows:
        raise NotFoundError(f"no complete run in {wanted}", look_around(store))
    name, equals, typed = field.partition("=")
    path = _path(name, rows)
    _check_metric(metric, rows)
    present = [row for row in rows if path in row]
    baseline = _baseline(path, present, typed if equals else None)
    found = tuple(comparisons(path, baseline, present, metric))
    if not found:
        raise UsageError(
            f"no run with another {name} than {spell(baseline)} is otherwise like one with it",
            f"type normexp sweep with {name}={spell(baseline)},OTHER, everything else alike",
        )
    return FieldReport(str(selection.root), path, baseline, metric, found)


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


def _rows(selection: Selection) -> list[Row]:
    """The rows of all complete runs."""
    paths = [path for path in selection.runs if intact(path) is not None]
    return [completed(row) for row in rows_of(paths)]


def _path(name: str, rows: Sequence[Row]) -> str:
    """The field that was typed.

    Raises:
        UsageError: no such field, or nothing differs in it here.
    """
    path = f"{name}.kind" if name in IDENTITY_GROUPS else name
    there = [each for each in differing(rows) if each not in ANSWERS]
    told = ", ".join(_short(each) for each in there) or "none"
    if path == "seed":
        raise UsageError("seeds are what is averaged over", f"fields that differ here: {told}")
    if path not in known_keys():
        raise UsageError(
            f"unknown field {name!r}", did_you_mean(name, known_keys(), f"there differ: {told}")
        )
    if path in ANSWERS:
        raise UsageError(
            f"{name} says which data these are, and losses on different data are not compared",
            f"fields that differ here: {told}",
        )
    if path not in there:
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
    values = in_order(path, [row[path] for row in rows])
    if typed is None:
        default = values[0] if path.endswith(".kind") else specs_of(rows[0])[path].default
        return default if default in values else values[0]
    for value in values:
        if typed == spell(value) or _same_number(typed, value):
            return value
    raise UsageError(
        f"no run here has {_short(path)}={typed}; there is {', '.join(map(spell, values))}",
        f"type {_short(path)}={spell(values[0])}",
    )


def _same_number(typed: str, value: object) -> bool:
    try:
        return isinstance(value, float | int) and float(typed) == value
    except ValueError:
        return False


def _short(path: str) -> str:
    return path.removesuffix(".kind")
