"""Tables of error budgets, and of momenta tried on stored trainings."""

import math
from collections.abc import Mapping, Sequence

from normexp.console.output import legend, print_table, say, with_fields
from normexp.console.theory import print_curve
from normexp.console.words import counted, keras, number, short
from normexp.errors import UsageError
from normexp.insight.budget import ALL, PARTS, ArmBudget, RunBudget, loss, report
from normexp.insight.forecast import Forecast
from normexp.insight.training import NO_NETWORK
from normexp.theory.budget import best_momentum
from normexp.theory.setting import Setting

SHOWN = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 1.0)
"""Momenta of a table, beside the best and those of stored runs."""

ALONE = (
    "all of it: what it raises the training loss by in evaluation mode; alone: the same of each "
    "part. "
)

MEDIANS = (
    "Medians over trainings, where sweep's tables have means. Training loss: of the training "
    "examples in evaluation mode, with each momentum's running statistics; no test example is "
    "looked at."
)


def print_budget_of_run(budget: RunBudget) -> None:
    """One run: every layer at the end of the training, and what its error costs."""
    cost, row = budget.cost, budget.run.row
    say(f"{row['label']}  {row['run_id']}", style="bold")
    layers = [
        {"layer": layer["layer"]}
        | {f"mean\n{part}": f"{layer['mean'][part]:.3f}" for part in ALL}
        | {"variance\nerror": f"{layer['var']['error']:.3f}"}
        | {"ln\nratio": f"{layer['log_var_ratio']:.3f}"}
        for layer in report(budget)["layers"]
    ]
    print_table(layers)
    legend(
        "means in σ of the population, RMS over channels: error = initial + drift + noise in every "
        "channel. variance: mean of (running − population) / population, and of ln(running / "
        "population)."
    )
    if cost:
        parts = ", ".join(f"{part} {number(cost[part])}" for part in PARTS)
        say(f"raises the training loss by {number(cost['error'])}; parts alone: {parts}")
    else:
        say(f"what that costs in training loss cannot be said: {NO_NETWORK}")
    names = ("test_loss", "test_loss_population", "excess_loss")
    whole, truth, excess = (number(loss(row, name)) for name in names)
    say(f"test loss {whole} = population {truth} + excess {excess}")


def print_budget_of_arms(arms: Sequence[ArmBudget], fields: Sequence[str]) -> None:
    """One row an arm, medians over seeds."""
    known = any(not math.isnan(arm.cost["error"]) for arm in arms)
    rows = []
    for arm in arms:
        parts = {f"{part}\nin σ": round(arm.mean[part], 9) for part in PARTS}
        if known:
            parts = {f"{part}\nalone": arm.cost[part] for part in PARTS}
            parts["all\nof it"] = arm.cost["error"]
        error = {"n": arm.n, "error\nin σ": arm.mean["error"]}
        rows.append((arm.values, error | parts | {"excess": number(arm.excess)}))
    print_table(with_fields(rows, fields))
    legend(
        "medians over seeds at the end, where sweep's tables have means. error: RMS over channels "
        "of (running − population mean) / σ. "
        + (ALONE if known else f"What parts cost cannot be said: {NO_NETWORK}. ")
        + "excess: what the test loss has risen by. "
        "Below 0, running statistics do better than the population's, as they can where the net "
        "fits badly."
    )


def print_forecasts(forecasts: Sequence[Forecast]) -> None:
    """A single cell whole; of several what is best in each."""
    if len(forecasts) == 1:
        _print_cell(forecasts[0])
        return
    fields = list(dict.fromkeys(path for each in forecasts for path in each.values))
    rows = []
    for each in forecasts:
        best, measured = each.best, each.best_measured
        cells = {
            "n": each.n,
            "best": f"{best.momentum:.10g}",
            "keras": keras(best.momentum),
            "training\nloss": best.training_loss,
            "test\nloss": number(best.measured),
            "best\nmeasured": short(measured.momentum if measured else None, 10),
            "its test\nloss": number(measured.measured if measured else None),
            "population": number(each.population),
        }
        rows.append((each.values, cells))
    print_table(with_fields(rows, fields))
    legend(
        "best: the momentum with the least training loss; test loss: of stored runs there. "
        f"{MEDIANS}"
    )


def _print_cell(forecast: Forecast) -> None:
    best, measured = forecast.best, forecast.best_measured
    shown = [
        each
        for each in forecast.tried
        if each.momentum in SHOWN or each.measured is not None or each is best
    ]
    rows = [
        {
            "momentum ": f"{each.momentum:g}" + " *"[each is best],
            "keras": keras(each.momentum),
            "training\nloss": each.training_loss,
            **{part: each.parts[part] for part in PARTS},
            "test\nloss": number(each.measured),
            "n": number(each.n or None),
        }
        for each in shown
    ]
    print_table(rows, highlighted=shown.index(best))
    legend(
        f"{MEDIANS} initial, drift, noise: what the training loss would rise by if the statistics "
        "were off from the population's by that alone; where a net fits badly, some errors lower "
        "the loss."
    )
    say(
        f"best momentum {best.momentum:g}, keras {keras(best.momentum)}: training loss "
        f"{number(best.training_loss)}, under the population's statistics "
        f"{number(best.training_loss - best.cost)}; the population's median test loss is "
        f"{number(forecast.population)} ({counted(forecast.n, 'training')})",
        style="bold",
    )
    if measured is not None:
        say(f"best measured: {measured.momentum:g}, median test loss {number(measured.measured)}")
    points = [
        (each.momentum, each.training_loss)
        for each in forecast.tried
        if each.momentum > 0 and math.isfinite(each.training_loss)
    ]
    print_curve("training loss", points)
    _print_layers(forecast.layers)


def _print_layers(layers: Mapping[str, Setting]) -> None:
    """Drift, noise and the best momentum of each layer by theory."""
    if not layers:
        say("too few batches in the last quarter to tell noise from drift, layer by layer")
        return
    rows = []
    for name, setting in layers.items():
        try:
            best = round(best_momentum(setting), 3)
        except UsageError:  # batches of one have no variance
            continue
        noise = (setting.noise_scale / setting.batch_size) ** 0.5
        rows.append(
            {
                "layer": name,
                "drift\na step": f"{setting.drift_per_step:.4f}",
                "random\nstep": f"{setting.walk_per_step:.4f}",
                "noise of\na batch": f"{noise:.4f}",
                "of σ/√B": f"{setting.noise_scale**0.5:.0%}",
                "best\nmomentum": f"{best:g}",
                "keras": keras(best),
            }
        )
    print_table(rows)
    legend(
        "each layer's means at the end of the training, in σ, and the momentum that is best for "
        "them alone by theory. Noise far below σ/√B is no slip: where the layers below are "
        "normalised by the batch, its mean hardly scatters."
    )
