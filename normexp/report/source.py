"""What is reported on: the runs of studies, sweeps or by themselves, by arm."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.data import ANSWERS, data_set, data_sets
from normexp.config.differences import completed, in_order, varying
from normexp.config.schema import IDENTITY_GROUPS
from normexp.errors import NotFoundError
from normexp.insight.arms import Arm, arms
from normexp.insight.thinning import evenly
from normexp.report.naming import arm_name
from normexp.report.style import MOST_ARMS, Palette
from normexp.store.files import intact
from normexp.store.layout import look_around
from normexp.store.places import Place
from normexp.store.selection import select
from normexp.store.stored import Row, row
from normexp.store.sweep import read_end

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "source"
"""The column that tells the sources of a comparison apart, as if it were a field."""

MOMENTUM = "norm.momentum"

FEW_PLAIN = 2
"""Arms without running statistics that are drawn where not all can be."""


@dataclass(frozen=True)
class Source:
    """Runs to report on, all complete or diverged.

    Attributes:
        names: of what was asked for: a study, or several things side by side.
        sweeps: directories of the sweeps among these, or in them.
        rows: one a run, as listings have them; with a column `source` where there are several.
        fields: dotted names of what tells the runs apart, seeds aside, `source` first.
        unfinished: directories that were no whole runs.
        places: where data in files may stand now.
    """

    names: tuple[str, ...]
    sweeps: tuple[Path, ...]
    rows: tuple[Row, ...]
    fields: tuple[str, ...]
    unfinished: int
    places: tuple[Place, ...] = ()

    @cached_property
    def arms(self) -> list[Arm]:
        """The runs by arm, in the order of their fields' values."""
        return arms(self._ordered, self.fields)

    @cached_property
    def arm_names(self) -> list[str]:
        """A short and unique name for each arm, such as `batch 0.1`, in the order of `arms`."""
        return list(self._names.values())

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
            own = _fields(rows, several=len({row.get(SOURCE) for row in rows}) > 1)
            fields = tuple(path for path in self.fields if path in own or path in ANSWERS)
            found[name] = replace(self, rows=tuple(rows), fields=fields)
        return found

    @cached_property
    def complete(self) -> list[Row]:
        """The rows of runs that count in means, each with a column `arm`, ordered by arm."""
        return [
            {**each, "arm": self.arm_name(each)}
            for each in self._ordered
            if each["status"] == "complete"
        ]

    def frame(self, table: str) -> "pd.DataFrame":
        """A long table of all complete runs that have it, see `normexp.store.columns`.

        Returns:
            the table's columns, `run_id`, `seed` and `arm` in front; empty where no run has it.
        """
        return self.frame_of(self.complete, table)

    def frame_of(self, rows: Sequence[Row], table: str) -> "pd.DataFrame":
        """The same of some rows of `complete`."""
        import pandas as pd

        from normexp.store.read import stacked

        have = [r for r in rows if (Path(r["directory"]) / f"{table}.parquet").is_file()]
        if not have:
            return pd.DataFrame()
        whole, _ = stacked([Path(r["directory"]) for r in have], table)
        frame: pd.DataFrame = whole.to_pandas()
        places = frame.pop("place").to_numpy()
        for name in ("arm", "seed", "run_id"):
            values = pd.Series([r[name] for r in have]).take(places)
            frame.insert(0, name, values.reset_index(drop=True))
        return frame

    def arm_name(self, row: Row) -> str:
        """The name of the arm that a run belongs to."""
        return self._names[self._key(row)]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The arms' names by what tells them apart; a number sets equal ones apart."""
        found: dict[str, str] = {}
        for each in self._ordered:
            if (key := self._key(each)) not in found:
                name = arm_name(each, self.fields)
                before = sum(other.partition(" (")[0] == name for other in found.values())
                found[key] = f"{name} ({before + 1})" if name in found.values() else name
        return found

    def _key(self, row: Row) -> str:
        return repr([(path, row[path]) for path in self.fields if path in row])

    @cached_property
    def arm_of(self) -> dict[str, str]:
        """The arm's name by run, of a single source."""
        return {each["run_id"]: self.arm_name(each) for each in self.rows}

    @cached_property
    def palette(self) -> Palette:
        """The looks of the arms that are drawn one by one: all, or as many as can be told apart.

        Of too many, the best two without running statistics, and of the others the best, the worst
        and some between.
        """
        names = self.arm_names
        plain = [n for n, arm in zip(names, self.arms, strict=True) if not arm.has_statistics]
        kept = names if len(names) <= MOST_ARMS else self._spread(names)
        return Palette(tuple(kept), frozenset(plain if len(plain) == 1 else ()))

    def _spread(self, names: list[str]) -> list[str]:
        """The best few without running statistics, and others from the best to the worst."""
        arms = dict(zip(names, self.arms, strict=True))
        losses = {name: arm.estimates["test_loss"].mean for name, arm in arms.items()}
        ranked = sorted(names, key=lambda name: (math.isnan(losses[name]), losses[name]))
        tracked = [name for name in ranked if arms[name].has_statistics]
        plain = [name for name in ranked if not arms[name].has_statistics]
        few = plain[: max(FEW_PLAIN, MOST_ARMS - len(tracked))]
        room = min(MOST_ARMS - len(few), len(tracked))
        kept = {*few, *(tracked[i] for i in evenly(len(tracked), room))}
        return [name for name in names if name in kept]

    @cached_property
    def thinned(self) -> str:
        """What is said of arms that are not drawn; empty if all are."""
        left = len(self.arm_names) - len(self.palette.arms)
        if not left:
            return ""
        return (
            f"{len(self.palette.arms)} of {len(self.arm_names)} arms are drawn: few without "
            "running statistics, others evenly by rank of test loss; the first table has all."
        )

    @cached_property
    def missing(self) -> int:
        """Runs that a sweep has left, interrupted or by an error, and none has made since."""
        ends = [end for path in self.sweeps if (end := read_end(path)) is not None]
        return len(
            {run for end in ends for run in end["failed"]} - {r["run_id"] for r in self.rows}
        )

    @cached_property
    def on_labels(self) -> bool:
        """Whether there are accuracies beside the losses."""
        return any("test_accuracy" in each for each in self.complete)

    @cached_property
    def _ordered(self) -> list[Row]:
        ranks = {
            path: {
                repr(value): rank
                for rank, value in enumerate(
                    in_order(path, [each[path] for each in self.rows if path in each])
                )
            }
            for path in self.fields
        }
        return sorted(
            self.rows,
            key=lambda each: [
                ranks[path][repr(each[path])] if path in each else -1 for path in self.fields
            ],
        )


