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
        parts = [path.relative_to(package).as_posix(), *_meaning(ast.parse(path.read_bytes()))]
        hashed.update("\n".join(parts).encode())
    return hashed.hexdigest()[:12]


def _meaning(node: Any) -> Iterator[str]:  # noqa: ANN401  a node's fields hold nodes, lists, texts
    """A syntax tree as words, whatever fields a later Python adds and leaves empty."""
    if isinstance(node, ast.AST):
        yield f"({node.__class__.__name__}"
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                yield name
                yield from _meaning(_without_texts(value) if name == "body" else value)
        yield ")"
    elif isinstance(node, list):
        for part in node:
            yield from _meaning(part)
            yield ","
    else:
        yield repr(node)


def _without_texts(body: Any) -> Any:  # noqa: ANN401  a lambda's is an expression
    """Statements without the texts that stand alone among them: docstrings, of constants too."""
    return [part for part in body if not _is_text(part)] if isinstance(body, list) else body


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
