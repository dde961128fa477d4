"""The command line: parse, call, print."""

from normexp.cli.app import app, main

from normexp.cli import sweeps  # isort: skip  the order of the commands in --help
from normexp.cli import look  # isort: skip
from normexp.cli import insight  # isort: skip
from normexp.cli import theory  # isort: skip
from normexp.cli import own  # isort: skip
from normexp.cli import trust  # isort: skip
from normexp.cli import store  # isort: skip

__all__ = ["app", "insight", "look", "main", "own", "store", "sweeps", "theory", "trust"]
