"""Who is told what happens while a sweep runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from normexp.sweeps.plan import Plan

if TYPE_CHECKING:
    from normexp.sweeps.work import Done


class Listener(Protocol):
    """Told how the work on a stack goes; called from several threads."""

    def stepped(self, networks: int) -> None:
        """So many networks took one step."""

    def resumed(self, steps: int) -> None:
        """So many steps, of all networks together, were taken by an earlier sweep."""

    def observed(self, run: str, test_losses: Sequence[float]) -> None:
        """A run is stored: its id, its loss at the evaluation points, none if it diverged."""


class Progress(Listener, Protocol):
    """Told what happens while a sweep runs; called from several threads."""

    def began(self, plan: Plan) -> None:
        """The plan is made and the work begins."""

    def ended(self, outcome: "Done | Exception") -> None:
        """A stack has ended, with what came of it."""

    def waiting(self, trajectories: int) -> None:
        """All that is left is what another sweep works on."""

    def queued(self, tasks: int, reason: str) -> None:
        """So many tasks wait in a cluster's queue and none runs; 0 once one does."""

    def stopping(self) -> None:
        """Somebody has asked to stop."""


class Silent:
    """Progress that nobody watches."""

    def began(self, plan: Plan) -> None:
        """Nothing to tell."""

    def stepped(self, networks: int) -> None:
        """Nothing to tell."""

    def resumed(self, steps: int) -> None:
        """Nothing to tell."""

    def observed(self, run: str, test_losses: Sequence[float]) -> None:
        """Nothing to tell."""

    def ended(self, outcome: "Done | Exception") -> None:
        """Nothing to tell."""

    def waiting(self, trajectories: int) -> None:
        """Nothing to tell."""

    def queued(self, tasks: int, reason: str) -> None:
        """Nothing to tell."""

    def stopping(self) -> None:
        """Nothing to tell."""
