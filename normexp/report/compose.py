"""The contents of a report: every figure that fits, and what was left out."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from normexp.console.words import counted
from normexp.errors import NormexpError
from normexp.report.arms import differences, headline
from normexp.report.budget import error_budget
from normexp.report.course import convergence, training
from normexp.report.figure import Drawn, Figure, LeftOut
from normexp.report.fitted import fitted
from normexp.report.heat import heat
from normexp.report.histograms import histograms
from normexp.report.momentum import momentum
from normexp.report.provenance import provenance
from normexp.report.source import Source

DRAWINGS: tuple[Callable[[Source], Drawn], ...] = (
    headline, differences, momentum, heat, training, fitted, histograms, convergence, error_budget,
)  # fmt: skip
"""Of runs on one data set, in the order of the page."""

SENTENCE = re.compile(r"(?:^|(?<=\. ))[a-z](?=[a-z]*[ ,])")
"""The first letter of a sentence that begins with a word; names with other signs stay."""


@dataclass(frozen=True)
class Report:
    """A report, whatever form it takes.

    Attributes:
        title: the names of its sources.
        about: numbers of runs, trainings and arms.
        figures: in order.
        left_out: figures that do not fit.
        source: the runs.
    """

    title: str
    about: str
    figures: tuple[Figure, ...]
    left_out: tuple[LeftOut, ...]
    source: Source

    @property
    def looks(self) -> dict[str, dict[str, Any]]:
        """The looks of all arms that are drawn, for the legend."""
        parts = self.source.parts.values()
        return {arm: look for part in parts for arm, look in part.palette.looks.items()}

    @property
    def headlines(self) -> list[str]:
        """The headline's sentence for each data set."""
        return [f.sentence for f in self.figures if re.fullmatch(r"headline(-\d+)?", f.name)]


def compose(source: Source) -> Report:
    """Draw everything that fits: of each data set by itself, and what made all of them."""
    drawn = [
        _named(each, name, number)
        for number, (name, part) in enumerate(source.parts.items(), start=1)
        for draw in DRAWINGS
        for each in _attempt(draw, part)
    ]
    drawn += _attempt(provenance, source)
    return Report(
        title=" and ".join(source.names),
        about=_about(source),
        figures=tuple(each for each in drawn if isinstance(each, Figure)),
        left_out=tuple(each for each in drawn if isinstance(each, LeftOut)),
        source=source,
    )


def _named(drawn: Figure | LeftOut, data: str, number: int) -> Figure | LeftOut:
    """A figure with the name of its data set, if there are several; its sentences with capitals."""
    title = f"{drawn.title} · {data}" if data else drawn.title
    if isinstance(drawn, LeftOut):
        return replace(drawn, title=title)
    name = drawn.name if number == 1 else f"{drawn.name}-{number}"
    text = f"{data}: {drawn.sentence}" if data else drawn.sentence
    sentence = SENTENCE.sub(lambda found: found[0].upper(), text)  # names of arms have none
    return replace(drawn, name=name, title=title, sentence=sentence)


def _attempt(draw: Callable[[Source], Drawn], source: Source) -> Drawn:
    """Its figures; one damaged directory, or a stranger's table, does not cost all the others."""
    title = draw.__name__.replace("_", " ").capitalize()
    try:
        return draw(source)
    except NormexpError as error:
        return [LeftOut(title, error.message)]
    except Exception as error:  # noqa: BLE001  whatever odd tables lead to
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return [LeftOut(title, f"it failed ({what}); normexp verify says whether files are sound")]


def _about(source: Source) -> str:
    rows = source.rows
    shared = len(rows) - len({row["run_id"] for row in rows})
    diverged = sum(row["status"] == "diverged" for row in rows)
    parts = {
        counted(len(rows), "run"): True,
        counted(len({row["trajectory_id"] for row in rows}), "training"): True,
        counted(sum(len(part.arms) for part in source.parts.values()), "arm"): True,
        f"{len(source.parts)} data sets, whose losses are not compared": len(source.parts) > 1,
        f"{counted(shared, 'run')} of them on both sides": shared,
        f"{counted(diverged, 'run')} diverged and left out of means": diverged,
        f"{counted(source.missing, 'run')} missing, which a sweep has left undone": source.missing,
        f"{counted(source.unfinished, 'directory')} unfinished or damaged": source.unfinished,
    }
    return ", ".join(part for part, is_so in parts.items() if is_so) + "."
