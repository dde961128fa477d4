"""The runs of a study that are in the store already, and whether they are as good as made now."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from normexp.config.executor import Log
from normexp.errors import pick
from normexp.store.layout import StudyDirectory, holds
from normexp.sweeps.environment import PROCESSOR, changed_since

OnCodeChange = Literal["warn", "rerun", "ignore"]
"""What to do about runs that other code, or another machine, has made."""

POLICIES: tuple[OnCodeChange, ...] = get_args(OnCodeChange)


@dataclass(frozen=True)
class Inventory:
    """Stored runs and trajectories among those of a study, by their ids.

    Attributes:
        cached: runs that are complete and hold what is asked.
        stored: trajectories that are complete.
        damaged: trajectories that are there and have to be made again.
        names: of the directories of runs, whole or not.
        log_every: of the runs that are whole and have to be made again.
        outdated: runs that other code or another machine has made or trained, and what differs.
        earlier: sweeps of the study that had ended before.
    """

    cached: Collection[str] = frozenset()
    stored: Collection[str] = frozenset()
    damaged: Collection[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    log_every: Mapping[str, int] = field(default_factory=dict)
    outdated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Standard:
    """The standard by which a stored run counts as done.

    Args:
        on_code_change: whether runs made otherwise are made again, or mentioned.
        environment: of now.
        any_processor: whether it does not matter which one makes a run, as in a cluster.
    """

    on_code_change: OnCodeChange
    environment: Mapping[str, Any]
    any_processor: bool = False

    def differing(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """The entries of code and environment that are others now, if that matters here."""
        if self.on_code_change == "ignore":
            return ()
        names = changed_since(manifest, self.environment)
        return tuple(name for name in names if not (self.any_processor and name in PROCESSOR))

    def accepts(self, manifest: Mapping[str, Any]) -> bool:
        """True if a run need not be made again for its code or environment."""
        return self.on_code_change != "rerun" or not self.differing(manifest)


def take(  # noqa: PLR0913  each is known to one caller only
    directory: StudyDirectory,
    runs: Mapping[str, str],
    log: Log,
    standard: Standard,
    *,
    more: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> Inventory:
    """Look at what is there.

    Args:
        directory: of the study.
        runs: the trajectory of each run, by their ids.
        log: what the runs have to hold.
        standard: what counts as done.
        more: trajectories to look at, whether any of these runs is theirs or not.
        names: of the runs' directories, where these are known.
    """
    begun = directory.begun({*runs.values(), *more})
    trained = directory.intact_trajectories(begun)
    differing = {name: standard.differing(manifest) for name, manifest in trained}
    outdated = {name: differing.get(of, ()) for name, of in runs.items()}
    again = standard.on_code_change == "rerun"
    cached, log_every = set(), dict[str, int]()
    names = directory.names(runs) if names is None else names
    for name, _, manifest in directory.intact_runs(runs, names):
        outdated[name] = standard.differing(manifest) or outdated[name]
        if holds(manifest, log) and not (again and outdated[name]):
            cached.add(name)
        else:
            log_every[name] = manifest["log_every"]
    stored = {name for name, keys in differing.items() if not (again and keys)}
    if again:  # what is outdated is made again: nothing to mention
        outdated = {}
    return Inventory(
        cached=frozenset(cached),
        stored=frozenset(stored),
        damaged=frozenset(begun - stored),
        names=names,
        log_every=log_every,
        outdated={name: keys for name, keys in outdated.items() if keys},
    )


def policy(text: str) -> OnCodeChange:
    """The policy that was typed.

    Raises:
        UsageError: it is none of the three.
    """
    return pick(text, {known: known for known in POLICIES}, "--on-code-change")
