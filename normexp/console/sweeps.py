"""A plan, and the result of a sweep: a row an arm, or a column a momentum; and of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal
from rich.text import Text

from normexp.config.data import data_set, data_sets
from normexp.config.norm import WITHOUT_MOMENTUM
from normexp.console.output import (
    field_cells,
    fits,
    legend,
    note,
    print_command,
    print_table,
    say,
    warn,
)
from normexp.console.words import (
    METRICS,
    NOTHING,
    SKEWED_NOTE,
    counted,
    duration,
    field_value,
    interval,
    keras,
    listed,
    number,
    short,
)
from normexp.insight.arms import Arm
from normexp.sweeps.outcome import Outcome
from normexp.sweeps.plan import Plan

MOMENTUM = "norm.momentum"

MOST_ROWS = 24
"""Arms beyond which a table has a column a momentum."""

FEWEST_MOMENTA = 3

ROUNDING = 1e-6
"""Of a loss in float32: an excess below is none."""

MOST_TRIALS = 5
"""Of a search that are shown; --json has all."""

BY_TRIAL = (
    "median over seeds, at the best of what was read off a trial's trainings; inf: diverged. "
    "To see the first:"
)

MEANS = {
    "accuracy": "test_accuracy",
    "population\naccuracy": "test_accuracy_population",
    "test loss": "test_loss",
    "population": "test_loss_population",
}
"""Metrics of an arm, by the titles of their columns."""

DROP_ORDER = ("half\nlife", "population", "keras", "population\naccuracy", "accuracy", "excess")

BY_ARM = "mean ± 95 % interval over seeds."
OF_COLUMNS = {
    "excess": (
        "excess = test loss − population loss: what the running statistics cost, on the same "
        "weights."
    ),
    "half\nlife": "half-life in steps.",
}
"""What these columns mean, where they are shown."""
BY_MOMENTUM = (
    "test loss, mean over seeds, by momentum as in PyTorch; * the best. population: the same "
    "weights normalised by the training set's own statistics."
)
BELOW = "Below 0, running statistics do better than the population's."
SKEWED = f"{SKEWED_NOTE} --json has medians, normexp compare ratios."


def print_plan(plan: Plan) -> None:
    """A plan: what there is to do, what is there already, and about how long it takes."""
    study = plan.study
    typed = " ".join(each for each in study.overrides if each != f"study={study.name}")
    say(f"{study.name} with {typed}" if typed else f"{study.name}: {study.about}")
    say(
        f"{counted(len(study.runs), 'run')} → {counted(plan.trajectories, 'trajectory')} "
        f"→ {counted(len(plan.stacks), 'stack')} to work on"
    )
    say(
        f"cached {counted(len(plan.cached), 'run')} · to train "
        f"{counted(plan.to_train, 'trajectory')} · to observe {counted(plan.to_observe, 'run')}"
    )
    legend("a trajectory is one training; those of one stack train side by side")
    say("all:", plan.common)
    axes = [{"axis": axis.key, "values": listed(axis.values)} for axis in study.axes]
    print_table(axes)
    for each in (*study.notes, *plan.warnings):
        say(f"note: {each}")
    if plan.stacks:
        seconds = plan.estimate_seconds
        about = "under a second" if seconds < 1 else f"about {duration(seconds)}"
        say(f"estimate: {about} with {counted(plan.workers, 'worker')}, start-up aside")
        memory, disk = decimal(plan.memory_bytes), decimal(plan.disk_bytes)
        say(f"about {memory} of memory, {disk} of disk")
    else:
        say("nothing to do: every run is there")


def print_result(result: Outcome) -> None:
    """A sweep's table, its warnings, and its directory on the last line."""
    plan = result.plan
    also = f", {len(result.failed):,} failed" if result.failed else ""
    others = len(result.rows) - result.planned["cached"] - result.observed
    also += f", {others:,} made by another sweep" if others > 0 else ""
    say(
        f"{plan.study.name}: {counted(len(plan.study.runs), 'run')}, "
        f"{result.planned['cached']:,} cached, {result.observed:,} observed{also}; "
        f"{counted(result.trained, 'trajectory')} trained; {duration(result.seconds)}",
    )
    if result.rows:
        print_arms(result.arms, result.differing)
    for each in plan.study.notes if plan.study.overrides else ():  # nothing surprises by default
        note(each)
    if diverged := sum(arm.diverged for arm in result.arms):
        note(f"{counted(diverged, 'run')} diverged, left out of the means")
    for each in result.warnings:
        warn(each)
    for each in result.errors:
        note(each, "failed", "bold red")
    say(str(result.directory))


def print_detached(detached: Outcome) -> None:
    """A sweep that goes on by itself: what was submitted, how to look, its directory last."""
    plan = detached.plan
    what = f"{counted(plan.to_observe, 'run')} in {counted(len(plan.stacks), 'stack')}"
    job = detached.jobs[-1]
    state = "has" if detached.status == "submitted" else "is running;"
    end = "" if detached.status == "submitted" else " are to come"
    say(f"{plan.study.name}: Slurm's job {job} {state} {what}{end}")
    say(
        "normexp ls shows how it goes; the same command without --detach waits and sums up; "
        f"scancel {job} ends it"
    )
    say(str(detached.directory))


