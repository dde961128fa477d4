"""A network of the user's own: `lint`, `audit`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import Answer, command

FAULTY = 1
"""Exit code where something is wrong with the user's network."""


@command()
def lint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .pt, .pth or .safetensors file.")
    ],
    later: Annotated[
        Path | None,
        typer.Argument(metavar="LATER", help="A later one, to be judged and compared with it."),
    ] = None,
) -> Answer:
    """Say what is wrong with the batch norms of a checkpoint.

    Lost, untouched, stalled or impossible running statistics. Of two checkpoints, which statistics
    and which weights have moved. normexp.lint(model) in Python sees momentum, eps and mode too.
    Files that need code to be read are refused. Ends with exit code 1 where there is a fault.

    Example:
      normexp lint model.pt
      normexp lint epoch-1.pt epoch-9.pt
      normexp lint model.safetensors --json
    """
    from normexp.console.own import print_lint
    from normexp.own.lint import lint as judge

    report = judge(checkpoint, later)
    return Answer(report, print_lint, code=FAULTY if report.faults else 0)


@command()
def audit(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:FUNCTION", help="It returns model, train_loader, evaluate."
        ),
    ],
    *,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights to load into the model.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What statistics may cost, in units of the score "
            "(default: 1 % of it, or its interval if larger).",
        ),
    ] = None,
    batches: Annotated[
        int | None,
        typer.Option(min=1, help="Of train_loader, as many at most (default: all)."),
    ] = None,
    higher_is_better: Annotated[
        bool, typer.Option("--higher-is-better", help="evaluate gives an accuracy, not a loss.")
    ] = False,
) -> Answer:
    """Say whether weights or running statistics cost a model its score.

    Runs your file and calls your function. evaluate(model) gives a number, losses of examples (then
    there are intervals), or a mapping of these; train_loader gives batches as the model takes them,
    or a fourth thing to return is forward_fn(model, batch). What your code prints goes to stderr.
    Ends with exit code 1 where statistics cost more than the tolerance.

    Example:
      normexp audit mine.py:make
      normexp audit mine.py:make --checkpoint best.pt --tolerance 0.02
      normexp audit mine.py:make --batches 100 --higher-is-better --json
    """
    from normexp.console.own import print_audit
    from normexp.nets.source import of_user
    from normexp.own import audit as own

    with of_user(target):
        question = own.asked(target, checkpoint, higher_is_better=higher_is_better)
        found, verdict = own.audit(question, tolerance, batches)
    table = found.frame()
    return Answer(
        {"verdict": verdict.as_dict(), "table": table.to_dict("records")},
        lambda _: print_audit(table, [*found.scores[0]], verdict),
        code=FAULTY if verdict.to_blame else 0,
    )
