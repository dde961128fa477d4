"""What of a study is in the store already, and whether it is as good as made now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from normexp.config.schema import Log
from normexp.errors import UsageError
from normexp.planning.inventory import Inventory
from normexp.session.environment import changed
from normexp.store.files import intact
from normexp.store.layout import StudyDirectory, holds

OnCodeChange = Literal["warn", "rerun", "ignore"]
"""What becomes of runs that other code, or another machine, has made."""


@dataclass(frozen=True)
class Standard:
    """What counts as done.

    Args:
        on_code_change: whether runs made otherwise are made again, or mentioned.
        environment: of now.
    """

    on_code_change: OnCodeChange
    environment: Mapping[str, Any]

    def differing(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """In what code and environment were not those of now, if that matters here."""
        if self.on_code_change == "ignore":
            return ()
        return tuple(changed(manifest["environment"], self.environment))

    def accepts(self, manifest: Mapping[str, Any]) -> bool:
        """Whether something stored need not be made again."""
        return self.on_code_change != "rerun" or not self.differing(manifest)


def take(
    directory: StudyDirectory,
    runs: Iterable[str],
    trajectories: Iterable[str],
    log: Log,
    standard: Standard,
) -> Inventory:
    """Look at what is there of these runs and trajectories, by their ids."""
    whole = {name: manifest for name, (_, manifest) in directory.intact_runs(runs).items()}
    stored, damaged = set(), set()
    for name in trajectories:
        manifest = intact(directory.trajectory(name))
        if manifest is not None and standard.accepts(manifest):
            stored.add(name)
        elif directory.trajectory(name).exists():
            damaged.add(name)
    return Inventory(
        cached=frozenset(n for n, m in whole.items() if holds(m, log) and standard.accepts(m)),
        stored=frozenset(stored),
        damaged=frozenset(damaged),
        outdated={n: keys for n, m in whole.items() if (keys := standard.differing(m))},
    )


def policy(text: str) -> OnCodeChange:
    """What was typed.

    Raises:
        UsageError: it is none of the three.
    """
    allowed: tuple[OnCodeChange, ...] = get_args(OnCodeChange)
    for known in allowed:
        if text == known:
            return known
    raise UsageError(
        f"--on-code-change {text}: {', '.join(allowed)} are allowed", "type --on-code-change warn"
    )
