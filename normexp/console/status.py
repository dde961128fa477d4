"""The two lines that say how far a sweep is."""

from dataclasses import dataclass

from rich.text import Text

from normexp.console.pace import Pace
from normexp.console.words import counted

BAR, SHORTEST_BAR = 20, 4
"""Columns of the bar."""

BESIDE_BAR = 48
"""Columns of what stands beside it."""


@dataclass
class Status:
    """What is said beside the pace.

    Attributes:
        stacks: of this round.
        ended: of these, by themselves or by an error.
        failed: by an error.
        waiting: trajectories that another sweep works on.
        queued: that all tasks of a cluster wait, and why.
        stops: whether somebody has asked to stop.
    """

    stacks: int = 0
    ended: int = 0
    failed: int = 0
    waiting: int = 0
    queued: str = ""
    stops: bool = False

    def lines(self, pace: Pace, width: int) -> list[Text]:
        """How far, and how fast."""
        first = Text(f"stacks {self.ended:,}/{self.stacks:,}  ")
        bar = max(SHORTEST_BAR, min(BAR, width - BESIDE_BAR))
        full = int(pace.share * bar)
        first.append("━" * full, "green").append("━" * (bar - full), "bright_black")
        first.append(f"  {pace.share:4.0%}  ").append(self._rest(pace))
        return [first, self._speed(pace)]

    def _rest(self, pace: Pace) -> Text:
        if self.stops:
            return Text("stopping; Ctrl-C: at once", "yellow")
        if self.waiting:
            return Text("waiting for another sweep", "yellow")
        if self.queued:
            return Text(self.queued, "yellow")
        if pace.share >= 1:
            return Text("finishing")
        left = pace.seconds_left
        return Text("" if left is None else f"about {remaining(left)} left")

    def _speed(self, pace: Pace) -> Text:
        steps = pace.steps_per_second()
        parts = [f"{pace.runs:,}/{pace.all_runs:,} runs stored"]
        if steps:
            networks = pace.networks_per_second(steps)
            speed = f"{networks:,.0f}" if networks >= 10 else f"{networks:.2g}"  # noqa: PLR2004  two digits
            parts = [f"{steps:,.0f} steps/s", f"{speed} networks/s", *parts]
        line = Text(" · ".join(parts))
        if self.failed:
            line.append(" · ").append(f"{counted(self.failed, 'stack')} failed", "red")
        return line


def remaining(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`: what a person wants to know of what is to come."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"
