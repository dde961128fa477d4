"""The headline: arms with means and intervals, and what the running statistics cost."""

from normexp.report.figure import Drawn, LeftOut
from normexp.report.source import Source


def headline(source: Source) -> Drawn:
    """Nothing yet."""
    return [LeftOut("Headline", f"{len(source.arms)} arms")]
