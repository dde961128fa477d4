"""What `predict` shows: a table of momenta, the best one, and a plot."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from normexp.console.columns import fits, table_of
from normexp.console.plot import curve
from normexp.console.streams import stdout
from normexp.console.words import NOTHING, counted, number
from normexp.frameworks.momentum import turned
from normexp.theory.predict import LIKELY, Prediction, Row
from normexp.theory.setting import Setting

WIDEST_PLOT = 72

TORCH, KERAS = 0.1, 0.01
"""The frameworks' default momenta, both as PyTorch's; rows of every prediction."""

WORTH_A_LINE = 0.99
"""Of an error: what debiasing must get it down to."""

LEAST_SHOWN = 1e-6

CAUSES = {"initial": "initial value", "drift": "drift", "noise": "sampling noise"}

ECONOMIES = ("initial", "noise\nfactor", "in\nepochs", "weight\nleft", "keras",
             "half\nlife", "drift\nlag", "noise")  # fmt: skip
"""What a narrow terminal does without, the first first."""


class _Column(NamedTuple):
    title: str
    cell: Callable[[Row], str]


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """One after the other, in the order given."""
    console = stdout()
    for place, prediction in enumerate(predictions):
        if place:
            console.print()
        _print(console, prediction)


def print_drifts(predictions: Sequence[Prediction], momenta: Sequence[float] = ()) -> None:
    """The best momentum of one setting at several drifts, and which of these is likely.

    Args:
        predictions: one a drift.
        momenta: whose errors are shown beside the defaults'.
    """
    console = stdout()
    assumed = predictions[0].setting
    for line in described(assumed, moving="not given"):
        console.print(line, soft_wrap=True)
    console.print(_drift_table(console, predictions, sorted({*momenta, KERAS, TORCH})))
    (likely,) = (each for each in predictions if each.setting.drift_per_step == LIKELY)
    console.print(
        f"* likely for a network that trains, {LIKELY:g} σ a step: {best_line(likely)}",
        style="bold",
        soft_wrap=True,
    )
    console.print(
        "Hidden layers that train at a constant learning rate move by 0.001 to 0.03 σ a step; only "
        "weights that hardly move, as when the rate has decayed to 0, have a drift near 0.\n"
        f"--drift {LIKELY:g} shows more of one drift; normexp predict STUDY asks stored trainings.",
        soft_wrap=True,
    )


def _drift_table(
    console: Console, predictions: Sequence[Prediction], momenta: Sequence[float]
) -> Table:
    """One row a drift; as many columns as there is room for."""
    columns: dict[str, Callable[[Prediction], str]] = {
        "drift, σ\na step": lambda each: (
            f"{each.setting.drift_per_step:g}" + " *"[each.setting.drift_per_step == LIKELY]
        ),
        "best\nmomentum": lambda each: _momentum(each.best.momentum),
        "error": lambda each: _figure(each.best.budget.error),
        "keras": lambda each: _momentum(turned(each.best.momentum)),
    }
    for momentum in momenta:
        columns[f"error\nat {momentum:g}"] = lambda each, momentum=momentum: _figure(  # type: ignore[misc]
            next(row.budget.error for row in each.rows if row.momentum == momentum)
        )
    for left_out in range(len(columns)):
        kept = list(columns)[: len(columns) - left_out]
        table = table_of(right=kept)
        for each in predictions:
            style = "bold" if each.setting.drift_per_step == LIKELY else None
            table.add_row(*(columns[title](each) for title in kept), style=style)
        if fits(console, table):
            break
    return table


def _print(console: Console, prediction: Prediction) -> None:
    if prediction.name:
        console.print(prediction.name, style="bold")
    for line in described(prediction.setting):
        console.print(line, soft_wrap=True)
    console.print(_table(console, prediction))
    console.print(
        "error, drift lag and noise in σ; half life in steps; weight left of the initial "
        "value; noise factor: in the long run, of independent batches.",
        style="dim",
    )
    console.print(best_line(prediction), style="bold", soft_wrap=True)
    for line in (_defaults_line(prediction), *_debiased_lines(prediction)):
        console.print(line, soft_wrap=True)
    best = (prediction.best.momentum, prediction.best.budget.error)
    place = best if best[0] else prediction.curve[0]
    plot = curve(prediction.curve, place, width=min(WIDEST_PLOT, console.width),
                 ascii_only=console.options.ascii_only)  # fmt: skip
    if plot:
        console.print("\nexpected error in σ by momentum; both axes logarithmic")
    for line in plot:
        console.print(line, soft_wrap=True)


def described(setting: Setting, moving: str = "") -> list[str]:
    """What was assumed, and what to know of the place where it is evaluated.

    Args:
        setting: assumed.
        moving: said of the drift instead of its size.
    """
    size = f"batches of {setting.batch_size:,}"
    head = f"{counted(setting.updates, 'update')} with {size}"
    lines = [f"{head}, each drawn anew" if setting.train_size is None else _epochs(head, setting)]
    size = f"{setting.drift_per_step:g} σ a step" if setting.drift_per_step else "none"
    lines.append(f"initial value off by {setting.initial_error:g} σ; drift {moving or size}")
    epoch = setting.batches_per_epoch
    if epoch and setting.last_batch < setting.batch_size and setting.updates % epoch == 0:
        lines.append(
            f"note: evaluation comes right after a batch of {setting.last_batch:,}, which weighs "
            f"as much as one of {setting.batch_size:,}"
        )
    return lines


def best_line(prediction: Prediction) -> str:
    """The best momentum in both conventions, its error, and what that consists of."""
    best = prediction.best
    shares = sorted(best.budget.shares.items(), key=lambda each: -each[1])
    causes = ", ".join(f"{CAUSES[name]} {share:.0%}" for name, share in shares if share >= 0.005)  # noqa: PLR2004  rounds to 1 %
    of_what = f" (squared: {causes})" if causes else ""
    return (
        f"best momentum {_momentum(best.momentum)}, keras {_momentum(turned(best.momentum))}: "
        f"error {best.budget.error:.3g} σ{of_what}"
    )


def _defaults_line(prediction: Prediction) -> str:
    """How much worse the frameworks' defaults are expected to be."""
    errors = {row.momentum: row.budget.error for row in prediction.rows}
    least = prediction.best.budget.error
    if not least:
        return "the frameworks' defaults: torch 0.1, keras 0.99"
    return (
        f"the defaults: torch 0.1 {number(errors[TORCH] / least)} times that, "
        f"keras 0.99 {number(errors[KERAS] / least)} times"
    )


