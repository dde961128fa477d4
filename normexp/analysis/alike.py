"""Arms that are alike but for one field, found among rows and compared."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from normexp.analysis.arms import Row
from normexp.analysis.pairing import ArmComparison, compare_arms, differing_fields
from normexp.config.field import Role, Scalar
from normexp.config.norm import ESTIMATOR_FIELDS, unread
from normexp.config.schema import IDENTITY_GROUPS, KINDS
from normexp.config.tree import known_keys, specs_of

NO_FIELD = "no such field"

FOLLOWING = {"norm.estimator": ESTIMATOR_FIELDS}
"""Fields that some values of a field do not read, see `normexp.config.norm.unread`."""


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


def comparisons(
    path: str, baseline: Scalar, rows: Sequence[Row], metric: str
) -> Iterator[FieldComparison]:
    """Every arm with the baseline's value against every arm with another, cell by cell."""
    own = _own(path, rows)
    outside = [each for each in differing(rows) if each not in own]
    for members in _cells(outside, rows):
        cell = {p: members[0][p] for p in outside if p in members[0]}
        arms = _arms(own, members)
        for values, first in arms:
            for others, second in arms:
                wanted = values[path] == baseline and others[path] != baseline
                if wanted and _match(path, first[0], second[0]):
                    yield FieldComparison(
                        cell,
                        values,
                        others,
                        _also(own, first[0], second[0]),
                        compare_arms(first, second, metric),
                    )


def differing(rows: Sequence[Row]) -> list[str]:
    """The fields that tell the runs apart: what differs between runs of the same kinds, and kinds.

    A field that merely follows from the choice of a kind is none of them; seeds are not.
    """
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(row[group] for group in IDENTITY_GROUPS), []).append(row)
    found = {
        path
        for members in alike.values()
        for path, spec in specs_of(members[0]).items()
        if spec.rule.role is not Role.RUNTIME
        and path != "seed"
        and len({repr(row.get(path)) for row in members}) > 1
    }
    kinds = [f"{group}.kind" for group in IDENTITY_GROUPS]
    found |= {path for path, *values in zip(kinds, *alike, strict=True) if len({*values}) > 1}
    return [path for path in known_keys() if path in found]


def in_order(path: str, values: Iterable[Any]) -> list[Any]:
    """Each value once: kinds as the schema has them, numbers by size, texts as they come."""
    found = list({repr(value): value for value in values}.values())
    if path.endswith(".kind"):
        return [kind for kind in KINDS[path.removesuffix(".kind")] if kind in found]
    if all(value is None or isinstance(value, int | float) for value in found):
        return sorted(found, key=lambda value: (value is None, value or 0))
    return found


def _own(path: str, rows: Sequence[Row]) -> list[str]:
    """The compared field; of a kind, with the fields that only some choices of the group have."""
    if not path.endswith(".kind"):
        following = FOLLOWING.get(path, ())
        return [path, *(each for each in differing(rows) if each in following)]
    group = path.removesuffix("kind")
    return [path, *(each for each in differing(rows) if each.startswith(group) and each != path)]


def _match(path: str, first: Row, second: Row) -> bool:
    """Whether the fields that follow agree, where both sides read them."""
    read = [each for each in FOLLOWING.get(path, ()) if each in first and each in second]
    return all(
        first[each] == second[each]
        for each in read
        if each not in unread(first) and each not in unread(second)
    )


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
            for rank, value in enumerate(in_order(each, [r[each] for r in rows if each in r]))
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
