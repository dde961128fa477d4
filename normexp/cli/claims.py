"""What the five sources claim, and what runs say: `claims`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting

ListOnly = Annotated[bool, typer.Option("--list", help="Show claims and criteria; run nothing.")]


@app.command()
def claims(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE|ID]...", help="Such as S1, or S1.3.")
    ] = None,
    directory: StoreDir = Path("runs"),
    criteria: ListOnly = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Check the claims of five tutorials on batch norm by the criteria written down for them.

    Runs the studies behind them, or reads what is in the store already. Each claim holds, fails,
    holds only under conditions, or is undecided; effects have 95 % intervals over seeds. Claims
    that cannot come out otherwise are listed as identities, without a verdict by runs.

    \b
    Example:
      normexp claims
      normexp claims S1.3
      normexp claims S2 --list
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.claims import check
        from normexp.console import claims as console
        from normexp.console.streams import stderr

        chosen, settled = check.select(wanted or [])
        if criteria and as_json:
            known = [check.described(each) for each in chosen]
            print_json({"claims": known, "settled": [asdict(each) for each in settled]})
        elif criteria:
            console.print_criteria(chosen, settled)
        else:
            found = check.check(chosen, settled, directory, _sweeper())
            for line in found.warnings:
                stderr().print(f"warning: {line}", soft_wrap=True)
            if as_json:
                print_json(check.as_data(found))
            else:
                names = wanted or []
                console.print_verdicts(found, details=bool(names) and all("." in n for n in names))
            if found.failed:
                raise typer.Exit(1)


def _sweeper() -> Callable[[str, Sequence[str]], list[str]]:
    """Sweeps one study after the other, narrates on stderr, and stops when a signal says so."""
    from normexp.cli.signals import listening
    from normexp.console.progress import LiveProgress
    from normexp.console.streams import stderr
    from normexp.errors import SweepInterruptedError
    from normexp.sweeps import sweep as session
    from normexp.sweeps.events import Event
    from normexp.sweeps.stop import Stop

    def sweep(name: str, overrides: Sequence[str]) -> list[str]:
        stderr().print(f"study {name}: {' '.join(overrides)}", soft_wrap=True)
        progress, stop, told = LiveProgress(), Stop(), False
        with listening(stop, lambda: progress(Event("stopping"))) as heard:
            try:
                result = session.sweep(*overrides, progress=progress, stop=stop)
                told = True
            except SweepInterruptedError as error:
                error.exit_code = 128 + heard[0] if heard else error.exit_code
                raise
            finally:
                progress.close(told=told)
        for line in (*result.warnings, *result.errors):
            stderr().print(line, soft_wrap=True)
        if heard:  # and finished all the same
            raise typer.Exit(128 + heard[0])
        return result.failed

    return sweep
