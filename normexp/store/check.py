"""Whether the files of a directory are what its manifest says. Reads everything, writes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from normexp.store import parquet
from normexp.store.columns import TABLES
from normexp.store.expected import Expected
from normexp.store.files import CERTIFICATE, DAMAGE, MANIFEST, read_sealed
from normexp.store.manifest import ID
from normexp.store.regular import LOST, Problem, reason


class Checked(NamedTuple):
    """What checking one directory has found.

    Attributes:
        manifest: if it can be believed.
        problems: all of them.
        hidden: files with names that begin with a dot and are no part of the directory.
    """

    manifest: dict[str, Any] | None
    problems: list[Problem]
    hidden: int = 0


def check_manifest(directory: Path, kind: str) -> dict[str, Any] | str:
    """The manifest of a directory of this kind, or what is wrong with it."""
    try:
        manifest = read_sealed(directory)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in LOST:
            raise
        return f"{MANIFEST}: {reason(error)}"
    return manifest if manifest["kind"] == kind else f"{MANIFEST}: it is a {manifest['kind']}'s"


def strays(directory: Path, files: Mapping[str, Any]) -> tuple[list[Problem], int]:
    """What lies in a directory and is named by no manifest; and how much of it is hidden."""
    own = {MANIFEST, DAMAGE, CERTIFICATE, *files}
    folders = {str(Path(name).parent) for name in files} - {"."}
    found = _names(directory)
    for folder in folders:
        place = directory / folder
        if place.is_dir() and not place.is_symlink():
            found += [f"{folder}/{name}" for name in _names(place)]
    others = [name for name in found if name not in own | folders]
    hidden = [name for name in others if Path(name).name.startswith(".")]
    return [
        Problem(f"{name}: no manifest names it", damages=False)
        for name in others
        if name not in hidden
    ], len(hidden)


def check_table(
    name: str, content: bytes | Path, dtype: str, expected: Expected, *, whole: bool = False
) -> str | None:
    """What is wrong with a table whose digest is right; None if nothing is.

    Args:
        name: of the table.
        content: of its file, or where that is.
        dtype: of the training.
        expected: by the configuration.
        whole: decode every page. Where normexp has written them the digest says as much; a
            stranger can make digests too.
    """
    try:
        source = content if isinstance(content, Path) else pa.BufferReader(content)
        with pq.ParquetFile(source) as file:
            found, rows = file.schema_arrow, file.metadata.num_rows
        problem = _unlike(found, name, dtype, has_parts=expected.has_parts)
    except parquet.UNREADABLE as error:
        return f"it cannot be read ({reason(error)})"
    if problem is None and rows != expected.rows[name]:
        return f"it has {rows:,} rows, its configuration gives {expected.rows[name]:,}"
    if whole and problem is None and isinstance(content, bytes):
        decoded = decode(content)
        return decoded if isinstance(decoded, str) else None
    return problem


def decode(content: bytes) -> pa.Table | str:
    """A table, or why it cannot be read."""
    try:
        return parquet.decode(content)
    except parquet.UNREADABLE as error:
        return f"it cannot be read ({reason(error)})"


def named(directory: Path, identity: str) -> str | None:
    """What is wrong with a directory's name; None if it ends in the id."""
    end = directory.name.rpartition("-")[2]
    if end == identity:
        return None
    what = f"its name ends in {end}" if ID.fullmatch(end) else "its name does not end in an id"
    return f"{what}, its manifest says {identity}"


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _unlike(found: pa.Schema, table: str, dtype: str, *, has_parts: bool) -> str | None:
    """How a table's columns differ from the documented ones; meanings may be worded otherwise."""
    optional = [c.name for c in TABLES[table] if c.optional and c.name in found.names]
    possible = [c.name for c in TABLES[table] if c.optional]
    complete = [has_parts * ["part"]] if "part" in possible else [[], possible]
    names = tuple(c.name for c in TABLES[table] if not c.optional or c.name in optional)
    if tuple(found.names) != names or optional not in complete:
        return f"its columns are not those of {table}"
    for wanted, there in zip(parquet.schema(table, dtype, names), found, strict=True):
        if there.type != wanted.type:
            return f"its column {wanted.name} is {there.type}, not {wanted.type}"
        about = there.metadata or {}
        if about.get(b"unit") != wanted.metadata[b"unit"] or b"doc" not in about:
            return f"its column {wanted.name} does not say what it is"
    return None