def _debiased_lines(prediction: Prediction) -> list[str]:
    """What taking the initial value out would gain, where it would."""
    momentum, error = prediction.debiased
    if error > WORTH_A_LINE * prediction.best.budget.error:
        return []
    name = f"momentum {_momentum(momentum)}" if momentum else "the cumulative mean"
    return [f"debiased (no initial value in it), {name} is best: error {error:.3g} σ"]


def _epochs(head: str, setting: Setting) -> str:
    """How the updates are spread over epochs."""
    batches = setting.batches_per_epoch or 1
    epochs, more = divmod(setting.updates, batches)
    order = "a new order every epoch" if setting.order == "shuffled" else "one order for ever"
    if setting.order == "independent":
        order = "each drawn anew"
    rest = f" and {more:,} more" if more else ""
    return (
        f"{head} of {setting.train_size:,} examples, {order}: "
        f"{counted(epochs, 'epoch')} of {batches:,} batches{rest}"
    )


def _table(console: Console, prediction: Prediction) -> Table:
    """As much of the table as there is room for."""
    columns = _columns(prediction)
    for left_out in range(len(ECONOMIES) + 1):
        kept = [column for column in columns if column.title not in ECONOMIES[:left_out]]
        table = table_of(right=[column.title for column in kept])
        for row in prediction.rows:
            style = "bold" if row is prediction.best else None
            table.add_row(*(column.cell(row) for column in kept), style=style)
        if fits(console, table):
            break
    return table


def _columns(prediction: Prediction) -> list[_Column]:
    columns = [
        _Column("momentum", lambda row: _momentum(row.momentum) + " *"[row is prediction.best]),
        _Column("keras", lambda row: _momentum(turned(row.momentum))),
        _Column("half\nlife", lambda row: _figure(row.half_life_steps)),
        _Column("in\nepochs", lambda row: _figure(row.half_life_epochs)),
        _Column("weight\nleft", lambda row: _figure(row.initial_weight_left)),
        _Column("noise\nfactor", lambda row: _figure(row.noise_factor)),
        _Column("initial", lambda row: _figure(abs(row.budget.initial))),
        _Column("drift\nlag", lambda row: _figure(abs(row.budget.drift))),
        _Column("noise", lambda row: _figure(row.budget.noise)),
        _Column("error", lambda row: _figure(row.budget.error)),
    ]
    if prediction.setting.batches_per_epoch is None:
        return [column for column in columns if column.title != "in\nepochs"]
    return columns


def _momentum(value: float) -> str:
    return f"{value:.10g}"


def _figure(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"<{LEAST_SHOWN:g}" if 0 < value < LEAST_SHOWN else f"{value:.3g}"
