"""A network of the user's own: `lint`."""

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
        typer.Argument(metavar="[LATER]", help="A later one, to be judged and compared with it."),
    ] = None,
) -> Answer:
    """Say what is wrong with the batch norms of a checkpoint, without data or code.

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
    return Answer(report.as_dict, lambda: print_lint(report), code=FAULTY if report.faults else 0)
