"""Which trainings stand for their arms where one is drawn, and what of too many is drawn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from normexp.insight.thinning import evenly
from normexp.report.source import Source
from normexp.store.stored import Row

T = TypeVar("T")

MOST_NAMED = 3
"""Arms that a note names."""


def typical(source: Source, arms: Iterable[str]) -> dict[str, Row]:
    """One run for each arm, all of one seed if there is one: so arms on one training share it.

    The seed is that whose final test losses are nearest to the arms' medians, by rank and over all
    arms. An arm that has no run of it is stood for by the run nearest to its own median.

    Args:
        source: where the runs are.
        arms: names; those without a complete run are left out.
    """
    wanted = set(arms)
    by_arm: dict[str, list[Row]] = {}
    for row in source.complete:
        if row["arm"] in wanted:
            by_arm.setdefault(row["arm"], []).append(row)
    ranked = {arm: sorted(rows, key=_loss) for arm, rows in by_arm.items()}
    distances = {arm: _distances(rows) for arm, rows in ranked.items()}
    best = _nearest(distances.values())
    chosen = {}
    for arm, rows in ranked.items():
        of = distances[arm]
        seed = best if best in of else min(of, key=lambda seed: of[seed])
        chosen[arm] = next(row for row in rows if row["seed"] == seed)
    return {arm: chosen[arm] for arm in arms if arm in chosen}


def seeds_said(rows: Mapping[str, Row]) -> str:
    """Which trainings are drawn, for a note."""
    seeds = [row["seed"] for row in rows.values()]
    if len(rows) == 1:
        return f"Drawn is seed {seeds[0]}, whose final test loss is the arm's median."
    common = max(seeds, key=seeds.count)
    others = [f"{arm} seed {row['seed']}" for arm, row in rows.items() if row["seed"] != common]
    alone = len({row["seed"] for row in rows.values()}) == 1
    said = f"Drawn is seed {common}, whose final test losses lie nearest to the arms' medians"
    if len(others) > MOST_NAMED:
        return f"{said}; {len(others)} arms that lack it have the seed nearest to their own."
    return f"{said}." if alone else f"{said}; in its stead {', '.join(others)}."


def spread(items: Sequence[T], most: int, keep: T | None = None) -> list[T]:
    """At most so many, first and last among them, and `keep` if it is one of them."""
    if len(items) <= most:
        return list(items)
    places = evenly(len(items), most)
    if keep is not None and keep in items and (wanted := items.index(keep)) not in places:
        inner = range(1, len(places) - 1) or range(len(places))
        nearest = min(inner, key=lambda i: abs(places[i] - wanted))
        places[nearest] = wanted
    return [items[place] for place in places]


def _loss(row: Row) -> tuple[bool, float, int]:
    loss = row["test_loss"]
    known = loss is not None and not math.isnan(loss)
    return (not known, loss if known else 0.0, row["seed"])


def _distances(rows: Sequence[Row]) -> dict[int, float]:
    """By seed, how far from the middle of its arm; 0 is the median, the lower of two."""
    middle = (len(rows) - 1) // 2
    return {row["seed"]: abs(rank - middle) / len(rows) for rank, row in enumerate(rows)}


def _nearest(arms: Iterable[Mapping[int, float]]) -> int | None:
    """The seed that most arms have, and among such the one nearest to all their middles."""
    found: dict[int, list[float]] = {}
    for distances in arms:
        for seed, distance in distances.items():
            found.setdefault(seed, []).append(distance)
    return min(found, key=lambda seed: (-len(found[seed]), sum(found[seed]), seed), default=None)
