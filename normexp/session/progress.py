"""Who is told what happens while a sweep runs."""

from typing import Protocol

from normexp.planning.plan import Plan, Stack


class Progress(Protocol):
    """Told what happens while a sweep runs; called from several threads."""

    def began(self, plan: Plan) -> None:
        """The plan is made and the work begins."""

    def stepped(self, networks: int) -> None:
        """So many networks took one step."""

    def ended(self, stack: Stack, error: Exception | None) -> None:
        """A stack has ended, by an error if there is one."""

    def waiting(self, trajectories: int) -> None:
        """All that is left is what another sweep works on."""

    def stopping(self) -> None:
        """Somebody has asked to stop."""


class Silent:
    """Progress that nobody watches."""

    def began(self, plan: Plan) -> None:
        """Nothing to tell."""

    def stepped(self, networks: int) -> None:
        """Nothing to tell."""

    def ended(self, stack: Stack, error: Exception | None) -> None:
        """Nothing to tell."""

    def waiting(self, trajectories: int) -> None:
        """Nothing to tell."""

    def stopping(self) -> None:
        """Nothing to tell."""