def print_search(found: Mapping[str, Any]) -> None:
    """The best trials of a search, the command of the best, and the record on the last line."""
    trials, metric = found["trials"], found["metric"]
    over = ", ".join(f"{key} ({text})" for key, text in found["space"].items())
    say(f"{found['study']}: {counted(len(trials), 'trial')} over {over}")
    fields = [*trials[0]["values"], *trials[0]["observed"]]
    rows = [
        {"trial": row["trial"]}
        | field_cells(fields, row["values"] | row["observed"])
        | {METRICS.get(metric, metric): row["value"]}
        for row in trials[:MOST_TRIALS]
    ]
    print_table(rows, highlighted=0)
    legend(BY_TRIAL)
    print_command(found["command"])
    say(found["storage"])


def print_arms(arms: Sequence[Arm], differing: Sequence[str]) -> None:
    """A table for each data set, and what its columns mean."""
    names = data_sets(arm.values for arm in arms)
    notes: dict[str, None] = {}
    for key, name in names.items():
        if len(names) > 1:
            say(Text(name, "bold"))
        part = [arm for arm in arms if data_set(arm.values) == key]
        notes |= dict.fromkeys(_print_part(part, differing))
    if len(names) > 1:
        notes["losses on different data are not compared."] = None
    legend(" ".join(notes))


def _print_part(arms: Sequence[Arm], differing: Sequence[str]) -> list[str]:
    """Print the arms of one data set; return what their columns mean."""
    fields = [
        path
        for path in differing
        if any(path in arm.values for arm in arms)
        and (path == MOMENTUM or len({repr(arm.values.get(path)) for arm in arms}) > 1)
    ]
    momenta = list({arm.values[MOMENTUM]: None for arm in arms if MOMENTUM in arm.values})
    if len(arms) > MOST_ROWS and len(momenta) >= FEWEST_MOMENTA:
        fields.remove(MOMENTUM)
        _print_by_momentum(arms, fields, momenta)
        return [BY_MOMENTUM]
    rows = [_cells(arm, fields) for arm in arms]
    shown = print_table(rows, DROP_ORDER)
    is_skewed = any(value.is_skewed for arm in arms for value in arm.estimates.values())
    is_below = any(_excess(arm).startswith("-") for arm in arms)
    meanings = [text for title, text in OF_COLUMNS.items() if title in shown]
    below = [BELOW] if is_below and "excess" in shown else []
    return [BY_ARM, *meanings, *([SKEWED] if is_skewed else []), *below]


def _cells(arm: Arm, fields: Sequence[str]) -> dict[str, str | None]:
    """Return the fields and results of an arm."""
    cells: dict[str, str | None] = {}
    for title, value in field_cells(fields, arm.values).items():
        cells[title] = value
        if title == "momentum":
            cells["keras"] = keras(arm.values.get(MOMENTUM))
    half_life = arm.half_life_steps
    cells |= {"half\nlife": None if half_life is None else short(half_life), "n": str(arm.n)}
    for title, name in MEANS.items():
        cells[title] = interval(arm.estimates[name]) if name in arm.estimates else None
    return cells | {"excess": _excess(arm)}


def _excess(arm: Arm) -> str:
    excess, population = (arm.estimates[n] for n in ("excess_loss", "test_loss_population"))
    if not arm.has_statistics:
        return NOTHING
    if abs(excess.mean) < ROUNDING * abs(population.mean):
        return "0"
    return interval(excess)


def _print_by_momentum(
    arms: Sequence[Arm], fields: Sequence[str], momenta: Sequence[float | None]
) -> None:
    """Print one row for all momenta; several tables, one below the other, if it is too wide."""
    rows: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        rows.setdefault(tuple(field_value(path, arm.values) for path in fields), []).append(arm)
    heads = [
        field_cells(fields, row[0].values) | {"n": _sizes(row), "population": _population(row)}
        for row in rows.values()
    ]
    has_others = any(a.values.get("norm.estimator") in WITHOUT_MOMENTUM for a in arms)
    losses = [
        _by_momentum(row, momenta, "none " if has_others else "cum. ") for row in rows.values()
    ]
    for parts in range(1, len(momenta) + 1):
        size = -(-len(momenta) // parts)
        tables = [
            [
                {**head, **dict([*row.items()][start : start + size])}
                for head, row in zip(heads, losses, strict=True)
            ]
            for start in range(0, len(momenta), size)
        ]
        if all(fits(each) for each in tables):
            break
    for each in tables:
        print_table(each)


def _by_momentum(row: Sequence[Arm], momenta: Sequence[float | None], none: str) -> dict[str, str]:
    """Return the test losses of arms that differ in momentum alone, the best one marked."""
    losses = {
        a.values[MOMENTUM]: a.estimates["test_loss"].mean for a in row if MOMENTUM in a.values
    }
    best = min(losses.values(), default=None)
    return {
        none if each is None else f"{each:g} ": number(losses.get(each))
        + ("*" if each in losses and losses[each] == best else " ")
        for each in momenta
    }


def _sizes(row: list[Arm]) -> str:
    sizes = sorted({arm.n for arm in row})
    return "–".join(map(str, sizes[:: len(sizes) - 1 or 1]))


def _population(row: list[Arm]) -> str:
    """The loss by population; none if the weights differ by momentum."""
    losses = {arm.estimates["test_loss_population"].mean for arm in row}
    return number(losses.pop()) if len(losses) == 1 else NOTHING
