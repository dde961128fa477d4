"""One row a run, made from its manifest: what summaries and listings show."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normexp.config.schema import IDENTITY_GROUPS
from normexp.errors import NormexpError
from normexp.store.columns import TABLES
from normexp.store.files import read_manifest

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
    config = manifest["config"]
    kinds = {group: config[f"{group}.kind"] for group in IDENTITY_GROUPS}
    final = {name: value for name, value in manifest["metrics"].items() if name in FINAL}
    head, tail = ({name: manifest[name] for name in names} for names in (HEAD, TAIL))
    return {**head, **kinds, **config, **final, **tail, "directory": _text(directory)}


def rows_of(directories: Iterable[Path]) -> list[Row]:
    """The rows of complete runs.

    Raises:
        NormexpError: one of them cannot be read, or is none.
    """
    return [row(read_run(path), path) for path in directories]


def read_run(directory: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        NormexpError: it cannot be read, or is something else's.
    """
    manifest = read_manifest(directory)
    if manifest["kind"] != "run":
        raise NormexpError(f"{directory} is a {manifest['kind']}, not a run")
    return manifest


def _text(path: Path) -> str:
    """A path as a table can hold it: what is no Unicode in it becomes a question mark."""
    return str(path).encode(errors="replace").decode()
