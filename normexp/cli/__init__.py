"""The command line: parse, call, print."""

import io
import multiprocessing
import os
import signal
import sys

from normexp.cli.app import INTERRUPTED, app

from normexp.cli import sweeps  # isort: skip  the order of the commands in --help
from normexp.cli import look  # isort: skip
from normexp.cli import verify  # isort: skip

__all__ = ["app", "look", "main", "sweeps", "verify"]


def main() -> None:
    """The entry point of the `normexp` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stdout.flush()
            sys.stderr.flush()
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
            os._exit(INTERRUPTED)  # or a second Ctrl-C leaves joblib waiting for its processes
        raise
