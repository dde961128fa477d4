"""The code that makes numbers, as one digest: two installations of one digest run the same program.

A commit says less: it changes with every README, and an installed wheel has none.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOMS = ("config", "data", "engine", "nets")
"""The rooms whose every file takes part in a run's numbers."""

# Of the store, what turns a record into a run's tables and back. Not layout, files, sweep, rows,
# summary, read: where a run stands, and how runs are listed, changes none of its numbers.
FILES = (
    "record.py",
    "rng.py",
    "store/columns.py",
    "store/parquet.py",
    "store/run.py",
    "store/trajectory.py",
)
"""The single files that do too."""


@cache
def code() -> str:
    """12 hex digits over the source that makes numbers, of the normexp that is running."""
    return digest(Path(__file__).parents[1])


def digest(package: Path) -> str:
    """12 hex digits over the files that make numbers in a package directory.

    Comments, docstrings, blank lines and formatting are no part of it, nor is Python's version.
    All else is, messages and descriptions of fields included: once too often rather than never.
    """
    rooms = [path for room in ROOMS for path in (package / room).rglob("*.py")]
    hashed = hashlib.sha256()
    for path in sorted([*rooms, *(package / name for name in FILES)]):
        parts = [path.relative_to(package).as_posix(), *_words(ast.parse(path.read_bytes()))]
        hashed.update("\n".join(parts).encode())
    return hashed.hexdigest()[:12]


def _words(node: Any) -> Iterator[str]:  # noqa: ANN401  a node's fields hold nodes, lists, texts
    """A syntax tree as words, whatever fields a later Python adds and leaves empty."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a text that stands alone: a docstring, of a constant too
    if isinstance(node, ast.AST):
        yield f"({node.__class__.__name__}"
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                yield name
                yield from _words(value)
        yield ")"
    elif isinstance(node, list):
        for words in filter(None, map(list, map(_words, node))):
            yield from (*words, ",")
    else:
        yield repr(node)
