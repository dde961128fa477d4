"""One row a run, made from its manifest: what summaries and listings show."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from sys import intern
from typing import Any

from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import without_gone
from normexp.errors import NormexpError
from normexp.store.columns import TABLES
from normexp.store.files import read_manifest
from normexp.store.layout import looked
from normexp.store.manifest import METRICS
from normexp.store.regular import reason, verified

FINAL = tuple(c.name for c in TABLES["metrics"] if c.name not in ("step", "epoch"))
"""The metrics of the last evaluation point, which a row repeats."""

HEAD = ("run_id", "status", "study")
TAIL = ("half_life_steps", "diverged_step", "label", "trajectory_id")

Row = dict[str, Any]


def row(manifest: Mapping[str, Any], directory: Path) -> Row:
    """A run's row.

    Args:
        manifest: the run's.
        directory: where it stands, for those who want to go there.
    """
    # Rows share their texts: those of a million runs take 2 GB, and would take 10.
    there = without_gone(manifest["config"])
    config = {intern(path): _shared(value) for path, value in there.items()}
    kinds = {group: config[f"{group}.kind"] for group in IDENTITY_GROUPS}
    final = {intern(name): v for name, v in manifest["metrics"].items() if name in FINAL}
    head, tail = ({name: _shared(manifest[name]) for name in names} for names in (HEAD, TAIL))
    return {**head, **kinds, **config, **final, **tail, "directory": _text(directory)}


def rows_of(directories: Iterable[Path]) -> list[Row]:
    """The rows of complete runs.

    Raises:
        NormexpError: one of them cannot be read, or is none.
    """
    return list(looked(directories, _row_of))


def _row_of(directory: Path) -> Row:
    return row(read_run(directory), directory)


def read_run(directory: Path) -> dict[str, Any]:
    """Return the manifest of a run whose metrics are those of the manifest.

    Raises:
        NormexpError: it or they cannot be read, or it is something else's.
    """
    manifest = read_manifest(directory)
    if manifest["kind"] != "run":
        raise NormexpError(f"{directory} is a {manifest['kind']}, not a run")
    try:
        verified(f"{directory}/{METRICS}", manifest["files"][METRICS])
    except (OSError, ValueError) as error:
        raise NormexpError(
            f"{directory / METRICS} cannot be read ({reason(error)})",
            f"remove {directory} and sweep again: only what is missing is made again",
        ) from error
    return manifest


def _shared(value: Any) -> Any:  # noqa: ANN401  a cell of a table
    return intern(value) if type(value) is str else value


def _text(path: Path) -> str:
    """A path as a table can hold it: what is no Unicode in it becomes a question mark."""
    return str(path).encode(errors="replace").decode()
