"""Sweep directories: what was typed, where it ran, one row a run, and whether it still runs."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from normexp.errors import NormexpError
from normexp.store.digests import open_regular
from normexp.store.files import MANIFEST, read_manifest, sealed, staging, write_file
from normexp.store.foreign_yaml import read_yaml
from normexp.store.layout import StudyDirectory
from normexp.store.manifest import MOST_BYTES
from normexp.store.process import lives, machine, start_of
from normexp.store.rows import Row
from normexp.store.texts import to_json, to_yaml

SUMMARY = "summary.parquet"
ALIVE = "alive.json"
"""Whose sweep it is, touched every few seconds while it runs and gone afterwards."""

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
"""Without a heartbeat for so long, a sweep on another machine counts as dead."""
TEXTS = ("sweep.yaml", "environment.json")


@dataclass(frozen=True)
class SweepDirectory:
    """One sweep's directory; it has a manifest once the sweep has ended."""

    path: Path

    @property
    def stop(self) -> Path:
        """A file that asks those who work on the sweep to stop; it says within how many seconds."""
        return self.path / "stop"

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Be seen to be alive, on every machine that sees the store."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                with suppress(OSError):
                    self._beat()

        Thread(target=beat, daemon=True, name="heartbeat").start()
        try:
            yield
        finally:
            ended.set()
            self._unlink_signs()

    def _beat(self) -> None:
        """Again, if others thought it dead, as after the lid of a laptop was closed."""
        try:
            os.utime(self.path / ALIVE)
        except FileNotFoundError:
            write_file(self.path / ALIVE, to_json(_owner()))

    def last_beat(self) -> float:
        """When it was last seen alive, by the clock of the file system; now if it is not there."""
        try:
            return (self.path / ALIVE).stat().st_mtime
        except OSError:
            return time.time()

    def is_alive(self, now: float | None = None) -> bool:
        """Whether somebody still works on it; `now` by the clock of the file system, if known."""
        try:
            owner = json.loads((self.path / ALIVE).read_bytes())
            if owner["machine"] == machine():
                return lives(owner["process"], owner["started"])
            now = time.time() if now is None else now
            return now - (self.path / ALIVE).stat().st_mtime < LEASE_SECONDS
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def bury(self, now: float) -> None:
        """Remove the signs of life of a sweep that was killed."""
        if (self.path / ALIVE).exists() and not self.is_alive(now):
            self._unlink_signs()

    def _unlink_signs(self) -> None:
        for path in (self.path / ALIVE, self.stop):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def end(self, rows: Sequence[Row], manifest: Mapping[str, Any]) -> None:
        """Write the summary and, last, the manifest."""
        from normexp.store import summary  # imports pyarrow, which planning need not wait for

        write_file(self.path / SUMMARY, summary.encode(rows))
        written = {name: (self.path / name).read_bytes() for name in (*TEXTS, SUMMARY)}
        write_file(self.path / MANIFEST, sealed(manifest, written))


def begin(
    study: StudyDirectory, name: str, description: Mapping[str, Any], environment: Mapping[str, Any]
) -> SweepDirectory:
    """A new directory `sweeps/<UTC time>-<name>`; a second one of the same second gets a suffix."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    partial = staging(study.sweeps / f"{stamp}-{name}", "new")
    partial.mkdir(parents=True)
    try:
        (partial / "sweep.yaml").write_bytes(to_yaml(dict(description)))
        (partial / "environment.json").write_bytes(to_json(environment))
        (partial / ALIVE).write_bytes(to_json(_owner()))
        return SweepDirectory(_placed(partial, study.sweeps / f"{stamp}-{name}"))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def over(study: StudyDirectory) -> frozenset[str]:
    """The names of the sweeps of a study on which nobody works, now or later."""
    return frozenset(path.name for path in study.sweep_directories() if _is_over(path))


def _is_over(path: Path) -> bool:
    """Whether it has ended or was killed; what is hidden may be for others, in some queue."""
    if os.path.lexists(path / MANIFEST):
        return True
    hidden = any(inner.name.startswith(".") for inner in path.iterdir())
    return not hidden and not SweepDirectory(path).is_alive()


def read_end(path: Path) -> dict[str, Any] | None:
    """The manifest of a sweep, None if it was killed, is still running, or cannot be read."""
    try:
        manifest = read_manifest(path)
    except NormexpError:
        return None
    return manifest if manifest["kind"] == "sweep" else None


def typed(directory: Path) -> tuple[str, ...] | None:
    """The overrides of a sweep as they were typed; None where they cannot be read."""
    try:
        with open_regular(directory / "sweep.yaml") as file:
            content = read_yaml(file.read(MOST_BYTES + 1))
    except (OSError, ValueError):
        return None
    words, own = content.get("overrides"), content.get("config_dir")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return (*(("--config-dir", own) if isinstance(own, str) else ()), *words)


def _owner() -> dict[str, Any]:
    process = os.getpid()
    return {"machine": machine(), "process": process, "started": start_of(process)}


def _placed(partial: Path, wanted: Path) -> Path:
    """Where the directory is now: a rename onto a directory that is not empty fails."""
    for attempt in range(1, 1000):
        path = wanted.with_name(f"{wanted.name}.{attempt}") if attempt > 1 else wanted
        try:
            return partial.rename(path)
        except FileExistsError:
            continue
        except OSError:
            if not path.exists():
                raise
    raise FileExistsError(wanted)
