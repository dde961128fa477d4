"""The main job: `sweep`, and `plan`, which says what it would do."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from normexp.cli.app import (
    AsJson,
    ConfigDir,
    Debug,
    FiledAs,
    OnCodeChange,
    Overrides,
    app,
    print_json,
    reporting,
)
from normexp.errors import UsageError

if TYPE_CHECKING:
    from normexp.sweeps.plan import Plan


@app.command()
def sweep(  # noqa: PLR0913, PLR0917  the options of a command line
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    on_code_change: OnCodeChange = "warn",
    watch: Annotated[  # noqa: FBT002
        bool, typer.Option("--watch", help="Serve the report meanwhile, on this machine only.")
    ] = False,
    detach: Annotated[  # noqa: FBT002
        bool, typer.Option("--detach", help="Leave the work to Slurm, and return at once.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002  a flag of the command line
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Train and observe the runs of a study, and sum them up by arm.

    Without overrides: batch norm against none, at five momenta and eight seeds. A run that is in
    the store already is not trained again, and a new momentum on an old training trains nothing.
    Ends with the sweep's directory on the last line. Ctrl-C ends it within seconds and in good
    order, twice at once; the same command continues.

    \b
    Example:
      normexp sweep norm=none,batch norm.momentum=0.01,0.1,0.5 'seed=range(32)'
      normexp sweep norm=batch train.batch_size=16,64,256 optim.lr=0.003,0.03
      normexp sweep executor=slurm executor.partition=cpu 'seed=range(500)' --detach
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        if detach and watch:
            raise UsageError(
                "--watch serves a page as long as this command runs, and --detach ends it at once",
                "type normexp watch after --detach",
            )
        arguments: dict[str, Any] = {"config_dir": config_dir, "filed_as": filed_as}
        from normexp.cli.signals import listening
        from normexp.console.progress import LiveProgress
        from normexp.console.tables import print_detached, print_result
        from normexp.errors import SweepInterruptedError
        from normexp.sweeps import sweep as session
        from normexp.sweeps.events import Event
        from normexp.sweeps.inventory import policy
        from normexp.sweeps.stop import Stop

        progress, stop, told = LiveProgress(_serve if watch else None), Stop(), False
        with listening(stop, lambda: progress(Event("stopping"))) as heard:
            try:
                result = session.sweep(
                    *(overrides or []),
                    **arguments,
                    on_code_change=policy(on_code_change),
                    detach=detach,
                    progress=progress,
                    stop=stop,
                )
                told = True
            except SweepInterruptedError as error:
                error.exit_code = 128 + heard[0] if heard else error.exit_code
                raise
            finally:
                progress.close(told=told)
        if as_json:
            print_json(result.as_dict())
        elif result.status in {"submitted", "detached"}:
            print_detached(result)
        else:
            print_result(result)
        if heard:  # and finished all the same
            raise typer.Exit(128 + heard[0])
        if result.failed or result.errors:
            raise typer.Exit(1)


def _serve(plan: "Plan") -> None:
    """Serve the study's report as long as this process lives."""
    from normexp.console.streams import stderr
    from normexp.report.live import Live
    from normexp.report.server import ReportServer
    from normexp.sweeps.sweep import study_directory

    server = ReportServer(Live(study_directory(plan.study)))
    server.start()
    stderr().print(f"the report while it grows: {server.address}", soft_wrap=True)


@app.command()
def plan(  # noqa: PLR0913, PLR0917  the options of a command line
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    on_code_change: OnCodeChange = "warn",
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say what a sweep would do: runs, trajectories, stacks, what is cached, about how long.

    \b
    Example:
      normexp plan norm=batch norm.momentum=0.1,0.3
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.sweeps import sweep as session
        from normexp.sweeps.inventory import policy

        arguments, on_change = overrides or [], policy(on_code_change)
        made = session.plan(
            *arguments, config_dir=config_dir, filed_as=filed_as, on_code_change=on_change
        )
        if as_json:
            print_json(made.as_dict())
        else:
            from normexp.console.tables import print_plan

            print_plan(made)
