"""The contents of a report: every figure that fits, what made the runs, and what was left out."""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from normexp.config.field import spell
from normexp.console.words import cell, counted, listed
from normexp.errors import NormexpError
from normexp.report.arms import differences, headline
from normexp.report.budget import error_budget
from normexp.report.course import convergence, training
from normexp.report.figure import Drawn, Figure, LeftOut, Link, Sign, Table, table
from normexp.report.fitted import fitted
from normexp.report.heat import heat
from normexp.report.momentum import momentum
from normexp.report.pictures import histograms
from normexp.report.source import Source
from normexp.store.stored import Row
from normexp.store.sweep import typed

DRAWINGS: tuple[Callable[[Source], Drawn], ...] = (
    headline, differences, momentum, heat, training, fitted, histograms, convergence, error_budget,
)  # fmt: skip
"""Of runs on one data set, in the order of the page."""

SENTENCE = re.compile(r"(?:^|(?<=\. ))[a-z](?=[a-z]*[ ,])")
"""The first letter of a sentence that begins with a word; names with other signs stay."""

MOST_SWEEPS = 10

WITH = ("normexp", "code", "commit", "python", "torch", "numpy", "platform", "cpu")
"""The entries of an environment that are shown."""


@dataclass(frozen=True)
class Report:
    """A report, whatever form it takes.

    Attributes:
        title: the names of its sources.
        about: numbers of runs, trainings and arms.
        figures: in order.
        left_out: figures that do not fit.
        source: the runs.
    """

    title: str
    about: str
    figures: tuple[Figure, ...]
    left_out: tuple[LeftOut, ...]
    source: Source

    @property
    def signs(self) -> list[Sign]:
        """The legend of all arms that are drawn."""
        palettes = [part.palette for part in self.source.parts.values()]
        every = (sign for palette in palettes for sign in palette.signs(palette.arms))
        return list({sign.words: sign for sign in every}.values())

    @property
    def headlines(self) -> list[str]:
        """The headline's sentence for each data set."""
        return [f.sentence for f in self.figures if re.fullmatch(r"headline(-\d+)?", f.name)]


def compose(source: Source, made: Callable[[Figure | LeftOut], None] | None = None) -> Report:
    """Draw everything that fits: of each data set by itself, and what made all of them.

    Args:
        source: the runs.
        made: called with each figure as soon as it is there.
    """
    drawn = []
    for number, (name, part) in enumerate(source.parts.items(), start=1):
        for draw in DRAWINGS:
            for each in _attempt(draw, part):
                drawn.append(_named(each, name, number))
                if made is not None:
                    made(drawn[-1])
    drawn += _attempt(provenance, source)
    return Report(
        title=" and ".join(source.names),
        about=_about(source),
        figures=tuple(each for each in drawn if isinstance(each, Figure)),
        left_out=tuple(each for each in drawn if isinstance(each, LeftOut)),
        source=source,
    )


def _named(drawn: Figure | LeftOut, data: str, number: int) -> Figure | LeftOut:
    """A figure with the name of its data set, if there are several; its sentences with capitals."""
    title = f"{drawn.title} · {data}" if data else drawn.title
    if isinstance(drawn, LeftOut):
        return replace(drawn, title=title)
    name = drawn.name if number == 1 else f"{drawn.name}-{number}"
    text = f"{data}: {drawn.sentence}" if data else drawn.sentence
    sentence = SENTENCE.sub(lambda found: found[0].upper(), text)  # names of arms have none
    return replace(drawn, name=name, title=title, sentence=sentence)


def _attempt(draw: Callable[[Source], Drawn], source: Source) -> Drawn:
    """Its figures; one damaged directory, or a stranger's table, does not cost all the others."""
    title = draw.__name__.replace("_", " ").capitalize()
    try:
        return draw(source)
    except NormexpError as error:
        return [LeftOut(title, error.message)]
    except Exception as error:  # noqa: BLE001  whatever odd tables lead to
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return [LeftOut(title, f"it failed ({what}); normexp verify says whether files are sound")]


def _about(source: Source) -> str:
    rows = source.rows
    shared = len(rows) - len({row["run_id"] for row in rows})
    diverged = sum(row["status"] == "diverged" for row in rows)
    parts = {
        counted(len(rows), "run"): True,
        counted(len({row["trajectory_id"] for row in rows}), "training"): True,
        counted(sum(len(part.arms) for part in source.parts.values()), "arm"): True,
        f"{len(source.parts)} data sets, whose losses are not compared": len(source.parts) > 1,
        f"{counted(shared, 'run')} of them on both sides": shared,
        f"{counted(diverged, 'run')} diverged and left out of means": diverged,
        f"{counted(source.missing, 'run')} missing, which a sweep has left undone": source.missing,
        f"{counted(source.unfinished, 'directory')} unfinished or damaged": source.unfinished,
    }
    return ", ".join(part for part, is_so in parts.items() if is_so) + "."


