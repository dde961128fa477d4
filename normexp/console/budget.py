"""Tables of error budgets, and of momenta tried on stored trainings."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console

from normexp.console.output import Column, field_columns, legend, print_table, stdout, words_of
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
    console, cost, row = stdout(), budget.cost, budget.run.row
    console.print(f"{row['label']}  {row['run_id']}", style="bold")
    columns = [
        words_of("layer", lambda layer: layer["layer"]),
        *(
            Column(f"mean\n{part}", partial(lambda p, layer: f"{layer['mean'][p]:.3f}", part))
            for part in ALL
        ),
        Column("variance\nerror", lambda layer: f"{layer['var']['error']:.3f}"),
        Column("ln\nratio", lambda layer: f"{layer['log_var_ratio']:.3f}"),
    ]
    print_table(console, report(budget)["layers"], columns)
    legend(
        "means in σ of the population, RMS over channels: error = initial + drift + noise in every "
        "channel. variance: mean of (running − population) / population, and of ln(running / "
        "population)."
    )
    if cost:
        parts = ", ".join(f"{part} {number(cost[part])}" for part in PARTS)
        console.print(f"raises the training loss by {number(cost['error'])}; parts alone: {parts}")
    else:
        console.print(f"what that costs in training loss cannot be said: {NO_NETWORK}")
    names = ("test_loss", "test_loss_population", "excess_loss")
    whole, truth, excess = (number(loss(row, name)) for name in names)
    console.print(f"test loss {whole} = population {truth} + excess {excess}")


def print_budget_of_arms(arms: Sequence[ArmBudget], fields: Sequence[str]) -> None:
    """One row an arm, medians over seeds."""
    console, known = stdout(), any(not math.isnan(arm.cost["error"]) for arm in arms)
    costs = [
        *(
            Column(f"{part}\nalone", partial(lambda p, arm: number(arm.cost[p]), part))
            for part in PARTS
        ),
        Column("all\nof it", lambda arm: number(arm.cost["error"])),
    ]
    parts = [
        Column(f"{part}\nin σ", partial(lambda p, arm: number(arm.mean[p]), part)) for part in PARTS
    ]
    figures = [
        Column("n", lambda arm: str(arm.n)),
        Column("error\nin σ", lambda arm: number(arm.mean["error"])),
        *(costs if known else parts),
        Column("excess", lambda arm: number(arm.excess)),
    ]
    names = field_columns(arms, fields, figures, width=console.width)
    print_table(console, arms, [*names, *figures])
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
    console = stdout()
    if len(forecasts) == 1:
        _print_cell(console, forecasts[0])
        return
    fields = list(dict.fromkeys(path for each in forecasts for path in each.values))
    figures = [
        Column("n", lambda each: str(each.n)),
        Column("best", lambda each: short(each.best.momentum, 10)),
        Column("keras", lambda each: keras(each.best.momentum)),
        Column("training\nloss", lambda each: number(each.best.training_loss)),
        Column("test\nloss", lambda each: number(each.best.measured)),
        Column(
            "best\nmeasured", lambda each: short(getattr(each.best_measured, "momentum", None), 10)
        ),
        Column(
            "its test\nloss", lambda each: number(getattr(each.best_measured, "measured", None))
        ),
        Column("population", lambda each: number(each.population)),
    ]
    names = field_columns(forecasts, fields, figures, width=console.width)
    print_table(console, forecasts, [*names, *figures])
    legend(
        "best: the momentum with the least training loss; test loss: of stored runs there. "
        f"{MEDIANS}"
    )


def _print_cell(console: Console, forecast: Forecast) -> None:
    best, measured = forecast.best, forecast.best_measured
    columns = [
        Column("momentum ", lambda each: f"{each.momentum:g}" + " *"[each is best]),
        Column("keras", lambda each: keras(each.momentum)),
        Column("training\nloss", lambda each: number(each.training_loss)),
        *(Column(part, partial(lambda p, each: number(each.parts[p]), part)) for part in PARTS),
        Column("test\nloss", lambda each: number(each.measured)),
        Column("n", lambda each: number(each.n or None)),
    ]
    shown = [
        each
        for each in forecast.tried
        if each.momentum in SHOWN or each.measured is not None or each is best
    ]
    print_table(console, shown, columns, highlighted=best)
    legend(
        f"{MEDIANS} initial, drift, noise: what the training loss would rise by if the statistics "
        "were off from the population's by that alone; where a net fits badly, some errors lower "
        "the loss."
    )
    console.print(
        f"best momentum {best.momentum:g}, keras {keras(best.momentum)}: training loss "
        f"{number(best.training_loss)}, under the population's statistics "
        f"{number(best.training_loss - best.cost)}; the population's median test loss is "
        f"{number(forecast.population)} ({counted(forecast.n, 'training')})",
        style="bold",
    )
    if measured is not None:
        console.print(
            f"best measured: {measured.momentum:g}, median test loss {number(measured.measured)}"
        )
    points = [
        (each.momentum, each.training_loss)
        for each in forecast.tried
        if each.momentum > 0 and math.isfinite(each.training_loss)
    ]
    print_curve(console, "training loss", points)
    _print_layers(console, forecast.layers)


def _print_layers(console: Console, layers: Mapping[str, Setting]) -> None:
    """Drift, noise and the best momentum of each layer by theory."""
    if not layers:
        console.print(
            "too few batches in the last quarter to tell noise from drift, layer by layer"
        )
        return
    rows = []
    for name, setting in layers.items():
        try:
            rows.append((name, setting, round(best_momentum(setting), 3)))
        except UsageError:  # batches of one have no variance
            continue
    columns = [
        words_of("layer", lambda row: row[0]),
        Column("drift\na step", lambda row: f"{row[1].drift_per_step:.4f}"),
        Column("random\nstep", lambda row: f"{row[1].walk_per_step:.4f}"),
        Column(
            "noise of\na batch",
            lambda row: f"{(row[1].noise_scale / row[1].batch_size) ** 0.5:.4f}",
        ),
        Column("of σ/√B", lambda row: f"{row[1].noise_scale ** 0.5:.0%}"),
        Column("best\nmomentum", lambda row: f"{row[2]:g}"),
        Column("keras", lambda row: keras(row[2])),
    ]
    print_table(console, rows, columns)
    legend(
        "each layer's means at the end of the training, in σ, and the momentum that is best for "
        "them alone by theory. Noise far below σ/√B is no slip: where the layers below are "
        "normalised by the batch, its mean hardly scatters."
    )
