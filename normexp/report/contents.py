"""What a report consists of: every figure that fits, and what was left out."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    provenance,
)
"""In the order of the page."""


SENTENCE = re.compile(r"(?:^|(?<=\. ))[a-z](?=[a-z]*[ ,])")
"""The first letter of a sentence that begins with a word; names with other signs stay."""


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


def compose(source: Source) -> Report:
    """Draw everything that fits."""
    drawn = [each for draw in DRAWINGS for each in _attempt(draw, source)]
    return Report(
        title=" and ".join(source.names),
        about=_about(source),
        figures=tuple(_capital(each) for each in drawn if isinstance(each, Figure)),
        left_out=tuple(each for each in drawn if isinstance(each, LeftOut)),
        source=source,
    )


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
        counted(len(source.arms), "arm"),
    ]
    if shared:
        parts.append(f"{counted(shared, 'run')} of them on both sides")
    if diverged:
        parts.append(f"{counted(diverged, 'run')} diverged and left out of means")
    if source.missing:
        parts.append(f"{counted(source.missing, 'run')} missing, which a sweep has left undone")
    if source.unfinished:
        parts.append(f"{counted(source.unfinished, 'directory')} unfinished or damaged")
    return ", ".join(parts) + "."
