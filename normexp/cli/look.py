"""Looking at a store: `ls`, `show`, `report`, `watch`, `diff` and `why`."""

import gc
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from normexp.cli import complete
from normexp.cli.app import (
    RUNS,
    Answer,
    ConfigDir,
    Fields,
    FiledAs,
    Open,
    Out,
    RunName,
    Sources,
    StoreDir,
    command,
    warn_of_damage,
)
from normexp.errors import NotFoundError, UsageError


@command("ls")
def list_store(  # noqa: PLR0913  the options of a command line
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY", help="List the runs of this study.", autocompletion=complete.names
        ),
    ] = None,
    fields: Fields = None,
    *,
    sort: Annotated[
        str | None, typer.Option(help="By a field or a metric, such as test_loss.")
    ] = None,
    best: Annotated[int | None, typer.Option(min=1, help="So many, by least test loss.")] = None,
    tag: Annotated[str | None, typer.Option(help="Sweeps with this tag (see normexp tag).")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Sweeps from this UTC date on.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Such as complete, failed, running, unfinished.")
    ] = None,
    directory: StoreDir = RUNS,
) -> Answer:
    """List the sweeps of the store, or the runs of one study.

    Example:
      normexp ls
      normexp ls bn_regression
      normexp ls --since 2026-11-27 --status complete
      normexp ls bn_regression norm.momentum=0.1 'seed=range(4)' --best 3
    """
    from normexp.console.look import print_runs, print_sweeps
    from normexp.study.asked import as_asked
    from normexp.sweeps import listing

    if study is None:
        if sort or best:
            raise UsageError(
                "--sort and --best are of the runs of one study", "type normexp ls STUDY --best 3"
            )
        sweeps = listing.chosen(listing.sweeps(directory), tag, since, status)
        return Answer(sweeps, print_sweeps)
    runs = listing.runs(directory, study, as_asked(fields or ()).where)
    if sort or best:
        runs = listing.ranked(runs, sort or "test_loss", best)
    return Answer(runs, print_runs, data=lambda runs: runs.rows)


@command()
def show(
    run: RunName,
    *,
    whole: Annotated[
        bool, typer.Option("--all", help="With every field and every evaluation point.")
    ] = False,
    directory: StoreDir = RUNS,
) -> Answer:
    """Show one run, and the command that makes it again.

    Of one that has failed it shows the end of its log.

    Example:
      normexp show 64fdd590
      normexp show runs/bn_regression/none-s0-64fdd590c34c
    """
    from normexp.console.look import print_failed, print_run
    from normexp.sweeps import listing

    try:
        manifest, metrics = listing.run(directory, run)
    except NotFoundError:
        failed = listing.failed_run(directory, run)
        if failed is None:
            raise
        return Answer(failed, print_failed)
    warn_of_damage(Path(manifest["directory"]))
    return Answer(
        {**manifest, "points": metrics}, lambda _: print_run(manifest, metrics, whole=whole)
    )


@command()
def report(
    wanted: Sources = None,
    *,
    arms: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Draw these arms; may be repeated."),
    ] = None,
    out: Out = None,
    open_browser: Open = False,
    directory: StoreDir = RUNS,
) -> Answer:
    """Write a report: one HTML file, its figures, and Markdown.

    Two or more studies or sweeps are laid side by side; runs are one report together.

    Example:
      normexp report bn_regression
      normexp report bn_regression placement --out comparison
      normexp report --arms "batch 0.1*" --arms "no norm*"
    """
    from normexp.console.output import note, say
    from normexp.report.compose import compose
    from normexp.report.page import as_data, check_target, place, write
    from normexp.report.render import Renderer
    from normexp.report.source import gather
    from normexp.study.asked import as_asked

    gc.set_threshold(50_000)  # of the million objects that PyTorch makes none is garbage
    source = gather(directory, as_asked(wanted or (), named=True), arms or ())
    target = out or place(directory, source)
    check_target(target, in_store=out is None)
    with closing(Renderer()) as renderer:
        made = compose(source, renderer.draw)
        written = write(made, target, renderer)

    def print_summary(_: object) -> None:
        say(f"{made.title}: {made.about}")
        for sentence in made.headlines:
            say(sentence)
        for each in made.left_out:
            note(f"{each.title}: {each.why}", "left out")
        say(str(written))
        if open_browser:
            typer.launch(str(written))

    return Answer(as_data(made, written), print_summary)


@command()
def watch(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help="By name or path (default: of the newest sweep)."),
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default: this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 0,
    open_browser: Open = False,
    directory: StoreDir = RUNS,
) -> None:
    """Serve a study's report while it grows; Ctrl-C ends.

    The sweep runs elsewhere: in another terminal, or on another machine that shares the store.

    Example:
      normexp watch
      normexp watch bn_regression --port 8000
    """
    from normexp.console.output import say, stderr, warn
    from normexp.report.watch import LOOPBACK, ReportServer, study_of

    study = study_of(directory, wanted)
    if host not in LOOPBACK:
        warn(f"{host} can be reached from other machines, which will see the report")
    server = ReportServer(study, host, port)
    say(server.address)
    stderr().print(f"the report of {study.path}; Ctrl-C ends")
    if open_browser:
        typer.launch(server.address)
    server.serve_forever()


@command()
def diff(
    first: RunName,
    second: RunName,
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Print where two runs differ, and what made them.

    Example:
      normexp diff 64fdd590 bb21f7a0
    """
    from normexp.console.explain import print_diff
    from normexp.trust import diff as trust

    report = trust.diff(first, second, store=directory)
    warn_of_damage(*(Path(report[side]["directory"]) for side in trust.SIDES))
    return Answer(report, print_diff)


@command()
def why(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|KEY=VALUE",
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
    return Answer(report, print_why)
