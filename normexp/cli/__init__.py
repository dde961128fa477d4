"""The command line: parse, call, print."""

import io
import os
import sys
from pathlib import Path

from normexp.cli.app import app
from normexp.cli.sweeps import ENDED_EARLY, leave

from normexp.cli import sweeps  # isort: skip  the order of the commands in --help
from normexp.cli import look  # isort: skip
from normexp.cli import explain  # isort: skip
from normexp.cli import insight  # isort: skip
from normexp.cli import theory  # isort: skip
from normexp.cli import trust  # isort: skip

__all__ = ["app", "explain", "insight", "look", "main", "sweeps", "theory", "trust"]


def main() -> None:
    """Run the `normexp` command."""
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
