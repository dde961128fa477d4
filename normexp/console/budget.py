"""Error budgets as tables: layer by layer, or arm by arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from normexp.console.arms import table_of
from normexp.console.streams import stdout
from normexp.console.words import field_value, heading, number
from normexp.insight.budget import ALL
from normexp.insight.summary import ArmBudget, LayerBudget


def print_budget_of_run(
    row: Mapping[str, Any], layers: Sequence[LayerBudget], cost: Mapping[str, float]
) -> None:
    """One run: every layer at the end of the training, and what its error costs."""
    console = stdout()
    console.print(f"{row['label']}  {row['run_id']}", style="bold")
    table = table_of(
        "layer", right=(*(f"mean\n{part}" for part in ALL), "variance\nerror", "ln\nratio")
    )
    for layer in layers:
        figures = [*(layer.mean[part] for part in ALL), layer.var["error"], layer.log_var_ratio]
        table.add_row(layer.name, *(f"{each:.3f}" for each in figures))
    console.print(table)
    console.print(
        "means in σ of the population, RMS over channels: error = initial + drift + noise in every "
        "channel. variance: mean of (running − population) / population, and of ln(running / "
        "population).",
        style="dim",
    )
    console.print(
        f"moves predictions by {number(cost['error'])} in units of the loss; alone, to first "
        f"order: initial {number(cost['initial'])}, drift {number(cost['drift'])}, noise "
        f"{number(cost['noise'])}",
        soft_wrap=True,
    )
    console.print(
        f"test loss {number(row['test_loss'])} = population {number(row['test_loss_population'])} "
        f"+ excess {number(row['excess_loss'])}",
        soft_wrap=True,
    )


def print_budget_of_arms(arms: Sequence[ArmBudget], fields: Sequence[str]) -> None:
    """One row an arm, medians over seeds."""
    console = stdout()
    titles = [heading(path, keras=False) for path in fields]
    parts = ("initial", "drift", "noise")
    table = table_of(
        *titles,
        right=("n", "error\nin σ", *(f"cost of\n{part}" for part in parts), "of all", "excess"),
    )
    for arm in arms:
        words = [field_value(path, arm.values, keras=False) for path in fields]
        figures = [
            arm.mean["error"],
            *(arm.cost[part] for part in parts),
            arm.cost["error"],
            arm.excess,
        ]
        table.add_row(*words, str(arm.n), *map(number, figures))
    console.print(table)
    console.print(
        "medians over seeds at the end. error: RMS over channels of (running − population mean) "
        "/ σ. cost: how far predictions on the training inputs move, in units of the loss; of each "
        "part alone to first order. excess: what the test loss has risen by.",
        style="dim",
    )
