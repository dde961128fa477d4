"""One row a run, made from its manifest: what summaries and listings show."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normexp.config.schema import IDENTITY_GROUPS
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
    return {**head, **kinds, **config, **final, **tail, "directory": str(directory)}


def rows_of(directories: Iterable[Path]) -> list[Row]:
    """The rows of complete runs."""
    return [row(read_manifest(path), path) for path in directories]
