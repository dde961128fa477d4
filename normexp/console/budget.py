"""Error budgets as tables: layer by layer, or arm by arm."""

from collections.abc import Mapping, Sequence

from normexp.console.columns import table_of
from normexp.console.named import named_table
from normexp.console.streams import stdout
from normexp.console.words import number
from normexp.insight.budget import ALL, PARTS, loss
from normexp.insight.summary import ArmBudget, LayerBudget
from normexp.store.rows import Row


def print_budget_of_run(row: Row, layers: Sequence[LayerBudget], cost: Mapping[str, float]) -> None:
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
        f"raises the training loss by {number(cost['error'])}; parts alone: initial "
        f"{number(cost['initial'])}, drift {number(cost['drift'])}, noise {number(cost['noise'])}",
        soft_wrap=True,
    )
    names = ("test_loss", "test_loss_population", "excess_loss")
    whole, truth, excess = (number(loss(row, name)) for name in names)
    console.print(f"test loss {whole} = population {truth} + excess {excess}", soft_wrap=True)


def print_budget_of_arms(arms: Sequence[ArmBudget], fields: Sequence[str]) -> None:
    """One row an arm, medians over seeds."""
    console = stdout()
    titles = ("n", "error\nin σ", *(f"{part}\nalone" for part in PARTS), "all\nof it", "excess")
    lines = []
    for arm in arms:
        costs = (arm.cost[name] for name in (*PARTS, "error"))
        figures = map(number, (arm.mean["error"], *costs, arm.excess))
        lines.append((arm.values, (str(arm.n), *figures)))
    console.print(named_table(console, fields, titles, lines))
    console.print(
        "medians over seeds at the end, where sweep's tables have means. error: RMS over channels "
        "of (running − population mean) / σ. all of it: what it raises the training loss by in "
        "evaluation mode; alone: the same of each part. excess: what the test loss has risen by. "
        "Below 0, running statistics do better than the population's, as they can where the net "
        "fits badly.",
        style="dim",
    )
