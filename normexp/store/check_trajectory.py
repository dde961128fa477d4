"""Whether a trajectory's directory is what its manifest says."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from normexp.config.identity import trajectory_id
from normexp.config.schema import RunConfig
from normexp.errors import NormexpError
from normexp.store.check import Checked, check_manifest, check_table, named, strays
from normexp.store.expected import Expected, expected, understood, weights_yaml
from normexp.store.foreign_yaml import read_sections
from normexp.store.manifest import WEIGHTS
from normexp.store.regular import Problem, check_files

CONFIG = "config.yaml"
DTYPES = {"float32": "F32", "float64": "F64"}


def check_trajectory(directory: Path, *, at_home: bool = True) -> Checked:
    """All that is wrong with a trajectory's directory; see `check_run`."""
    manifest = check_manifest(directory, "trajectory")
    if isinstance(manifest, str):
        return Checked(None, [Problem(manifest)])
    identity = manifest["trajectory_id"]
    wrong, contents = check_files(directory, manifest["files"])
    found, hidden = strays(directory, manifest["files"])
    whats = []
    if at_home and (what := named(directory, identity)):
        whats.append(what)
    if (written := contents.get(CONFIG)) is not None:
        try:
            config = _config(written, identity)
            whats += _contents(directory, config, contents, whole=not at_home)
        except (NormexpError, ValueError) as error:
            whats.append(f"{CONFIG}: {error}")
    return Checked(manifest, [*map(Problem, whats), *wrong, *found], hidden)


def _config(content: bytes, identity: str) -> RunConfig:
    """The configuration; fields that weights do not depend on have their defaults.

    Raises:
        NormexpError: it is none.
        ValueError: it is another trajectory's, or is not written as normexp writes it.
    """
    tree = read_sections(content)
    config = understood(tree)
    made = trajectory_id(config)
    if made != identity:
        raise ValueError(f"it is that of {made}, its manifest says {identity}")
    if weights_yaml(config, tree) != content:
        raise ValueError("it is not written as normexp writes it")
    return config


def _contents(
    directory: Path, config: RunConfig, contents: Mapping[str, bytes | None], *, whole: bool
) -> list[str]:
    """What is wrong in files whose digests are right."""
    wanted = expected(config)
    found = []
    for name, content in contents.items():
        what = None
        if name.endswith(".parquet"):
            table, source = name.removesuffix(".parquet"), content or directory / name
            what = check_table(table, source, config.train.dtype, wanted, whole=whole)
        if name == WEIGHTS:
            what = _weights(directory / name, wanted, DTYPES[config.train.dtype])
        if what is not None:
            found.append(f"{name}: {what}")
    return found


def _weights(path: Path, wanted: Expected, dtype: str) -> str | None:
    """Whether the names, shapes and types of all parameters are those of the model."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            dtypes = {each.get_dtype() for each in slices.values()}
    except (OSError, ValueError, SafetensorError) as error:
        return f"it cannot be read ({type(error).__name__})"
    for name, shape in wanted.weights.items():
        if shapes.get(name) != shape:
            return f"{name} is not of shape {'×'.join(map(str, shape))}"
    if shapes.keys() != wanted.weights.keys() or dtypes != {dtype}:
        return "its parameters are not those of the model"
    return None
