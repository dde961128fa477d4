"""Checking claims: run or read the studies behind them, judge, and report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.analysis.arms import Row
from normexp.claims import s0, s1, s2, s3, s4
from normexp.claims.claim import Cell, Claim, Verdict, verdict
from normexp.claims.evidence import Evidence
from normexp.claims.studies import STUDIES
from normexp.config.field import quoted
from normexp.errors import UsageError
from normexp.planning.plan import Plan
from normexp.registry import did_you_mean
from normexp.session.result import outdated
from normexp.session.sweep import plan, study_directory
from normexp.store.rows import row

CLAIMS: tuple[Claim, ...] = (*s0.CLAIMS, *s1.CLAIMS, *s2.CLAIMS, *s3.CLAIMS, *s4.CLAIMS)
"""All of them, in the order of the sources."""

SOURCES = {
    "S0": "momentum convention on a small classifier",
    "S1": "batch norm against none, regression",
    "S2": "moving averages of batch norm",
    "S3": "LeNet with batch norm",
    "S4": "batch, layer, instance and group norm",
}
"""What each source is about."""

Sweep = Callable[[str, Sequence[str]], list[str]]
"""Runs a study by its name and overrides; gives the ids of runs that failed."""


@dataclass(frozen=True)
class Finding:
    """A claim and what came of it."""

    claim: Claim
    verdict: Verdict
    cells: tuple[Cell, ...]

    @property
    def surprises(self) -> bool:
        """Whether the verdict is another than was expected; an open one surprises nobody."""
        checked = self.verdict not in ("undecided", "not checkable")
        return checked and self.claim.expected not in (None, self.verdict)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Where the claim holds, of one that holds in some cells only."""
        return tuple(cell.where for cell in self.cells if cell.holds and cell.posed)


@dataclass(frozen=True)
class Report:
    """What came of some claims.

    Attributes:
        findings: in the order of the sources.
        studies: directory and number of runs of each study that was used, by name.
        failed: ids of runs that failed.
        warnings: of stored runs whose numbers may be others today.
    """

    findings: tuple[Finding, ...]
    studies: dict[str, tuple[str, int]]
    failed: tuple[str, ...]
    warnings: tuple[str, ...]


def select(wanted: Sequence[str]) -> list[Claim]:
    """The claims of these sources or ids; all of them if none is named.

    Raises:
        UsageError: there is no such claim or source.
    """
    known = {claim.id for claim in CLAIMS} | set(SOURCES)
    for name in wanted:
        if name.upper() not in known:
            raise UsageError(
                f"no claim {name!r}; there is {CLAIMS[0].id} to {CLAIMS[-1].id}",
                did_you_mean(name.upper(), sorted(known), "type normexp claims --list"),
            )
    chosen = {name.upper() for name in wanted}
    return [claim for claim in CLAIMS if not chosen or {claim.id, claim.source} & chosen]


def check(claims: Sequence[Claim], store: Path, sweep: Sweep) -> Report:
    """Judge claims by the runs in a store; what is missing there is swept first."""
    from normexp.engine.numerics import one_thread  # PyTorch, which --list does not need

    needed = [name for name in STUDIES if any(name in claim.studies for claim in claims)]
    rows: dict[str, list[Row]] = {}
    places: dict[str, tuple[str, int]] = {}
    failed: list[str] = []
    warnings: dict[str, None] = {}
    for name in needed:
        overrides = (*STUDIES[name], f"store.dir={quoted(str(store))}")
        planned = plan(overrides)
        if planned.stacks:
            failed += sweep(name, overrides)
        rows[name] = _rows(planned)
        warnings |= dict.fromkeys(outdated(planned))
        places[name] = str(study_directory(planned.study).path), len(rows[name])
    with one_thread():  # small tensors: more threads would only wait for each other
        findings = tuple(judged(claim, Evidence(rows)) for claim in claims)
    return Report(findings, places, tuple(failed), tuple(warnings))


def judged(claim: Claim, evidence: Evidence) -> Finding:
    """What the evidence says of a claim."""
    cells = tuple(claim.judge(evidence)) if claim.judge else ()
    return Finding(claim, verdict(cells), cells)


def report_numbers(report: Report) -> dict[str, Any]:
    """A report as data, every run's id included."""
    return {
        "claims": [
            {
                **described(found.claim),
                "verdict": found.verdict,
                "holds_where": list(found.conditions),
                "as_expected": not found.surprises,
                "cells": [_cell(cell) for cell in found.cells],
            }
            for found in report.findings
        ],
        "studies": {
            name: {"overrides": list(STUDIES[name]), "directory": place, "runs": number}
            for name, (place, number) in report.studies.items()
        },
        "failed_runs": list(report.failed),
        "warnings": list(report.warnings),
    }


def described(claim: Claim) -> dict[str, Any]:
    """A claim as data."""
    return {
        "id": claim.id,
        "source": claim.source,
        "claim": claim.text,
        "criterion": claim.criterion,
        "effect": claim.measure,
        "studies": list(claim.studies),
        "expected": claim.expected,
        "expectation": claim.expectation,
        "reason": claim.reason,
        "revised": claim.revised,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "where": cell.where,
        "holds": cell.holds,
        "posed": cell.posed,
        "note": cell.note,
        "measured": cell.effect,
        "comparison": None if cell.comparison is None else asdict(cell.comparison),
        "run_ids": list(dict.fromkeys(cell.run_ids)),
    }


def _rows(planned: Plan) -> list[Row]:
    """The rows of a study's runs that are stored."""
    ids = [run.id for run in planned.study.runs]
    found = study_directory(planned.study).intact_runs(ids)
    return [row(manifest, path) for _, path, manifest in found]
