"""What a report consists of: every figure that fits, and what was left out."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from normexp.console.words import counted
from normexp.errors import NormexpError
from normexp.report.convergence import convergence
from normexp.report.differences import differences
from normexp.report.error_budget import error_budget
from normexp.report.figure import Drawn, Figure, LeftOut
from normexp.report.fitted import fitted
from normexp.report.headline import headline
from normexp.report.heat import heat
from normexp.report.histograms import histograms
from normexp.report.momentum import momentum
from normexp.report.provenance import provenance
from normexp.report.source import Source
from normexp.report.training import training

DRAWINGS: tuple[Callable[[Source], Drawn], ...] = (
    headline,
    differences,
    momentum,
    heat,
    training,
    fitted,
    histograms,
    convergence,
    error_budget,
)
"""Of runs on one data set, in the order of the page."""


SENTENCE = re.compile(r"(?:^|(?<=\. ))[a-z](?=[a-z]*[ ,])")
"""The first letter of a sentence that begins with a word; names with other signs stay."""


HEADLINE = re.compile(r"headline(-\d+)?")


@dataclass(frozen=True)
class Report:
    """A report, whatever form it takes.

    Attributes:
        title: what is reported on.
        about: how much of it there is.
        figures: in order.
        left_out: figures that do not fit.
        source: what all of it is drawn from.
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
        return {arm: look for part in parts for arm, look in part.palette.looks().items()}

    @property
    def headlines(self) -> list[str]:
        """What the arms come to, a sentence for each data set."""
        return [each.sentence for each in self.figures if HEADLINE.fullmatch(each.name)]


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
        figures=tuple(_capital(each) for each in drawn if isinstance(each, Figure)),
        left_out=tuple(each for each in drawn if isinstance(each, LeftOut)),
        source=source,
    )


def _named(drawn: Figure | LeftOut, data: str, number: int) -> Figure | LeftOut:
    """A figure of one data set of several, with its name."""
    if not data:
        return drawn
    title = f"{drawn.title} · {data}"
    if isinstance(drawn, LeftOut):
        return replace(drawn, title=title)
    name = drawn.name if number == 1 else f"{drawn.name}-{number}"
    return replace(drawn, name=name, title=title, sentence=f"{data}: {drawn.sentence}")


def _capital(figure: Figure) -> Figure:
    """The figure, its sentences with capitals: names of arms have none."""
    sentence = SENTENCE.sub(lambda found: found[0].upper(), figure.sentence)
    return replace(figure, sentence=sentence)


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
    trainings = len({each["trajectory_id"] for each in source.rows})
    shared = len(source.rows) - len({each["run_id"] for each in source.rows})
    diverged = sum(each["status"] == "diverged" for each in source.rows)
    parts = [
        counted(len(source.rows), "run"),
        counted(trainings, "training"),
        counted(sum(len(part.arms) for part in source.parts.values()), "arm"),
    ]
    if len(source.parts) > 1:
        parts.append(f"{len(source.parts)} data sets, whose losses are not compared")
    if shared:
        parts.append(f"{counted(shared, 'run')} of them on both sides")
    if diverged:
        parts.append(f"{counted(diverged, 'run')} diverged and left out of means")
    if source.missing:
        parts.append(f"{counted(source.missing, 'run')} missing, which a sweep has left undone")
    if source.unfinished:
        parts.append(f"{counted(source.unfinished, 'directory')} unfinished or damaged")
    return ", ".join(parts) + "."
