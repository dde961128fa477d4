"""Manifests: their schema, the seal on them, and whether a directory is as they say."""

import os
import re
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from normexp.config.field import LARGEST
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import field_types
from normexp.errors import NormexpError
from normexp.store.columns import RUN_TABLES, TRAJECTORY_TABLES
from normexp.store.plain import from_json, read_regular, reason, to_json, verified

MANIFEST = "manifest.json"
DAMAGE = "damage.json"
"""Left by `verify` in a directory that is not whole; whatever is made anew there has it not."""

CERTIFICATE = "certificate.json"
"""Left by `reproduce` in a run's directory; no file of the run."""

METRICS = "metrics.parquet"
"""The table of a run whose last row its manifest repeats."""

WEIGHTS = "weights.safetensors"
HYDRA = (".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml")
OPTIONAL_FILES = frozenset(("histograms.parquet", "curves.parquet"))
"""Files that older runs may have and that nothing reads."""

FILES = {
    "run": frozenset((*HYDRA, *(f"{table}.parquet" for table in RUN_TABLES))),
    "trajectory": frozenset(
        ("config.yaml", WEIGHTS, *(f"{table}.parquet" for table in TRAJECTORY_TABLES))
    ),
    "sweep": frozenset(("sweep.yaml", "environment.json", "summary.parquet")),
}
"""The files of each kind of directory."""

SHOWN = frozenset(("step", "epoch", "test_loss", "excess_loss"))
"""Of the last evaluation point: what every listing shows."""

Whole = Annotated[int, msgspec.Meta(ge=-LARGEST - 1, le=LARGEST)]
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Number = Whole | float
Value = str | Number | bool | None
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{12}\Z")]


ZEROS = "0" * 64
SEAL = re.compile(rb'"[0-9a-f]{64}"\s*}\s*$')
"""The end of a manifest that has a seal."""


class File(TypedDict):
    """Size and digest of a file."""

    sha256: str
    bytes: Count


class Seconds(TypedDict):
    """Duration of a stack's training, and the number of networks in it."""

    stack: Number
    networks: Whole


class Made(TypedDict):
    """Entries that manifests of runs and of trajectories have in common."""

    kind: str
    schema: Whole
    created: str
    environment: dict[str, Value | list[Value] | dict[str, Value]]
    trajectory_id: Id
    diverged_step: Whole | None
    seconds: Seconds
    files: dict[str, File]
    sweep: NotRequired[str]  # of what was made again on purpose
    sha256: NotRequired[str]  # of all manifests since there are seals


class Trajectory(Made):
    """A training's manifest."""

    population_examples: NotRequired[Whole]
    resumed_after_epochs: NotRequired[Whole]


class Run(Made):
    """A run's manifest."""

    run_id: Id
    study: str
    label: str
    half_life_steps: Number | None
    log_every: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
    command: Annotated[str, msgspec.Meta(pattern="^normexp sweep ")]
    status: Literal["complete", "diverged"]
    config: dict[str, Value]
    metrics: dict[str, Number | None]
    training_environment: NotRequired[dict[str, Value | list[Value] | dict[str, Value]]]


class Sweep(TypedDict):
    """A sweep's manifest; what it counts beyond these is read by nobody."""

    kind: str
    study: str
    status: Literal["complete", "failed", "interrupted"]
    runs: Whole
    trained: Whole
    failed: list[str]
    errors: list[str]
    warnings: list[str]
    seconds: Number
    jobs: NotRequired[list[str]]
    files: NotRequired[dict[str, File]]
    sha256: NotRequired[str]


class _Kind(TypedDict):
    kind: Literal["run", "trajectory", "sweep"]


SCHEMA: dict[str, type] = {"run": Run, "trajectory": Trajectory, "sweep": Sweep}


def parse(raw: bytes) -> dict[str, Any]:
    """Return a manifest of any kind, its types as they must be.

    Raises:
        ValueError: it is something else; the message says what, in a few words.
    """
    kind = from_json(raw, _Kind)["kind"]
    manifest: dict[str, Any] = from_json(raw, SCHEMA[kind])
    files, own = manifest.get("files"), FILES[kind]
    if files is not None and not own <= files.keys():
        raise ValueError(f"{min(own - files.keys())} is not among its 'files'")
    if files is not None and not files.keys() <= own | (OPTIONAL_FILES if kind == "run" else set()):
        raise ValueError(f"'files' has a name that is no file of a {kind}")
    if kind == "run":
        config, known = manifest["config"], field_types()
        for path, value in config.items():
            if path in known and type(value) not in known[path]:
                raise ValueError(f"'config' has a {path} of the wrong type")
        for group in IDENTITY_GROUPS:
            if f"{group}.kind" not in config:
                raise ValueError(f"'config' has no {group}.kind")
        if missing := SHOWN - manifest["metrics"].keys():
            raise ValueError(f"'metrics' has no {min(missing)}")
    return manifest


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Return a manifest with the digests of files and, last, of itself (made with zeros there)."""
    digests = {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    content = to_json({**manifest, "files": digests, "sha256": ZEROS})
    head, _, tail = content.rpartition(ZEROS.encode())
    return head + sha256(content).hexdigest().encode() + tail


def read_sealed(directory: Path) -> dict[str, Any]:
    """Return the manifest of a directory, as it was written; OSError or ValueError if not."""
    content = read_regular(f"{directory}/{MANIFEST}")
    manifest = parse(content)
    if not _is_as_written(content, manifest):
        raise ValueError("it is not what was written (SHA-256 differs)")
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the same for those who cannot go on without.

    Raises:
        NormexpError: it cannot be read, as after a power cut, or is not one.
    """
    try:
        return read_sealed(directory)
    except (OSError, ValueError) as error:
        raise NormexpError(
            f"the manifest in {directory} cannot be read ({reason(error)})",
            f"remove {directory} and sweep again: only what is missing is made again",
        ) from error


def intact(directory: Path) -> dict[str, Any] | None:
    """Return the manifest of a run or trajectory that is whole, None of another.

    A run's metrics are compared by their digest, since its manifest is shown for them; other files
    by their size, for all would be much to read. What `verify` has marked is not whole either.
    """
    if os.path.lexists(directory / DAMAGE):
        return None
    try:
        if not stat.S_ISDIR(os.lstat(directory).st_mode):  # a link
            return None
        manifest = read_sealed(directory)
        for name, about in manifest["files"].items():
            if name == METRICS:
                verified(f"{directory}/{name}", about)
                continue
            there = os.lstat(f"{directory}/{name}")
            if there.st_size != about["bytes"] or not stat.S_ISREG(there.st_mode):
                return None
    except (OSError, ValueError, KeyError):  # an older sweep's manifest names no files
        return None
    return manifest


def _is_as_written(content: bytes, manifest: Mapping[str, Any]) -> bool:
    """Return whether a seal fits; a manifest from before there was a seal has none."""
    digest = manifest.get("sha256")
    if digest is None:
        return not SEAL.search(content)  # under a damaged name
    head, _, tail = content.rpartition(digest.encode())
    return bool(digest == sha256(head + ZEROS.encode() + tail).hexdigest())
