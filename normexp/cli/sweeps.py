"""The main job: `sweep`; `plan`, which says what it would do; `search`; signals end a sweep."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from normexp.cli.app import Answer, ConfigDir, FiledAs, Into, OnCodeChange, Overrides, command, into
from normexp.errors import UsageError

if TYPE_CHECKING:
    from normexp.store.locks import Stop
    from normexp.store.stored import Row
    from normexp.study.study import Study
    from normexp.sweeps.outcome import Outcome
    from normexp.sweeps.plan import Plan

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED_EARLY = [128 + number for number in SIGNALS]
"""Exit codes, 130 and 143."""

Rerun = Annotated[bool, typer.Option("--rerun", help="Make the runs again that are there already.")]

SHOW_CURSOR = "\x1b[?25h\r\x1b[K"


@command()
def sweep(  # noqa: PLR0913  the options of a command line
    overrides: Overrides = None,
    *,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    on_code_change: OnCodeChange = "warn",
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the report meanwhile, on this machine only.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave the work to Slurm, and return at once.")
    ] = False,
    rerun: Rerun = False,
    limit: Annotated[
        str | None,
        typer.Option(metavar="N|TIME", help="Runs to make, or a time: 90s, 30min, 2h."),
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for: normexp ls shows it.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="A word to find it by; may be repeated.")
    ] = None,
    directory: Into = None,
) -> Answer:
    """Train and observe a study's runs, and print the means of each arm.

    normexp options lists what KEY=VALUE can be.

    Without overrides: batch norm against none, at five momenta and eight seeds. A run that is in
    the store already is not trained again, and a new momentum on an old training trains nothing.
    The last line is the sweep's directory. Ctrl-C ends it within seconds and in good order, twice
    at once; the same command continues. So does --limit, after so many runs or such a time.

    Example:
      normexp sweep norm=none,batch norm.momentum=0.01,0.1,0.5 'seed=range(32)'
      normexp sweep norm=batch train.batch_size=16,64,256 optim.lr=0.003,0.03
      normexp sweep executor=slurm 'seed=range(500)' --detach
    """
    if detach and limit:
        raise UsageError(
            "--detach leaves all of the work to Slurm, --limit some of it to nobody",
            "leave one of them out",
        )
    if detach and watch:
        raise UsageError(
            "--watch serves a page as long as this command runs, and --detach ends it at once",
            "type normexp watch after --detach",
        )
    from normexp.store.sweep import Labels

    outcome, code = swept(
        into(overrides, directory),
        _serve if watch else None,
        config_dir=config_dir,
        filed_as=filed_as,
        on_code_change=on_code_change,
        rerun=rerun,
        limit=limit,
        detach=detach,
        labels=Labels(note, tuple(tag or ())),
    )
    from normexp.console.sweeps import print_detached, print_result

    show = print_detached if outcome.status in {"submitted", "detached"} else print_result
    return Answer(outcome, show, code=code or int(bool(outcome.failed or outcome.errors)))


@command()
def search(  # noqa: PLR0913  the options of a command line
    overrides: Overrides = None,
    *,
    trials: Annotated[int, typer.Option(min=1, help="Proposals.")] = 32,
    parallel: Annotated[int, typer.Option(min=1, help="Proposals that train side by side.")] = 4,
    metric: Annotated[str, typer.Option(help="Such as test_loss, test_accuracy.")] = "test_loss",
    seed: Annotated[int, typer.Option(min=0, help="Of the proposals.")] = 0,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    directory: Into = None,
) -> Answer:
    """Search the best learning rate and momentum, or any other fields, without a grid.

    Optuna's TPE proposes trials in intervals (on a logarithmic scale where both ends are positive
    and a factor of 10 apart), ranges, and lists of what trains. Momenta and estimators are read
    off each trial's trainings, all of a list at no cost: a trial's value is that of the best.
    Seeds are replicates, and count by their median. The runs are a study of their own, NAME-search
    unless --as says otherwise. The same command continues an interrupted search; more --trials go
    on with it.

    Example:
      normexp search norm=batch 'optim.lr=interval(1e-4,1e-1)' 'seed=range(4)'
      normexp search norm=batch,ghost 'model.width=range(8,64)' --trials 64
    """
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise UsageError("normexp search needs Optuna", "type pip install optuna")
    from normexp.console.output import warn
    from normexp.console.sweeps import print_search
    from normexp.sweeps.search import search as found_by

    def sweep_trials(study: "Study") -> "Sequence[Row]":
        outcome, code = swept(study)
        for line in (*outcome.warnings, *outcome.errors):
            warn(line)
        if code:  # interrupted, and finished all the same
            raise typer.Exit(code)
        return outcome.rows

    asked = trials, parallel, metric, seed, config_dir, filed_as
    found = found_by(into(overrides, directory), sweep_trials, *asked)
    return Answer(found, print_search)


def swept(
    given: "Sequence[str] | Study",
    at_start: "Callable[[Plan], None] | None" = None,
    **settings: Any,  # noqa: ANN401
) -> "tuple[Outcome, int]":
    """Sweep with progress on stderr; the exit code is that of a signal that came meanwhile."""
    from normexp.errors import SweepInterruptedError
    from normexp.store.locks import Stop

    with _reading():
        from normexp.console.progress import LiveProgress
        from normexp.study.study import Study, load
        from normexp.sweeps.events import Event
        from normexp.sweeps.sweep import sweep

    progress, stop = LiveProgress(at_start), Stop()
    with _listening(stop, lambda: progress(Event("stopping"))) as signals, progress:
        try:
            if not isinstance(given, Study):
                names = {name: settings.pop(name, None) for name in ("config_dir", "filed_as")}
                with _reading():
                    given = load(given, **names)
            outcome = sweep(given, progress=progress, stop=stop, **settings)
        except SweepInterruptedError as error:
            error.exit_code = 128 + signals[0] if signals else error.exit_code
            raise
    return outcome, 128 + signals[0] if signals else 0


@contextmanager
def _reading() -> Iterator[None]:
    """Say on a terminal, until this ends, why nothing is seen yet."""
    is_able = os.environ.get("TERM") != "dumb" and sys.stderr.encoding.lower() == "utf-8"
    shown = is_able and sys.stderr.isatty()
    if shown:
        sys.stderr.write("reading configurations …")
        sys.stderr.flush()
    try:
        yield
    finally:
        if shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _serve(plan: "Plan") -> None:
    """Serve the study's report as long as this process lives."""
    from normexp.console.output import stderr
    from normexp.report.watch import ReportServer
    from normexp.sweeps.sweep import study_directory

    server = ReportServer(study_directory(plan.study))
    Thread(target=server.serve_forever, daemon=True, name="server").start()
    stderr().print(f"the report while it grows: {server.address}")