def gather(store: Path, wanted: Sequence[str], places: Sequence[Place] = ()) -> Source:
    """The runs that are meant.

    Args:
        store: where to look for names.
        wanted: studies, sweeps or runs, by name, id or path; nothing is the whole store. Several
            runs are one source; of anything else each is one, and told apart.
        places: where data in files may stand now.

    Raises:
        NotFoundError: there is no such thing, or no complete run in it.
    """
    wanted = list(dict.fromkeys(wanted))
    selections = [select(store, each) for each in wanted] or [select(store, None)]
    names = _names([_place(store, each) for each in wanted] or [store.resolve()])
    several = len(selections) > 1 and any(each.sweeps or len(each.runs) != 1 for each in selections)
    rows, unfinished = [], 0
    for name, selection in zip(names, selections, strict=True):
        for path in selection.runs:
            manifest = intact(path)
            if manifest is None:
                unfinished += 1
                continue
            rows.append(completed(row(manifest, path)) | ({SOURCE: name} if several else {}))
    if not rows and unfinished:
        raise NotFoundError(
            f"no run of {', '.join(names)} is whole: {unfinished} unfinished or damaged",
            f"type normexp verify {shlex.join(wanted)}: it says what is wrong and what to type",
        )
    if not rows:
        raise NotFoundError(f"no complete run in {', '.join(names)}", look_around(store))
    if not several:  # the same run may have been named twice, or stand in two studies
        rows = list({each["run_id"]: each for each in rows}.values())
    sweeps = tuple(path for selection in selections for path in selection.sweeps)
    fields = _fields(rows, several=several)
    return Source(names, sweeps, tuple(rows), fields, unfinished, tuple(places))


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


def _fields(rows: Sequence[Row], *, several: bool) -> tuple[str, ...]:
    """What tells the runs apart; norm and momentum, the subject, always."""
    found = [path for path in varying(rows) if path != "seed"]
    kinds = [f"{group}.kind" for group in IDENTITY_GROUPS]
    always = [p for p in ("norm.kind", MOMENTUM) if p not in found and any(p in r for r in rows)]
    told = sorted({*found, *always}, key=[*kinds, *always, *found].index)
    norm = [path for path in told if path.startswith("norm.")]
    rest = [path for path in told if not path.startswith("norm.")]
    return (*([SOURCE] if several else []), *norm, *rest)
