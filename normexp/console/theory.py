"""Expected errors by momentum, a curve in the terminal, and conventions of frameworks."""

from collections.abc import Sequence

from normexp.console.output import legend, print_table, say, stdout
from normexp.console.words import NOTHING, counted, keras, number, short, ticks
from normexp.theory.convert import Conversion
from normexp.theory.frameworks import CALLER, FIRST_BATCH, Framework
from normexp.theory.memory import half_life
from normexp.theory.predict import LIKELY, Prediction
from normexp.theory.setting import Setting

TORCH, KERAS = 0.1, 0.01
"""The frameworks' default momenta, both as PyTorch's; rows of every prediction."""

WORTH_A_LINE = 0.99
"""Of an error: what debiasing must get it down to."""

CAUSES = {"initial": "initial value", "drift": "drift", "noise": "sampling noise"}

DROP_ORDER = ("initial", "noise\nfactor", "in\nepochs", "weight\nleft", "keras",
              "half\nlife", "drift\nlag", "noise")  # fmt: skip

WIDEST_PLOT, HEIGHT_OF_PLOT = 72, 15

LEAST_SHARE = 1e-6
"""Values below this part of the largest are drawn there: zero has no logarithm."""

ASCII = str.maketrans("│┤└┴┬─┌┐┘├┼●", "||+++-++++++")


def print_drifts(predictions: Sequence[Prediction], momenta: Sequence[float] = ()) -> None:
    """The best momentum of one setting at several drifts, and which of these is likely."""
    _print_setting(predictions[0].setting, moving="not given")
    rows = [
        {
            "drift, σ\na step": f"{each.setting.drift_per_step:g}" + " *"[_is_likely(each)],
            "best\nmomentum": short(each.best.momentum, 10),
            "error": short(each.best.error),
            "keras": keras(each.best.momentum),
            **{
                f"error\nat {m:g}": short(_error_at(each, m))
                for m in sorted({*momenta, KERAS, TORCH})
            },
        }
        for each in predictions
    ]
    place = next(i for i, each in enumerate(predictions) if _is_likely(each))
    likely = predictions[place]
    print_table(rows, [*reversed(rows[0])][:-3], highlighted=place)
    say(
        f"* likely for a network that trains, {LIKELY:g} σ a step: {_best_line(likely)}",
        style="bold",
    )
    say(
        "Hidden layers that train at a constant learning rate move by 0.001 to 0.03 σ a step; only "
        "weights that hardly move, as when the rate has decayed to 0, have a drift near 0.\n"
        f"--drift {LIKELY:g} shows more of one drift; normexp predict STUDY asks stored trainings."
    )


def _is_likely(prediction: Prediction) -> bool:
    return prediction.setting.drift_per_step == LIKELY


def _error_at(prediction: Prediction, momentum: float) -> float:
    return next(row.error for row in prediction.rows if row.momentum == momentum)


def print_prediction(prediction: Prediction) -> None:
    """The errors of the momenta by cause, and the best one."""
    _print_setting(prediction.setting)
    epochs = prediction.setting.batches_per_epoch
    rows = [
        {
            "momentum": short(row.momentum, 10) + " *"[row is prediction.best],
            "keras": keras(row.momentum),
            "half\nlife": short(row.half_life_steps),
            "in\nepochs": None if epochs is None else short(row.half_life_epochs),
            "weight\nleft": short(row.initial_weight_left),
            "noise\nfactor": short(row.noise_factor),
            "initial": short(row.initial_error),
            "drift\nlag": short(row.drift_lag),
            "noise": short(row.noise),
            "error": short(row.error),
        }
        for row in prediction.rows
    ]
    best = prediction.rows.index(prediction.best)
    print_table(rows, DROP_ORDER, highlighted=best)
    legend(
        "error, drift lag and noise in σ; half life in steps; weight left of the initial "
        "value; noise factor: in the long run, of independent batches."
    )
    say(_best_line(prediction), style="bold")
    least = prediction.best.error
    if least:
        of_torch, of_keras = (number(_error_at(prediction, m) / least) for m in (TORCH, KERAS))
        say(f"the defaults: torch 0.1 {of_torch} times that, keras 0.99 {of_keras} times")
    momentum, error = prediction.debiased
    if error <= WORTH_A_LINE * least:
        name = f"momentum {short(momentum, 10)}" if momentum else "the cumulative mean"
        say(f"debiased (no initial value in it), {name} is best: error {short(error)} σ")
    print_curve("expected error in σ", prediction.curve)


def _print_setting(setting: Setting, moving: str = "") -> None:
    """The assumptions, the drift in words if `moving` has some."""
    order = {"shuffled": "a new order every epoch", "fixed": "the same order in every epoch"}
    head = f"{counted(setting.updates, 'update')} with batches of {setting.batch_size:,}"
    epoch = setting.batches_per_epoch
    if epoch is None:
        say(f"{head}, each drawn anew")
    else:
        epochs, more = divmod(setting.updates, epoch)
        say(
            f"{head} of {setting.train_size:,} examples, "
            f"{order.get(setting.order, 'each drawn anew')}: {counted(epochs, 'epoch')} of "
            f"{epoch:,} batches{f' and {more:,} more' if more else ''}"
        )
    size = f"{setting.drift_per_step:g} σ a step" if setting.drift_per_step else "none"
    say(f"initial value off by {setting.initial_error:g} σ; drift {moving or size}")
    if epoch and setting.last_batch < setting.batch_size and setting.updates % epoch == 0:
        say(
            f"note: evaluation comes right after a batch of {setting.last_batch:,}, which weighs "
            f"as much as one of {setting.batch_size:,}"
        )


