"""Keeping a store, and handing it on: `du`, `rm`, `mv`, `gc`, `tag`, `note`, `export`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normexp.cli.app import RUNS, Answer, Fields, Out, Sources, StoreDir, command, warn_of_lost
from normexp.errors import UsageError, pick

if TYPE_CHECKING:
    from collections.abc import Callable

    from normexp.store.removal import Removal

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Sweep = Annotated[str, typer.Argument(metavar="SWEEP", help="By name, id or path.")]


@command()
def du(*, directory: StoreDir = RUNS) -> Answer:
    """Show the bytes that each study takes.

    Example:
      normexp du
    """
    from normexp.console.store import print_sizes
    from normexp.store.layout import look_around
    from normexp.store.removal import sizes

    rows = sizes(directory)
    if not rows:
        raise UsageError(f"nothing in {directory}", look_around(directory))
    return Answer(rows, print_sizes)


@command()
def rm(
    wanted: Annotated[str, typer.Argument(metavar="STUDY|SWEEP|RUN", help="By name, id or path.")],
    fields: Fields = None,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    directory: StoreDir = RUNS,
) -> Answer:
    """Remove runs, a sweep, or a study.

    A sweep goes with the runs that no other sweep had, a training with its last run. What is left
    is sound: verify finds nothing. Says what goes and asks; refuses while a sweep works on the
    study.

    Example:
      normexp rm bn_regression norm.momentum=0.9
      normexp rm 20261126T175922Z-38e61857 --dry-run
      normexp rm bn_regression --yes
    """
    from normexp.store.removal import removal
    from normexp.store.selection import select
    from normexp.study.asked import as_asked

    where = as_asked(fields or ()).where

    def look() -> "Removal":
        return removal(select(directory, wanted, where), narrowed=bool(where))

    return _carried_out(look, dry_run=dry_run, yes=yes)


@command()
def mv(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="By name.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new one.")],
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Give a study another name.

    A run's own command goes on to say the name under which it was made.

    Example:
      normexp mv bn_regression first_try
    """
    from normexp.console.output import say
    from normexp.store.removal import rename

    place = str(rename(directory, study, name))
    return Answer({"directory": place}, lambda _: say(place))


@command()
def gc(*, dry_run: DryRun = False, yes: Yes = False, directory: StoreDir = RUNS) -> Answer:
    """Remove what nobody needs.

    Trainings without a run, checkpoints, interrupted sweeps whose runs other sweeps have, and what
    killed processes have left. A note or a tag keeps a sweep. A study on which a sweep works is
    left alone.

    Example:
      normexp gc --dry-run
      normexp gc --yes
    """
    from normexp.console.output import warn
    from normexp.store.removal import rubbish

    for name in rubbish(directory)[1]:
        warn(f"{name} is left alone: a sweep works on it")
    return _carried_out(lambda: rubbish(directory)[0], dry_run=dry_run, yes=yes)


@command()
def tag(
    sweep: Sweep,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="Words to find it by.")],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take them away.")] = False,
    directory: StoreDir = RUNS,
) -> Answer:
    """Tag a sweep: normexp ls --tag finds it.

    Example:
      normexp tag 38e61857 paper
      normexp tag 38e61857 paper --remove
    """
    from normexp.store.sweep import labels_of

    path = _sweep(directory, sweep)
    left = [each for each in labels_of(path).tags if each not in tags]
    return _labelled(path, tags=tuple(dict.fromkeys(left if remove else [*left, *tags])))


@command()
def note(
    sweep: Sweep,
    text: Annotated[str, typer.Argument(help="What it is for; an empty text takes it away.")],
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Note what a sweep is for: normexp ls shows it.

    Example:
      normexp note 38e61857 "the figure of section 3"
    """
    return _labelled(_sweep(directory, sweep), note=text)


@command()
def export(
    wanted: Sources = None,
    *,
    to: Annotated[
        str,
        typer.Option(metavar="tensorboard|mlflow|wandb|trackio|csv|parquet", help="The tool."),
    ],
    out: Out = None,
    directory: StoreDir = RUNS,
) -> Answer:
    """Hand runs to TensorBoard, MLflow, W&B, Trackio or tables.

    With their configuration, and by step metrics and errors of running statistics. Runs that are
    there already are left alone; tables are written anew. Nothing is sent anywhere: MLflow and
    Trackio get SQLite files, W&B offline runs.

    Example:
      normexp export bn_regression --to tensorboard
      normexp export bn_regression norm.momentum=0.1 --to csv --out tables
    """
    from normexp.console.output import say
    from normexp.export import EXPORTERS
    from normexp.export import export as hand_over
    from normexp.store.selection import select
    from normexp.store.stored import whole_runs
    from normexp.study.asked import as_asked

    pick(to, EXPORTERS, "tool")
    names, where, _ = as_asked(wanted or (), named=True)
    found = [path for each in names or (None,) for path in select(directory, each, where).runs]
    lost: list[Path] = []
    runs = {run.id: run for run in whole_runs(found, lost)}
    warn_of_lost(lost)
    place, new = hand_over(to, runs.values(), directory, out)
    data = {"place": str(place), "runs": len(runs), "new": new}
    words = f"{data['runs']} runs, {data['new']} of them new to {place}"
    return Answer(data, lambda _: say(words))


def _sweep(directory: Path, wanted: str) -> Path:
    """The directory of a sweep."""
    from normexp.store.selection import select

    selection = select(directory, wanted)
    if selection.kind != "sweep":
        raise UsageError(f"{wanted} is a {selection.kind}, not a sweep", "see normexp ls")
    return selection.sweeps[0]


def _labelled(path: Path, **changes: Any) -> Answer:  # noqa: ANN401
    """Change a sweep's labels, and say them."""
    import msgspec

    from normexp.console.output import say
    from normexp.store.sweep import label, labels_of

    labels = msgspec.structs.replace(labels_of(path), **changes)
    label(path, labels)
    words = f"{path.name}: {' '.join(labels.tags)} {labels.note}".rstrip()
    return Answer({"sweep": path.name, **msgspec.to_builtins(labels)}, lambda _: say(words))


def _carried_out(look: "Callable[[], Removal]", *, dry_run: bool, yes: bool) -> Answer:
    """Say what goes, ask, and remove it."""
    from normexp.console.output import stderr
    from normexp.console.store import print_removal

    found = look()
    data = found.as_dict() | {"removed": not dry_run}
    if found.going and not dry_run:
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    "nobody is there to ask", "add --yes, or --dry-run to see what goes"
                )
            print_removal(found, stderr())
            typer.confirm("Remove it?", abort=True, err=True)
        found.carry_out(look)
    return Answer(data, lambda _: print_removal(found, removed=not dry_run))
