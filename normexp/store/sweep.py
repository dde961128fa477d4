"""Sweep directories: what was typed, where it ran, and one row a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError
from normexp.store.files import MANIFEST, STAGING_SUFFIX, read_manifest, sealed, to_json, to_yaml
from normexp.store.layout import StudyDirectory
from normexp.store.rows import Row

SUMMARY = "summary.parquet"
TEXTS = ("sweep.yaml", "environment.json")


@dataclass(frozen=True)
class SweepDirectory:
    """One sweep's directory; it has a manifest once the sweep has ended."""

    path: Path

    def end(self, rows: Sequence[Row], manifest: Mapping[str, Any]) -> None:
        """Write the summary and, last, the manifest."""
        from normexp.store import summary  # imports pyarrow, which planning need not wait for

        (self.path / SUMMARY).write_bytes(summary.encode(rows))
        written = {name: (self.path / name).read_bytes() for name in (*TEXTS, SUMMARY)}
        partial = self.path / f".{MANIFEST}{STAGING_SUFFIX}"
        partial.write_bytes(sealed(manifest, written))
        partial.replace(self.path / MANIFEST)


def begin(
    study: StudyDirectory, name: str, description: Mapping[str, Any], environment: Mapping[str, Any]
) -> SweepDirectory:
    """A new directory `sweeps/<UTC time>-<name>`; a second one of the same second gets a suffix."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    study.sweeps.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        suffix = f".{attempt}" if attempt > 1 else ""
        path = study.sweeps / f"{stamp}-{name}{suffix}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        break
    (path / "sweep.yaml").write_bytes(to_yaml(dict(description)))
    (path / "environment.json").write_bytes(to_json(environment))
    return SweepDirectory(path)


def read_end(path: Path) -> dict[str, Any] | None:
    """The manifest of a sweep, None if it was killed, is still running, or cannot be read."""
    try:
        manifest = read_manifest(path)
    except NormexpError:
        return None
    return manifest if manifest["kind"] == "sweep" else None
