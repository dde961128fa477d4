"""The schema of manifests, by which msgspec refuses what a stranger may have written."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from normexp.config.field import LARGEST
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import field_types
from normexp.store.columns import RUN_TABLES, TRAJECTORY_TABLES
from normexp.store.texts import from_json

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
        _check_config(manifest["config"])
        if missing := SHOWN - manifest["metrics"].keys():
            raise ValueError(f"'metrics' has no {min(missing)}")
    return manifest


def _check_config(config: dict[str, Any]) -> None:
    known = field_types()
    for path, value in config.items():
        if path in known and type(value) not in known[path]:
            raise ValueError(f"'config' has a {path} of the wrong type")
    for group in IDENTITY_GROUPS:
        if f"{group}.kind" not in config:
            raise ValueError(f"'config' has no {group}.kind")
