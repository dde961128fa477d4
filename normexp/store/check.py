"""Checks: whether a directory is what its manifest says. They read everything and write a mark.

A digest shows that a file is as it was written. Ids, commands, tables and shapes are compared with
the configuration as well, since a stranger can make digests too.
"""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import lcm
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from normexp.config.identity import run_id, trajectory_id
from normexp.config.norm import BatchKind
from normexp.config.schema import (
    RunConfig,
    last_batch,
    number_of_parts,
    steps_per_epoch,
    total_steps,
)
from normexp.config.tree import nest, without_gone
from normexp.errors import NormexpError
from normexp.nets.structure import parameter_shapes, structure
from normexp.store import parquet
from normexp.store.columns import TABLES
from normexp.store.files import CERTIFICATE, DAMAGE, MANIFEST, read_sealed, write_file
from normexp.store.manifest import METRICS, WEIGHTS
from normexp.store.places import understood, weights_yaml
from normexp.store.regular import LOST, check_files, reason
from normexp.store.texts import config_yaml, finite, from_yaml, to_json

Kind = Literal["run", "trajectory", "sweep"]
Contents = Mapping[str, bytes | None]
CONFIG = {"run": ".hydra/config.yaml", "trajectory": "config.yaml"}
DTYPES = {"float32": "F32", "float64": "F64"}


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        what: in words, beginning with the file's name where it is one file's.
        damages: whether the directory has to be made anew; what merely lies about does not.
    """

    what: str
    damages: bool = True


class Checked(NamedTuple):
    """The result of checking one directory.

    Attributes:
        manifest: if it can be believed.
        problems: all of them.
        hidden: files with names that begin with a dot and are no part of the directory.
    """

    manifest: dict[str, Any] | None
    problems: list[Problem]
    hidden: int = 0


def check(directory: Path, kind: Kind, *, at_home: bool = True) -> Checked:
    """Return all that is wrong with the directory of a run or a trajectory.

    Args:
        directory: of the run or trajectory.
        kind: which of these.
        at_home: whether it stands in a study, where its name says its id; elsewhere a stranger may
            have made it, and every page of its tables is read.
    """
    manifest = manifest_of(directory, kind)
    if isinstance(manifest, str):
        return Checked(None, [Problem(manifest)])
    wrong, contents = check_files(directory, manifest["files"])
    problems = []
    if at_home and (what := _misnamed(directory, manifest[f"{kind}_id"])):
        problems.append(Problem(what, damages=kind == "trajectory"))
    compare = _run if kind == "run" else _trajectory
    try:
        for what in compare(directory, manifest, contents, whole=not at_home):
            problems.append(Problem(what))  # noqa: PERF401  those found before an error count
    except (NormexpError, ValueError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, NormexpError | ValueError) else "it is not one"
        problems.append(Problem(f"{MANIFEST if kind == 'run' else CONFIG[kind]}: {what}"))
    problems += [Problem(f"{name}: {what}") for name, what in wrong.items()]
    strays, hidden = _strays(directory, manifest["files"])
    return Checked(manifest, [*dict.fromkeys(problems), *strays], hidden)


def _run(
    directory: Path, manifest: Mapping[str, Any], contents: Contents, *, whole: bool
) -> Iterator[str]:
    if (manifest["status"] == "diverged") != (manifest["diverged_step"] is not None):
        yield f"{MANIFEST}: its status and diverged_step contradict each other"
    tree = nest(manifest["config"])
    config = understood(nest(without_gone(manifest["config"])))
    for name, made in (("run_id", run_id(config)), ("trajectory_id", trajectory_id(config))):
        if manifest[name] != made:
            yield f"{MANIFEST}: {name} is {manifest[name]}, its configuration's is {made}"
    if not is_own_command(manifest["command"]):
        yield f"{MANIFEST}: its command is not a sweep alone"
    if contents.get(CONFIG["run"]) not in (None, config_yaml(tree)):
        yield f"{CONFIG['run']}: it is not the manifest's configuration"
    broken = list(_tables(directory, config, contents, manifest["log_every"], whole=whole))
    yield from broken
    if METRICS in contents and not any(what.startswith(METRICS) for what in broken):
        try:
            metrics = parquet.decode(contents[METRICS] or directory / METRICS)
        except parquet.UNREADABLE as error:
            yield f"{METRICS}: it cannot be read ({reason(error)})"
        else:
            (last,) = metrics.slice(metrics.num_rows - 1).to_pylist()
            if finite(last) != manifest["metrics"]:
                yield f"{METRICS}: its last row is not what the manifest says"


def _trajectory(
    directory: Path, manifest: Mapping[str, Any], contents: Contents, *, whole: bool
) -> Iterator[str]:
    written = contents.get(CONFIG["trajectory"])
    if written is None:
        return
    tree = from_yaml(written)
    config = understood(tree)
    made, identity = trajectory_id(config), manifest["trajectory_id"]
    if made != identity:
        raise ValueError(f"it is that of {made}, its manifest says {identity}")
    if weights_yaml(config, tree) != written:
        raise ValueError("it is not written as normexp writes it")
    yield from _tables(directory, config, contents, whole=whole)
    if WEIGHTS in contents and (what := _unlike_model(directory / WEIGHTS, config)):
        yield f"{WEIGHTS}: {what}"


def is_own_command(command: str) -> bool:
    """Return whether a command is one sweep, quoted as normexp quotes it, and nothing besides."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[:2] == ["normexp", "sweep"] and shlex.join(words) == command


