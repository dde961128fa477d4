"""How far two tables of one run are apart, column by column and step by step.

A deviation is relative to the largest number of its column at its step and layer, so that a mean
near zero beside means of one counts as what it is. Shares and logarithms are compared as they are,
and an excess loss, a difference of two losses, in units of the test loss.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from normexp.store.columns import TABLES

Numbers = np.ndarray[Any, Any]

ABSOLUTE = ("accuracy", "log_var_ratio")
"""Parts of the names of columns that are compared as they are."""

UNIT_OF = {"excess_loss": "test_loss"}
"""A column, and the one whose size it is compared with."""

ROWS = "rows"
"""Stands for a column where tables have other rows."""


@dataclass(frozen=True)
class Deviation:
    """How far a column is from what is recorded; nan beside a number is infinitely far.

    Attributes:
        first_step: where they first differ.
        largest: deviation at any step.
        early: largest deviation up to the step that is asked for.
    """

    first_step: int
    largest: float
    early: float


def deviations(table: str, recorded: pa.Table, found: pa.Table, until: int) -> dict[str, Deviation]:
    """The columns that differ, and how far.

    Args:
        table: its name in `TABLES`.
        recorded: as stored.
        found: as made again.
        until: the last step that `early` counts.
    """
    if recorded.num_rows != found.num_rows:
        return {ROWS: _infinite(_first_other_row(recorded, found), until)}
    places = _places(recorded)
    steps = recorded["step"].to_numpy()
    names = dict.fromkeys([*recorded.column_names, *found.column_names])
    result = {}
    for name in names:
        if name not in recorded.column_names or name not in found.column_names:
            result[name] = _infinite(int(steps[0]) if len(steps) else 0, until)
            continue
        far = _distance(table, name, recorded, found, places)
        if far.any():
            early = far[steps <= until]
            first = int(steps[np.flatnonzero(far)[0]])
            result[name] = Deviation(first, float(far.max()), float(early.max(initial=0.0)))
    return result


def _infinite(step: int, until: int) -> Deviation:
    return Deviation(step, float("inf"), float("inf") if step <= until else 0.0)


def _first_other_row(recorded: pa.Table, found: pa.Table) -> int:
    """The step of the first row that only one of two tables has."""
    short, long = sorted((recorded["step"].to_numpy(), found["step"].to_numpy()), key=len)
    other = np.flatnonzero(short != long[: len(short)])
    row = int(other[0]) if len(other) else len(short)
    return int(long[row])


def _places(table: pa.Table) -> Numbers:
    """A number for every row, equal for rows of one step and layer."""
    steps: Numbers = np.unique(table["step"].to_numpy(), return_inverse=True)[1]
    if "layer" in table.column_names:
        codes = np.unique(_texts(table, "layer"), return_inverse=True)[1]
        steps = steps * (int(codes.max(initial=0)) + 1) + codes
    return steps


def _distance(
    table: str, name: str, recorded: pa.Table, found: pa.Table, places: Numbers
) -> Numbers:
    """How far every row of a column is off; 0 where it is equal."""
    if _kind(table, name) in ("int", "text"):
        other = _texts(recorded, name) != _texts(found, name)
        return np.where(other, np.inf, 0.0)
    old, new = _floats(recorded, name), _floats(found, name)
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    unit = UNIT_OF.get(name, name)
    with np.errstate(all="ignore"):
        size = _sizes(_floats(recorded, unit), _floats(found, unit), places)
        if any(part in name for part in ABSOLUTE):
            size = np.ones_like(size)
        far = np.abs(new - old) / size
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))


def _sizes(old: Numbers, new: Numbers, places: Numbers) -> Numbers:
    """The largest finite number of the same step and layer in either, for every row."""
    largest = np.zeros(int(places.max(initial=0)) + 1)
    for values in (old, new):
        np.maximum.at(largest, places, np.nan_to_num(np.abs(values), posinf=0.0))
    return largest[places]


def _floats(table: pa.Table, name: str) -> Numbers:
    values: Numbers = table[name].to_numpy().astype(np.float64)
    return values


def _texts(table: pa.Table, name: str) -> Numbers:
    values: Numbers = table[name].cast(pa.string()).to_numpy().astype(str)
    return values


@cache
def _kind(table: str, name: str) -> str:
    """Of a column as documented; one that is not is read as text."""
    return next((column.kind for column in TABLES.get(table, ()) if column.name == name), "text")
