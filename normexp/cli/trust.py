"""Checking what is stored and what is installed: `verify`, `reproduce`, `doctor`."""

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from normexp.cli.app import RUNS, Answer, Places, RunName, StoreDir, command
from normexp.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from normexp.trust.doctor import Check


@command()
def verify(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY|SWEEP|RUN", help="By name, id or path (default: everything)."
        ),
    ] = None,
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Check all that is stored, and say what to do.

    What is damaged is marked, so that the next sweep makes exactly that anew. Ends with exit code 4
    if anything is wrong.

    Example:
      normexp verify
      normexp verify bn_regression
      normexp verify runs/bn_regression/none-s0-64fdd590c34c
    """
    from normexp.console.trust import print_verification, verifying
    from normexp.store.selection import select
    from normexp.trust import verify as trust

    selection = select(directory, wanted)
    with verifying() as progress:
        result = trust.verify(selection, progress)
    return Answer(
        result,
        print_verification,
        code=VerificationError.exit_code if result.problems else 0,
    )


@command()
def reproduce(
    run: RunName,
    places: Places = None,
    *,
    directory: StoreDir = RUNS,
    out: Annotated[
        Path | None, typer.Option(help="File of the certificate, outside of the run.")
    ] = None,
    trust_source: Annotated[
        bool, typer.Option("--trust-source", help="Run the file of the network that it names.")
    ] = False,
) -> Answer:
    """Train a run again, and compare every number.

    Needs the run's directory only, which may come from another machine. If nothing has changed that
    numbers depend on, files must be equal to the bit; otherwise they must agree as far as training
    lets them. Ends with exit code 4 if they do not.

    Example:
      normexp reproduce 64fdd590
      normexp reproduce none-s0-64fdd590c34c --out certificate.json
    """
    from normexp.console.progress import LiveProgress
    from normexp.console.trust import print_certificate
    from normexp.trust.reproduce import reproduce as again

    signal.signal(signal.SIGTERM, _leave)
    try:
        with LiveProgress() as progress:
            certificate, path = again(
                run, places, store=directory, out=out, trust_source=trust_source, progress=progress
            )
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return Answer(
        certificate,
        lambda _: print_certificate(certificate, path),
        code=VerificationError.exit_code if certificate["verdict"] == "differs" else 0,
    )


def _leave(number: int, _: FrameType | None) -> None:
    """End by an exception, so that no temporary files stay."""
    raise SystemExit(128 + number)


@command()
def doctor(*, directory: StoreDir = RUNS) -> Answer:
    """Check this installation, and describe it.

    Trains a tiny study in temporary directories; your files are not touched. Ends with exit code 4
    if a check fails.

    Example:
      normexp doctor
      normexp doctor --dir /data/runs --json
    """
    from normexp.console.trust import print_check, print_environment
    from normexp.sweeps.environment import environment
    from normexp.trust.doctor import examine, report

    def data(checks: "list[Check]") -> object:
        checks.extend(examine(directory))
        return report(checks)

    def show(checks: "list[Check]") -> None:
        print_environment(environment())
        for check in examine(directory):
            print_check(check)
            checks.append(check)

    return Answer([], show, data=data, end=_raise_if_failed)


def _raise_if_failed(checks: "Sequence[Check]") -> None:
    if failed := [check.name for check in checks if not check.ok]:
        raise VerificationError(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}",
            "each failed check has its remedy beside it",
        )
