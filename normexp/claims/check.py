"""Checking claims: run or read the studies behind them, judge, and report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from normexp.claims import momentum, norms
from normexp.claims.criteria import Cell, Claim, Frames, Settled, Verdict, verdict
from normexp.claims.studies import IDENTITIES, NOT_CHECKABLE, STUDIES
from normexp.config.field import quoted
from normexp.errors import UsageError, did_you_mean
from normexp.store.stored import Stored
from normexp.sweeps.plan import Plan
from normexp.sweeps.sweep import plan, study_directory


def _in_order(each: Claim | Settled) -> tuple[str, int]:
    source, _, number = each.id.partition(".")
    return source, int(number)


CLAIMS: tuple[Claim, ...] = tuple(sorted((*momentum.CLAIMS, *norms.CLAIMS), key=_in_order))
"""Those that runs judge, in the order of the sources."""

SETTLED: tuple[Settled, ...] = (*IDENTITIES, *NOT_CHECKABLE)

SOURCES = {
    "S0": "momentum convention on a small classifier",
    "S1": "batch norm against none, regression",
    "S2": "moving averages of batch norm",
    "S3": "LeNet with batch norm",
    "S4": "batch, layer, instance and group norm",
}
"""The subject of each source."""

Sweep = Callable[[str, Sequence[str]], list[str]]
"""Runs a study by its name and overrides; returns the ids of runs that failed."""


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict."""

    claim: Claim
    verdict: Verdict
    cells: tuple[Cell, ...]

    @property
    def is_surprise(self) -> bool:
        """True if a decided verdict is another than was expected."""
        return self.verdict != "undecided" and self.claim.expected not in (None, self.verdict)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions under which the claim holds."""
        return tuple(cell.where for cell in self.cells if cell.holds and cell.posed)


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on some claims.

    Attributes:
        judged: by runs, in the order of the sources.
        settled: identities, and what cannot be checked.
        studies: directory and number of runs of each study that was used, by name.
        failed: ids of runs that failed.
        warnings: of stored runs whose numbers may be others today.
    """

    judged: tuple[Judged, ...]
    settled: tuple[Settled, ...]
    studies: dict[str, tuple[str, int]]
    failed: tuple[str, ...]
    warnings: tuple[str, ...]


def select(wanted: Sequence[str]) -> tuple[list[Claim], list[Settled]]:
    """Return the claims of these sources or ids; all of them if none is named.

    Raises:
        UsageError: there is no such claim or source.
    """
    known: list[Claim | Settled] = [*CLAIMS, *SETTLED]
    ids = [each.id for each in sorted(known, key=_in_order)]
    chosen = {name.upper() for name in wanted}
    for name in wanted:
        if name.upper() not in {*ids, *SOURCES}:
            raise UsageError(
                f"no claim {name!r}; there is {ids[0]} to {ids[-1]}",
                did_you_mean(name.upper(), [*ids, *SOURCES], "type normexp claims --list"),
            )
    asked = {each for each in ids if not chosen or {each, each.partition(".")[0]} & chosen}
    return [c for c in CLAIMS if c.id in asked], [s for s in SETTLED if s.id in asked]


def check(
    claims: Sequence[Claim], settled: Sequence[Settled], store: Path, sweep: Sweep
) -> Verdicts:
    """Judge claims by the runs in a store; what is missing there is swept first."""
    from normexp.numerics import one_thread  # PyTorch, which --list does not need

    frames: dict[str, pd.DataFrame] = {}
    places: dict[str, tuple[str, int]] = {}
    failed: list[str] = []
    warnings: dict[str, None] = {}
    for name in (name for name in STUDIES if any(name in claim.studies for claim in claims)):
        overrides = (*STUDIES[name], f"store.dir={quoted(str(store))}")
        planned = plan(overrides)
        if planned.stacks:
            failed += sweep(name, overrides)
        frames[name] = _frame(planned)
        warnings |= dict.fromkeys(planned.warnings)
        places[name] = str(study_directory(planned.study).path), len(frames[name])
    with one_thread():  # small tensors: more threads would only wait for each other
        found = tuple(judged(claim, frames) for claim in claims)
    return Verdicts(found, tuple(settled), places, tuple(failed), tuple(warnings))


def judged(claim: Claim, frames: Frames) -> Judged:
    """Return the verdict on a claim; undecided where the runs of a study are missing."""
    there = all(not frames.get(name, pd.DataFrame()).empty for name in claim.studies)
    cells = tuple(condition(frames) for condition in claim.conditions) if there else ()
    return Judged(claim, verdict(cells), cells)


def as_data(found: Verdicts) -> dict[str, Any]:
    """Return verdicts as data, every run's id included."""
    return {
        "claims": [
            {
                **described(each.claim),
                "verdict": each.verdict,
                "holds_where": list(each.conditions),
                "as_expected": not each.is_surprise,
                "cells": [asdict(cell) for cell in each.cells],
            }
            for each in found.judged
        ],
        "settled": [asdict(each) for each in found.settled],
        "studies": {
            name: {"overrides": list(STUDIES[name]), "directory": place, "runs": number}
            for name, (place, number) in found.studies.items()
        },
        "failed_runs": list(found.failed),
        "warnings": list(found.warnings),
    }


def described(claim: Claim) -> dict[str, Any]:
    """Return a claim as data, without its conditions."""
    names = ("id", "text", "criterion", "measure", "studies", "expected", "because")
    return {name: getattr(claim, name) for name in names}


def _frame(planned: Plan) -> pd.DataFrame:
    """Return a study's stored runs as a frame, one row a run."""
    there = study_directory(planned.study).intact_runs([run.id for run in planned.study.runs])
    return pd.DataFrame([Stored(path, manifest).row for _, path, manifest in there])
