"""The command line: parse, call, print."""

import io
import os
import sys
from pathlib import Path

from normexp.cli.app import app
from normexp.cli.signals import ENDED_EARLY, leave

from normexp.cli import sweeps  # isort: skip  the order of the commands in --help
from normexp.cli import look  # isort: skip
from normexp.cli import report  # isort: skip
from normexp.cli import watch  # isort: skip
from normexp.cli import diff  # isort: skip
from normexp.cli import compare  # isort: skip
from normexp.cli import claims  # isort: skip
from normexp.cli import budget  # isort: skip
from normexp.cli import predict  # isort: skip
from normexp.cli import verify  # isort: skip
from normexp.cli import reproduce  # isort: skip
from normexp.cli import why  # isort: skip
from normexp.cli import convert  # isort: skip
from normexp.cli import doctor  # isort: skip

__all__ = [
    "app",
    "budget",
    "claims",
    "compare",
    "convert",
    "diff",
    "doctor",
    "look",
    "main",
    "predict",
    "report",
    "reproduce",
    "sweeps",
    "verify",
    "watch",
    "why",
]


def main() -> None:
    """The entry point of the `normexp` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  as long as we live
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app()
    except SystemExit as end:
        if end.code in ENDED_EARLY:
            leave(end.code)
        raise