def _best_line(prediction: Prediction) -> str:
    """The best momentum in both conventions, its error, and what that consists of."""
    best = prediction.best
    shares = sorted(best.shares.items(), key=lambda each: -each[1])
    causes = ", ".join(f"{CAUSES[name]} {share:.0%}" for name, share in shares if share >= 0.005)  # noqa: PLR2004  rounds to 1 %
    of_what = f" (squared: {causes})" if causes else ""
    return (
        f"best momentum {short(best.momentum, 10)}, keras {keras(best.momentum)}: "
        f"error {short(best.error)} σ{of_what}"
    )


def print_curve(what: str, points: Sequence[tuple[float, float]]) -> None:
    """Plot a curve by momentum on logarithmic axes, its least value marked."""
    import plotext  # imported where a curve is drawn: it takes 0.1 s

    largest = max(value for _, value in points)
    if largest == 0:
        return
    momenta = [momentum for momentum, _ in points]
    values = [max(value, LEAST_SHARE * largest) for _, value in points]
    least = values.index(min(values))
    is_plain = stdout().options.ascii_only
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(min(WIDEST_PLOT, stdout().width), HEIGHT_OF_PLOT)
    plotext.xscale("log")
    plotext.yscale("log")
    for place, axis in ((plotext.xticks, momenta), (plotext.yticks, values)):
        ends = min(axis), max(axis)
        shown = found if len(found := ticks(*ends)) > 1 else ends
        place(shown, [f"{each:.4g}" for each in shown])
    plotext.plot(momenta, values, marker="*" if is_plain else "braille")
    plotext.scatter([momenta[least]], [values[least]], marker="O" if is_plain else "●")
    say(f"\n{what} by momentum; both axes logarithmic")
    for line in plotext.uncolorize(plotext.build()).splitlines():
        say(line.translate(ASCII) if is_plain else line)


SIGNS = {"not verified": "?", "depends on version": "varies", "time constant": "time",
         "nothing": NOTHING, "none": NOTHING, "debiased": "yes", FIRST_BATCH: "copy",
         CALLER: NOTHING}  # fmt: skip
"""Short for what a framework does."""

LONG, WIDE = 11, 96
"""Characters of a parameter that stands below a table narrower than that many columns."""

LEGEND = """\
weighs: what the parameter is the weight of, the new batch or the old value; time: a time constant \
in samples. running variance: of the batch variances over n (biased) or n − 1 that are averaged; \
? not verified, varies: with the version. debias: whether the initial value is taken out. starts: \
the running mean and variance at first; copy: the first batch. norm/framework=NAME trains and \
evaluates as one of them; --json has remarks and sources."""


def print_conversion(conversion: Conversion) -> None:
    """The value in both conventions, then what else differs, then remarks."""
    one, other = conversion.source, conversion.target
    say(f"{one.title}: {conversion.given}", style="bold")
    say(f"{other.title}: {conversion.typed}", style="bold")
    newest = conversion.newest
    if newest == "cumulative":
        say("the cumulative mean: at step t the newest batch weighs 1/t")
    else:
        steps = half_life(newest)
        lasts = "" if steps is None else f"; half-life {number(steps)} batches"
        say(f"the newest batch weighs {newest:.6g}, the old value {1 - newest:.6g}{lasts}")
    if conversion.differences:
        rows = [
            {
                "differs": each.what,
                one.title: each.source,
                other.title: each.target,
                "to get the first's results": each.todo or NOTHING,
            }
            for each in conversion.differences
        ]
        print_table(rows)
    elif one != other:
        say("nothing else differs")
    for remark in conversion.remarks:
        legend(remark)


def print_frameworks(frameworks: Sequence[Framework]) -> None:
    """A row a framework, and what the columns mean."""
    long = [each for each in frameworks if len(each.parameter or "") > LONG]
    if stdout().width >= WIDE:
        long = []
    rows = [
        {
            "framework": each.name,
            "parameter": "..." if each in long else each.parameter or NOTHING,
            "weighs": SIGNS.get(each.weighs, each.weighs),
            "default": short(each.default, 6),
            "eps": short(each.eps, 6),
            "running\nvariance": SIGNS.get(each.averages, each.averages),
            "debias": SIGNS.get(each.debiasing, each.debiasing),
            "starts": SIGNS.get(each.starts_at, each.starts_at),
        }
        for each in frameworks
    ]
    print_table(rows)
    below = "".join(f"... of {each.name}: {each.parameter}\n" for each in long)
    legend(below + LEGEND)
