"""The runs that a report is on: of studies, sweeps or by themselves, by arm."""

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase as fnmatch
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from normexp.config.data import ANSWERS, data_set, data_sets
from normexp.config.identity import varying
from normexp.console.words import evenly, interval
from normexp.errors import NotFoundError
from normexp.insight.arms import Arm, Estimate, arms
from normexp.insight.compare import ranking
from normexp.insight.training import Training, trainings_of
from normexp.report.naming import arm_name
from normexp.report.style import MOST_ARMS, Palette
from normexp.store.layout import look_around
from normexp.store.places import find_data, fitting
from normexp.store.selection import select
from normexp.store.stored import Row, Stored, whole_runs
from normexp.store.sweep import read_end
from normexp.study.asked import Asked, Place

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

SOURCE = "source"
"""The column that tells the sources of a comparison apart, as if it were a field."""

MOMENTUM = "norm.momentum"

FEW_PLAIN = 2
"""Arms without running statistics that are drawn where not all can be."""

UNKNOWN = Estimate(math.nan, math.nan, 0)


@dataclass(frozen=True)
class Source:
    """Runs to report on, all complete or diverged.

    Attributes:
        names: of what was asked for: a study, or several things side by side.
        sweeps: directories of the sweeps among these, or in them.
        runs: by directory.
        rows: one a run, as listings have them, in the order of their arms; with columns `arm` and,
            where there are several sources, `source`.
        fields: dotted names of what tells the runs apart, seeds aside, `source` first.
        unfinished: directories that were no whole runs.
        places: where data in files may stand now.
        wanted: patterns of the arms to draw; nothing means as many as can be told apart.
    """

    names: tuple[str, ...]
    sweeps: tuple[Path, ...] = ()
    runs: tuple[Stored, ...] = ()
    rows: tuple[Row, ...] = ()
    fields: tuple[str, ...] = ()
    unfinished: int = 0
    places: tuple[Place, ...] = ()
    wanted: tuple[str, ...] = ()

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms by name, in the order of their fields' values."""
        names = dict.fromkeys(row["arm"] for row in self.rows)
        return dict(zip(names, arms(self.rows, self.fields), strict=True))

    def values(self, arm: str) -> dict[str, Any]:
        """The fields that tell an arm from the others, by dotted name."""
        return self.arms[arm].values  # noqa: PD011  not of pandas

    def estimate(self, arm: str, metric: str) -> Estimate:
        """Mean and interval of an arm's metric; NaN where there is none.

        Without running statistics there is no excess.
        """
        if metric.startswith("excess") and not self.arms[arm].has_statistics:
            return UNKNOWN
        return self.arms[arm].estimates.get(metric, UNKNOWN)

    def summary(self, metric: str) -> "pd.DataFrame":
        """A row an arm with a finite mean: mean, low, high and n; and the population's mean.

        Columns `text` and `truth` have mean and population with their intervals as texts;
        `reference`, the population's, is there for arms with running statistics.
        """
        import pandas as pd

        lowest, highest = (0.0, 1.0) if "accuracy" in metric else (-math.inf, math.inf)
        rows = []
        for name, arm in self.arms.items():
            value = self.estimate(name, metric)
            known = arm.has_statistics and not metric.startswith("excess")
            truth = self.estimate(name, f"{metric}_population") if known else UNKNOWN
            rows.append({
                "arm": name, "mean": value.mean, "low": max(value.mean - value.half_width, lowest),
                "high": min(value.mean + value.half_width, highest), "n": value.n,
                "text": interval(value),
                "reference": truth.mean, "truth": interval(truth),
            })  # fmt: skip
        frame = pd.DataFrame(rows)
        return frame[frame["mean"].abs() < math.inf]

    @cached_property
    def parts(self) -> "dict[str, Source]":
        """The runs of each data set by its name; all without a name where there is one only.

        Losses on different data are not compared.
        """
        names = data_sets(self.rows)
        if len(names) < 2:  # noqa: PLR2004  nothing to tell apart
            return {"": self}
        found = {}
        for key, name in names.items():
            rows = [row for row in self.rows if data_set(row) == key]
            own = _fields(rows)
            fields = tuple(path for path in self.fields if path in own or path in ANSWERS)
            places = fitting([run.config.data for run in self.stored(rows)], self.places)
            found[name] = replace(
                self, rows=_with_arms(rows, fields), fields=fields, places=tuple(places)
            )
        return found

    @cached_property
    def complete(self) -> list[Row]:
        """The rows of runs that count in means."""
        return [row for row in self.rows if row["status"] == "complete"]

    def stored(self, rows: Iterable[Row]) -> list[Stored]:
        """The runs of rows."""
        by_directory = {run.row["directory"]: run for run in self.runs}
        return [by_directory[row["directory"]] for row in rows]

    def trainings(self, rows: Iterable[Row]) -> list[Training]:
        """The trainings of rows, as far as they are in the store."""
        return trainings_of(self.stored(rows))

    def table(self, rows: Sequence[Row], name: str) -> "pd.DataFrame":
        """A long table of some complete runs, see `normexp.store.columns`.

        Returns:
            the table's columns, and `arm`, `seed` and `run_id`.
        """
        from normexp.store.stored import stacked

        whole, _ = stacked([Path(row["directory"]) for row in rows], name)
        frame: pd.DataFrame = whole.to_pandas()
        places = frame.pop("place")
        for column in ("arm", "seed", "run_id"):
            frame[column] = places.map(dict(enumerate(row[column] for row in rows)))
        return frame

    @cached_property
    def palette(self) -> Palette:
        """The looks of the arms that are drawn one by one: all, or as many as can be told apart.

        Of too many, the best two without running statistics, and of the others the best, the worst
        and some between.
        """
        plain = [name for name, arm in self.arms.items() if not arm.has_statistics]
        chosen = [name for name in self.arms if any(fnmatch(name, each) for each in self.wanted)]
        ranked = sorted(chosen or self.arms, key=self.rank)
        few = [name for name in ranked if name in plain]
        tracked = [name for name in ranked if name not in plain]
        few = few[: max(FEW_PLAIN, MOST_ARMS - len(tracked))]
        kept = {*few, *some(tracked, MOST_ARMS - len(few))}
        return Palette(
            tuple(name for name in self.arms if name in kept),
            frozenset(plain if len(plain) == 1 else ()),
        )

    def rank(self, arm: str, metric: str = "test_loss") -> float:
        """A number by which arms are ordered, the best first; those without a value last."""
        mean = self.estimate(arm, metric).mean
        return math.inf if math.isnan(mean) else -mean if "accuracy" in metric else mean

    @cached_property
    def thinned(self) -> str:
        """A sentence on arms that are not drawn; empty if all are."""
        drawn = len(self.palette.arms)
        if drawn == len(self.arms):
            return ""
        return (
            f"{drawn} of {len(self.arms)} arms are drawn: few without running statistics, others "
            "evenly by rank of test loss; the first table has all, report --arms PATTERN draws "
            "others."
        )

    @cached_property
    def missing(self) -> int:
        """Runs that a sweep has left, interrupted or by an error, and none has made since."""
        ends = [end for path in self.sweeps if (end := read_end(path)) is not None]
        there = {row["run_id"] for row in self.rows}
        return len({run for end in ends for run in end["failed"]} - there)

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that are drawn: test loss, and accuracy where there are labels."""
        labels = any("test_accuracy" in row for row in self.complete)
        return ["test_loss", "test_accuracy"] if labels else ["test_loss"]


def gather(store: Path, asked: Asked, arms: Sequence[str] = ()) -> Source:
    """The runs that are meant.

    Args:
        store: where to look for names.
        asked: studies, sweeps or runs, by name, id or path; nothing is the whole store. Several
            runs are one source; of anything else each is one, and told apart.
        arms: patterns of those to draw, such as `batch 0.*`; nothing leaves the choice to us.

    Raises:
        NotFoundError: there is no such thing, or no complete run in it, or no such arm.
        UsageError: a place has none of the runs' data.
    """
    wanted, places = list(dict.fromkeys(asked.names)), asked.places
    chosen: list[str | None] = [*wanted] or [None]
    selections = [select(store, each, asked.where) for each in chosen]
    names = _names([_place(store, each) for each in wanted] or [store.resolve()])
    several = len(selections) > 1 and any(each.sweeps or len(each.runs) != 1 for each in selections)
    found: dict[object, tuple[Stored, Row]] = {}
    unfinished = 0
    for name, selection in zip(names, selections, strict=True):
        whole = list(whole_runs(selection.runs))
        unfinished += len(selection.runs) - len(whole)
        for run in whole:
            # the same run may have been named twice, or stand in two studies
            key = (name, run.directory) if several else run.id
            found[key] = run, {**run.row, **({SOURCE: name} if several else {})}
    if not found and unfinished:
        raise NotFoundError(
            f"no run of {', '.join(names)} is whole: {unfinished} unfinished or damaged",
            f"type normexp verify {shlex.join(wanted)}: it says what is wrong and what to type",
        )
    if not found:
        raise NotFoundError(f"no complete run in {', '.join(names)}", look_around(store))
    runs, rows = zip(*found.values(), strict=True)
    if places:
        find_data((run.config.data for run in runs), places)
    fields = _fields(rows)
    source = Source(
        names,
        tuple(path for selection in selections for path in selection.sweeps),
        runs,
        _with_arms(rows, fields),
        fields,
        unfinished,
        tuple(places),
        tuple(arms),
    )
    every = list(dict.fromkeys(arm for part in source.parts.values() for arm in part.arms))
    for pattern in arms:
        if not any(fnmatch(arm, pattern) for arm in every):
            raise NotFoundError(f"no arm {pattern}", f"there are: {'; '.join(every)}")
    return source


def some(items: Sequence[T], most: int) -> list[T]:
    """At most so many items at equal distances, first and last among them."""
    return [items[place] for place in evenly(len(items), most)]


def _place(store: Path, wanted: str) -> Path:
    """Where that is, or would be by its name."""
    return Path(wanted).resolve() if Path(wanted).is_dir() else store.resolve() / wanted


def _names(places: Sequence[Path]) -> tuple[str, ...]:
    """The last parts of these paths, as many of them as tell them apart."""
    longest = max(len(place.parts) for place in places)
    for number in range(1, longest + 1):
        names = tuple("/".join(place.parts[-number:]) for place in places)
        if len(set(names)) == len(set(places)):
            break
    return names


def _fields(rows: Sequence[Row]) -> tuple[str, ...]:
    """The fields that tell the runs apart; norm and momentum, the subject, always."""
    found = [path for path in varying(rows) if path != "seed"]
    kinds = [path for path in found if path.endswith(".kind")]
    always = [p for p in ("norm.kind", MOMENTUM) if any(p in row for row in rows)]
    told = list(dict.fromkeys([*always, *kinds, *found]))
    norm = [path for path in told if path.startswith("norm.")]
    rest = [path for path in told if not path.startswith("norm.")]
    several = len({row.get(SOURCE) for row in rows}) > 1
    return (*([SOURCE] if several else []), *norm, *rest)


def _with_arms(rows: Sequence[Row], fields: Sequence[str]) -> tuple[Row, ...]:
    """The rows in the order of their fields' values, each with the name of its arm."""
    order = ranking(fields, rows)
    names: dict[tuple[int, ...], str] = {}
    found = []
    for key, row in sorted(((order(row), row) for row in rows), key=lambda each: each[0]):
        if tuple(key) not in names:
            name = arm_name(row, fields)
            before = sum(other.partition(" (")[0] == name for other in names.values())
            taken = name in names.values()  # a number sets equal names apart
            names[tuple(key)] = f"{name} ({before + 1})" if taken else name
        found.append({**row, "arm": names[tuple(key)]})
    return tuple(found)
