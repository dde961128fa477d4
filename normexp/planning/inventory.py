"""What of a study is in the store already: the plan leaves it alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Inventory:
    """What is there of some runs and trajectories, by their ids.

    Attributes:
        cached: runs that are complete and hold what is asked.
        stored: trajectories that are complete.
        damaged: trajectories that are there and have to be made again.
        remade: whether runs that are not cached have directories there all the same.
        earlier: sweeps that had ended before; None: such directories may be there.
        outdated: runs that other code or another machine has made or trained, and what differs.
    """

    cached: Collection[str] = frozenset()
    stored: Collection[str] = frozenset()
    damaged: Collection[str] = frozenset()
    remade: bool = False
    earlier: frozenset[str] | None = None
    outdated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