@command()
def plan(  # noqa: PLR0913  the options of a command line
    overrides: Overrides = None,
    *,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    on_code_change: OnCodeChange = "warn",
    rerun: Rerun = False,
    directory: Into = None,
) -> Answer:
    """Say what a sweep would do, and about how long it would take.

    Example:
      normexp plan norm=batch norm.momentum=0.1,0.3
    """
    from normexp.console.output import warn
    from normexp.console.sweeps import print_plan
    from normexp.sweeps.execute import check
    from normexp.sweeps.sweep import plan as made_of

    made = made_of(
        *into(overrides, directory),
        config_dir=config_dir,
        filed_as=filed_as,
        on_code_change=on_code_change,  # type: ignore[arg-type]  # checked there
        rerun=rerun,
    )
    try:
        check(made.executor)
    except UsageError as error:
        warn(f"sweep would refuse {error.message}; {error.hint}")
    return Answer(made, print_plan)


@command()
def options(
    word: Annotated[
        str | None, typer.Argument(metavar="GROUP|CHOICE|FIELD", help="Such as norm, batch, lr.")
    ] = None,
    *,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="All of them as a page (configs/README.md).")
    ] = False,
    config_dir: ConfigDir = None,
) -> Answer:
    """Say what can be typed: studies, groups, fields.

    Example:
      normexp options norm
      normexp options norm.momentum
    """
    from normexp.config.options import options as all_options
    from normexp.console import options as console

    found = all_options(config_dir)
    if word is not None:
        found = found.about(word)
    if as_markdown:
        return Answer(found, lambda _: typer.echo("\n".join(console.markdown(found))))
    show = console.print_groups if word is None else console.print_options
    return Answer(found, show)


@contextmanager
def _listening(stop: "Stop", announce: Callable[[], None]) -> Iterator[list[int]]:
    """Stop a sweep in good order at the first signal, which the list then holds, else at once."""
    from normexp.store.locks import GRACE_SECONDS

    signals: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if signals or not stop.has_begun:
            text = "left at once; what is stored is whole" if signals else "nothing was begun"
            leave(128 + number, f"interrupted: {text}, the same command goes on")
        signals.append(number)
        stop.ask(GRACE_SECONDS)
        announce()

    before = {each: signal.signal(each, handle) for each in SIGNALS}
    try:
        yield signals
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def leave(code: int, text: str = "") -> NoReturn:
    """End this process and those it has started, at once, with this exit code and these words."""
    if text:
        shown = SHOW_CURSOR if sys.stderr.isatty() else ""  # a bar may have hidden it
        with suppress(OSError):
            os.write(2, f"{shown}{text}\n".encode())
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
    os._exit(code)  # joblib would wait for its processes
