"""Where runs differ, and why a sweep keeps or makes them: `diff`, `why`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import RUNS, Answer, ConfigDir, FiledAs, StoreDir, command, warn_of_damage


@command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="By id, name or directory.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one, likewise.")],
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Print where two runs differ: configuration, results, layers, and what made them.

    Example:
      normexp diff 64fdd590 bb21f7a0
    """
    from normexp.console.explain import print_diff
    from normexp.trust import diff as trust

    report = trust.diff(first, second, store=directory)
    warn_of_damage(*(Path(report[side]["directory"]) for side in trust.SIDES))
    return Answer(lambda: report, lambda: print_diff(report))


@command()
def why(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|KEY=VALUE...",
            help="A stored run, by id, name or directory; or overrides, as for plan; or both.",
        ),
    ],
    *,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The store; runs, unless overridden.")
    ] = None,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
) -> Answer:
    """Say why a sweep would keep a run or make it again.

    For described runs that are not stored, names the stored ones that are most like them, and every
    field that differs.

    Example:
      normexp why 64fdd590
      normexp why norm=batch norm.momentum=0.1 seed=3
    """
    from normexp.console.explain import print_why
    from normexp.trust import why as trust

    report = trust.why(arguments, store=directory, config_dir=config_dir, filed_as=filed_as)
    return Answer(lambda: report, lambda: print_why(report))