def provenance(source: Source) -> Drawn:
    """Configuration, provenance, and the runs with their directories."""
    return [_configuration(source), _making(source), _runs(source)]


def _configuration(source: Source) -> Figure:
    """The fields that differ, and the others; those that follow from a kind count as alike."""
    paths = dict.fromkeys(path for row in source.rows for path in row if "." in path)
    values = {
        path: list({spell(row[path]): row[path] for row in source.rows if path in row}.values())
        for path in [*paths, "seed"]
    }
    fields = [path for path in source.fields if path in values]
    varied = [path for path in (*fields, "seed") if len(values[path]) > 1]
    groups: dict[str, list[str]] = {}
    for path in paths:
        if path not in varied:
            group, _, field = path.rpartition(".")
            groups.setdefault(group, []).append(f"{field}={listed(values[path])}")
    rows = [(path, listed(values[path])) for path in varied]
    rows += [(group, "  ".join(each)) for group, each in groups.items()]
    return Figure(
        name="configuration",
        title="What differs, and what does not",
        sentence=f"These runs differ in {', '.join(varied)}; all else is the same, or follows from "
        "these."
        if varied
        else "There is one configuration.",
        table=Table(("field", "values"), tuple(rows), prose=True),
        open=True,
    )


def _making(source: Source) -> Figure:
    """Code, libraries, machines and commands that have made the runs."""
    created = [datetime.fromisoformat(run.manifest["created"]) for run in source.runs]
    when = (f"{each.astimezone(UTC):%Y-%m-%d %H:%M UTC}" for each in (min(created), max(created)))
    made = {
        name: Counter(cell(run.manifest["environment"].get(name)) for run in source.runs)
        for name in WITH
    }
    rows = [("made", " to ".join(dict.fromkeys(when)))]
    rows += [(name, _counts(found)) for name, found in made.items()]
    rows += [("sweep", command) for command in _commands(source)]
    rows += [("one run again", f"normexp reproduce {shlex.quote(source.rows[0]['directory'])}")]
    several = [name for name, found in made.items() if len(found) > 1]
    sentence = (
        f"The runs were made with more than one {', '.join(several)}: normexp why RUN says what "
        "that can mean."
        if several
        else f"All {len(source.runs):,} runs were made by the same code on one kind of machine."
        if len(source.runs) > 1
        else "The code and the machine that made the run, and how to make it again."
    )
    return Figure(
        name="provenance",
        title="What made them",
        sentence=sentence,
        table=Table(("what", "by which"), tuple(rows), prose=True),
        open=True,
    )


def _counts(found: Counter[str]) -> str:
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value} ({counted(n, 'run')})" for value, n in found.most_common())


def _commands(source: Source) -> list[str]:
    """The commands of the sweeps that these runs belong to, the newest ones."""
    found = []
    for path in source.sweeps[-MOST_SWEEPS:]:
        words = typed(path)
        if words is None:
            continue
        if words and "--as" not in words:
            own = (each for each in words if not each.startswith("study="))
            words = (f"study={path.parents[1].name}", *own)
        found.append(shlex.join(["normexp", "sweep", *words]))
    return list(dict.fromkeys(found))


def _runs(source: Source) -> Figure:
    """The runs and where they lie."""
    rows = [row for part in source.parts.values() for row in part.rows]
    ranges = [f"{name}: {_range(part)}" if name else _range(part)
              for name, part in source.parts.items()]  # fmt: skip
    columns = ("run", "arm", "seed", "test loss", "excess", "directory")
    return Figure(
        name="runs",
        title="The runs",
        sentence=" ".join(ranges),
        table=table(columns, map(_run, rows)),
        note="A run again, compared with what is stored: normexp reproduce RUN.",
    )


def _run(row: Row) -> tuple[object, ...]:
    place = Path(row["directory"])
    loss = row.get("test_loss") if row["status"] == "complete" else row["status"]
    excess = row.get("excess_loss") if "norm.momentum" in row else None
    return (row["run_id"], row["arm"], row["seed"], loss, excess, Link(place.name, place))


def _range(source: Source) -> str:
    known = sorted(
        (row for row in source.rows if row.get("test_loss") is not None),
        key=lambda row: row["test_loss"],
    )
    if not known:
        return f"{counted(len(source.rows), 'run')}, none with a finite test loss."
    best, worst = (
        f"{cell(row['test_loss'])} ({row['arm']}, seed {row['seed']})"
        for row in (known[0], known[-1])
    )
    return f"Test losses of single runs go from {best} to {worst}."