def manifest_of(directory: Path, kind: str) -> dict[str, Any] | str:
    """Return the manifest of a directory of this kind, or what is wrong with it."""
    try:
        manifest = read_sealed(directory)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in LOST:
            raise
        return f"{MANIFEST}: {reason(error)}"
    return manifest if manifest["kind"] == kind else f"{MANIFEST}: it is a {manifest['kind']}'s"


def _misnamed(directory: Path, identity: str) -> str | None:
    end = directory.name.rpartition("-")[2]
    if end == identity:
        return None
    return f"its name ends in {end}, its manifest says {identity}"


def _strays(directory: Path, files: Mapping[str, Any]) -> tuple[list[Problem], int]:
    """Return what lies in a directory and is named by no manifest; the hidden is only counted."""
    own = {MANIFEST, DAMAGE, CERTIFICATE, *files}
    folders = {str(Path(name).parent) for name in files} - {"."}
    found = sorted(path.name for path in directory.iterdir())
    for folder in folders:
        place = directory / folder
        if place.is_dir() and not place.is_symlink():
            found += [f"{folder}/{path.name}" for path in sorted(place.iterdir())]
    others = [name for name in found if name not in own | folders]
    visible = [name for name in others if not Path(name).name.startswith(".")]
    strays = [Problem(f"{name}: no manifest names it", damages=False) for name in visible]
    return strays, len(others) - len(visible)


def _tables(
    directory: Path,
    config: RunConfig,
    contents: Contents,
    log_every: int = 1,
    *,
    whole: bool,
) -> Iterator[str]:
    """Yield what is wrong with tables whose digests are right; with `whole`, decode every page."""
    rows, has_parts = _rows_of_tables(config, log_every)
    for name, content in contents.items():
        table = name.removesuffix(".parquet")
        if table == name or table not in rows:
            continue
        source = directory / name if content is None else pa.BufferReader(content)
        try:
            with pq.ParquetFile(source) as file:
                schema, found = file.schema_arrow, file.metadata.num_rows
            if what := parquet.unlike(schema, table, config.train.dtype):
                yield f"{name}: {what}"
            elif not _is_complete(schema.names, table, has_parts=has_parts):
                yield f"{name}: its columns are not those of {table}"
            elif found != rows[table]:
                yield f"{name}: it has {found:,} rows, its configuration gives {rows[table]:,}"
            elif whole and content is not None:
                parquet.decode(content)
        except parquet.UNREADABLE as error:
            yield f"{name}: it cannot be read ({reason(error)})"


def _is_complete(names: list[str], table: str, *, has_parts: bool) -> bool:
    """Return whether a table has all optional columns or none, and `part` where there are parts."""
    optional = [column.name for column in TABLES[table] if column.optional]
    there = [name for name in optional if name in names]
    return bool(there) == has_parts if "part" in optional else there in ([], optional)


def _rows_of_tables(config: RunConfig, log_every: int) -> tuple[dict[str, int], bool]:
    """Return the rows of every table of a run and its trajectory, and whether batches have parts.

    Raises:
        NormexpError: there is no such run.
    """
    try:
        points, steps, per_epoch = (
            config.train.epochs + 1,
            total_steps(config),
            steps_per_epoch(config),
        )
        sites = structure(config).sites if isinstance(config.norm, BatchKind) else {}
        channels = sum(site.channels for site in sites.values())
        parts = [number_of_parts(config, n) for n in (config.train.batch_size, last_batch(config))]
        updates = ((per_epoch - 1) * parts[0] + parts[1]) * config.train.epochs
        both = steps // lcm(log_every, per_epoch)
        logged = steps // log_every + steps // per_epoch - both + 1
    except (ArithmeticError, AssertionError, LookupError, ValueError, MemoryError) as error:
        raise NormexpError("its configuration is not one of a run") from error
    points = config.train.epochs + 1
    rows = {
        "metrics": points,
        "stats": logged * channels,
        "layers": points * len(sites),
        "batch_stats": updates * channels,
        "steps": steps,
        "points": points,
        "population": points * channels,
    }
    return rows, channels > 0 and max(parts[per_epoch == 1 :]) > 1


def _unlike_model(path: Path, config: RunConfig) -> str | None:
    """Return how names, shapes and types of stored parameters differ from the model's."""
    points = config.train.epochs + 1
    shapes = {name: (points, *shape) for name, shape in parameter_shapes(config).items()}
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            there = {name: tuple(each.get_shape()) for name, each in slices.items()}
            dtypes = {each.get_dtype() for each in slices.values()}
    except (OSError, ValueError, SafetensorError) as error:
        return f"it cannot be read ({type(error).__name__})"
    for name, shape in shapes.items():
        if there.get(name) != shape:
            return f"{name} is not of shape {'×'.join(map(str, shape))}"
    if there.keys() != shapes.keys() or dtypes != {DTYPES[config.train.dtype]}:
        return "its parameters are not those of the model"
    return None


def mark(directory: Path, problems: list[str]) -> bool:
    """Mark a directory as damaged, so that the next sweep makes it anew; False if that failed."""
    if _is_behind_link(directory):
        return False
    when = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_file(directory / DAMAGE, to_json({"found": when, "problems": problems}))
    except OSError:
        return False
    return True


def unmark(directory: Path) -> None:
    """Remove the mark of a directory that is whole."""
    if not _is_behind_link(directory):
        with suppress(OSError):
            (directory / DAMAGE).unlink()


def _is_behind_link(directory: Path) -> bool:
    """Return whether it, or what has it in the store, is a link: nothing is changed there."""
    above = directory.parents[: 2 if directory.parent.name == "trajectories" else 1]
    return any(path.is_symlink() for path in (directory, *above))
