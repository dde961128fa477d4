"""Arms as tables: one row each, or one column a momentum where there are many."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normexp.analysis import Arm
from normexp.config.answers import data_set, data_sets
from normexp.config.norm_fields import WITHOUT_MOMENTUM
from normexp.console.columns import Column, filled, fits, table_of
from normexp.console.words import NOTHING, SKEWED_NOTE, field_value, heading, interval, number

MOMENTUM = "norm.momentum"

MOST_ROWS = 24
"""Arms beyond which a table has a column a momentum."""

FEWEST_MOMENTA = 3

ROUNDING = 1e-6
"""Of a loss in float32: an excess below is none."""

ECONOMIES = ("half-life", "loss by population", "keras", "accuracy by population")
"""What a narrow terminal does without, the first first."""


BY_ARM = (
    "mean ± 95 % interval over seeds. excess = test loss − population loss: what the running "
    "statistics cost, on the same weights. half-life in steps."
)
BY_MOMENTUM = (
    "test loss, mean over seeds, by momentum as in PyTorch; * the best. population: the same "
    "weights normalised by the training set's own statistics."
)
BELOW = "Below 0, running statistics do better than the population's."
SKEWED = f"{SKEWED_NOTE} --json has medians, normexp compare ratios."
"""What the columns of tables mean."""


def print_arms(console: Console, arms: Sequence[Arm], differing: Sequence[str]) -> None:
    """A table that fits for each data set, and what its columns mean."""
    names = data_sets(arm.values for arm in arms)
    notes: dict[str, None] = {}
    for key, name in names.items():
        if len(names) > 1:
            console.print(Text(name, "bold"), soft_wrap=True)
        part = [arm for arm in arms if data_set(arm.values) == key]
        notes |= dict.fromkeys(_print_part(console, part, differing))
    if len(names) > 1:
        notes["losses on different data are not compared."] = None
    console.print(" ".join(notes), style="dim")


def _print_part(console: Console, arms: Sequence[Arm], differing: Sequence[str]) -> list[str]:
    """The arms of one data set; what their columns mean."""
    fields = _telling(arms, differing)
    momenta = list({arm.values[MOMENTUM]: None for arm in arms if MOMENTUM in arm.values})
    if len(arms) > MOST_ROWS and len(momenta) >= FEWEST_MOMENTA:
        fields.remove(MOMENTUM)
        for table in _by_momentum(console, arms, fields, momenta):
            console.print(table)
        return [BY_MOMENTUM]
    console.print(_by_arm(console, arms, fields))
    is_skewed = any(value.is_skewed for arm in arms for value in arm.estimates.values())
    is_below = any(_excess(arm).startswith("-") for arm in arms)
    return [BY_ARM, *([SKEWED] if is_skewed else []), *([BELOW] if is_below else [])]


def _telling(arms: Sequence[Arm], differing: Sequence[str]) -> list[str]:
    """The fields to show: those in which the arms differ, and the momentum."""
    present = [path for path in differing if any(path in arm.values for arm in arms)]
    return [
        path
        for path in present
        if path == MOMENTUM or len({repr(arm.values.get(path)) for arm in arms}) > 1
    ]


def _by_arm(console: Console, arms: Sequence[Arm], fields: Sequence[str]) -> Table:
    """One row an arm: what it is, what it came to, as much of it as there is room for."""
    for number_left_out in range(len(ECONOMIES) + 1):
        table = filled(_columns(arms, fields, ECONOMIES[:number_left_out]), arms)
        if fits(console, table):
            break
    return table


def _columns(
    arms: Sequence[Arm], fields: Sequence[str], left_out: Sequence[str]
) -> list[Column[Arm]]:
    columns = [_field(path, keras="keras" not in left_out) for path in fields]
    if "half-life" not in left_out and any(arm.half_life_steps is not None for arm in arms):
        columns.append(Column("half\nlife", _half_life))
    columns.append(Column("n", lambda arm: str(arm.n)))
    if any("test_accuracy" in arm.estimates for arm in arms):
        columns.append(_metric("accuracy", "test_accuracy"))
        if "accuracy by population" not in left_out:
            columns.append(_metric("population\naccuracy", "test_accuracy_population"))
    columns.append(_metric("test loss", "test_loss"))
    if "loss by population" not in left_out:
        columns.append(_metric("population", "test_loss_population"))
    return [*columns, Column("excess", _excess)]


def _field(path: str, *, keras: bool) -> Column[Arm]:
    return Column(
        heading(path, keras=keras),
        lambda arm: field_value(path, arm.values, keras=keras),
        is_figure=False,
    )


def _metric(title: str, name: str) -> Column[Arm]:
    return Column(
        title, lambda arm: interval(arm.estimates[name]) if name in arm.estimates else NOTHING
    )


def _half_life(arm: Arm) -> str:
    return NOTHING if arm.half_life_steps is None else f"{arm.half_life_steps:.3g}"


def _excess(arm: Arm) -> str:
    excess, population = (arm.estimates[n] for n in ("excess_loss", "test_loss_population"))
    if not arm.has_statistics:
        return NOTHING
    if abs(excess.mean) < ROUNDING * abs(population.mean):
        return "0"
    return interval(excess)


def _by_momentum(
    console: Console, arms: Sequence[Arm], fields: Sequence[str], momenta: Sequence[float | None]
) -> list[Table]:
    """One row for all momenta, the best marked; more than one table where they are too wide."""
    for number_of_tables in range(1, len(momenta) + 1):
        size = -(-len(momenta) // number_of_tables)
        chunks = [momenta[start : start + size] for start in range(0, len(momenta), size)]
        tables = [_pivot(arms, fields, chunk) for chunk in chunks]
        if all(fits(console, table) for table in tables):
            break
    return tables


def _pivot(arms: Sequence[Arm], fields: Sequence[str], momenta: Sequence[float | None]) -> Table:
    rows: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        rows.setdefault(tuple(field_value(path, arm.values) for path in fields), []).append(arm)
    references = any(a.values.get("norm.estimator") in WITHOUT_MOMENTUM for a in arms)
    none = "none " if references else "cum. "
    titles = [none if momentum is None else f"{momentum:g} " for momentum in momenta]
    table = table_of(*map(heading, fields), right=("n", "population", *titles))
    for key, members in rows.items():
        populations = {arm.estimates["test_loss_population"].mean for arm in members}
        population = number(populations.pop()) if len(populations) == 1 else NOTHING
        n = sorted({arm.n for arm in members})
        tested = [arm for arm in members if MOMENTUM in arm.values]
        losses = {arm.values[MOMENTUM]: arm.estimates["test_loss"].mean for arm in tested}
        best = min(losses.values(), default=None)
        cells = [
            number(losses[m]) + "* "[losses[m] != best] if m in losses else NOTHING + " "
            for m in momenta
        ]
        table.add_row(*key, "–".join(map(str, n[:: len(n) - 1 or 1])), population, *cells)
    return table
