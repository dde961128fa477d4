"""Checks: whether a directory is what its manifest says. They read everything and write a mark.

A digest shows that a file is as it was written. Ids, commands, tables and shapes are compared with
the configuration as well, since a stranger can make digests too.
"""

import re
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
from normexp.config.network import Own
from normexp.config.schema import (
    GONE,
    RunConfig,
    is_recorded,
    last_batch,
    number_of_parts,
    steps_per_epoch,
    total_steps,
    train_size,
)
from normexp.config.tree import nest, without_gone
from normexp.errors import NormexpError
from normexp.nets.models import parameter_shapes, tracked
from normexp.store import parquet
from normexp.store.files import write_file
from normexp.store.manifest import (
    CERTIFICATE,
    DAMAGE,
    MANIFEST,
    METRICS,
    WEIGHTS,
    intact,
    read_sealed,
)
from normexp.store.places import understood
from normexp.store.plain import (
    LOST,
    check_files,
    config_yaml,
    from_json,
    from_yaml,
    read_regular,
    reason,
    to_json,
)
from normexp.store.stored import row
from normexp.store.sweep import NAMES, SUMMARY, TYPED, read_summary, removed_from

Kind = Literal["run", "trajectory", "sweep"]
Contents = Mapping[str, bytes | None]

CONFIG = {"run": ".hydra/config.yaml", "trajectory": "config.yaml"}
DTYPES = {"float32": "F32", "float64": "F64"}
OF_ITS_TIME = ("label", "directory", "log.every", *GONE)
"""Columns of a summary that may have changed since."""

NOT_THERE = "not in the study"

COMMAND = re.compile(r"""normexp sweep(?: (?:[\w@%+=:,./-]|'[^']*'|"'")+)*""", re.ASCII)


class Problem(NamedTuple):
    """One thing that is wrong, in words that begin with the file's name where it is one file's."""

    what: str
    damages: bool = True  # whether the directory has to be made anew; what lies about does not


class Checked(NamedTuple):
    """The result of checking one directory."""

    manifest: dict[str, Any] | None  # if it can be believed
    problems: list[Problem]
    hidden: int = 0  # names that begin with a dot and are no part of the directory


def check(directory: Path, kind: Kind, *, at_home: bool = True) -> Checked:
    """Return all that is wrong with a run or trajectory.

    Args:
        directory: of it.
        kind: run or trajectory.
        at_home: whether it stands where a sweep has put it: its name says its id then. Of what
            came from elsewhere every table is read whole.
    """
    manifest = _manifest(directory, kind)
    if isinstance(manifest, str):
        return Checked(None, [Problem(manifest)])
    wrong, contents = check_files(directory, manifest["files"])
    problems = []
    identity, end = manifest[f"{kind}_id"], directory.name.rpartition("-")[2]
    if at_home and end != identity:
        what = f"its name ends in {end}, its manifest says {identity}"
        problems.append(Problem(what, damages=kind == "trajectory"))
    compare = _run if kind == "run" else _trajectory
    try:
        for what in compare(directory, manifest, contents, whole=not at_home):
            problems.append(Problem(what))  # noqa: PERF401  those found before an error count
    except (NormexpError, ValueError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, NormexpError | ValueError) else "it is not one"
        problems.append(Problem(f"{MANIFEST if kind == 'run' else CONFIG[kind]}: {what}"))
    problems += [Problem(f"{name}: {what}") for name, what in wrong.items()]
    own = {MANIFEST, DAMAGE, CERTIFICATE, *manifest["files"]}
    strays, hidden = _strays(directory, own, "no manifest names it")
    return Checked(manifest, [*dict.fromkeys(problems), *strays], hidden)


def check_sweep(directory: Path, runs: Mapping[str, Path]) -> Checked:
    """Return all that is wrong with a sweep that has ended, whose study has these runs by id."""
    manifest = _manifest(directory, "sweep")
    if isinstance(manifest, str):
        problems = [manifest]
    else:
        wrong, _ = check_files(directory, manifest.get("files", {}))
        problems = [f"{name}: {what}" for name, what in wrong.items()]
        problems = problems or list(_sweep(directory, manifest, runs))
    strays, hidden = _strays(directory, NAMES, "no sweep has it")
    about = None if isinstance(manifest, str) else manifest
    return Checked(about, [*map(Problem, problems), *strays], hidden)


def _manifest(directory: Path, kind: Kind) -> dict[str, Any] | str:
    """Return the manifest of a directory of this kind, or what is wrong with it."""
    try:
        manifest = read_sealed(directory)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in LOST:
            raise
        return f"{MANIFEST}: {reason(error)}"
    return manifest if manifest["kind"] == kind else f"{MANIFEST}: it is a {manifest['kind']}'s"


def _strays(directory: Path, own: set[str], what: str) -> tuple[list[Problem], int]:
    """Return the problems of names that are not a directory's own, and how many are hidden."""
    folders = {name.partition("/")[0] for name in own if "/" in name}
    found: list[str] = []
    for path in directory.iterdir():
        is_ours = path.name in folders and path.is_dir() and not path.is_symlink()
        found += [f"{path.name}/{each.name}" for each in path.iterdir()] if is_ours else [path.name]
    others = [name for name in sorted(found) if name not in own]
    visible = [name for name in others if not name.rpartition("/")[2].startswith(".")]
    strays = [Problem(f"{name}: {what}", damages=False) for name in visible]
    return strays, len(others) - len(visible)


def _run(
    directory: Path, manifest: Mapping[str, Any], contents: Contents, *, whole: bool
) -> Iterator[str]:
    if (manifest["status"] == "diverged") != (manifest["diverged_step"] is not None):
        yield f"{MANIFEST}: its status and diverged_step contradict each other"
    config = understood(nest(without_gone(manifest["config"])))
    for name, made in (("run_id", run_id(config)), ("trajectory_id", trajectory_id(config))):
        if manifest[name] != made:
            yield f"{MANIFEST}: {name} is {manifest[name]}, its configuration's is {made}"
    if not is_own_command(manifest["command"]):
        yield f"{MANIFEST}: its command is not a sweep alone"
    written = config_yaml(nest(manifest["config"]))
    if CONFIG["run"] in contents and contents[CONFIG["run"]] != written:
        yield f"{CONFIG['run']}: it is not the manifest's configuration"
    broken = list(_tables(directory, config, contents, manifest["log_every"], whole=whole))
    yield from broken
    if METRICS in contents and not any(what.startswith(METRICS) for what in broken):
        try:
            metrics = parquet.decode(contents[METRICS] or directory / METRICS)
            (last,) = metrics.slice(metrics.num_rows - 1).to_pylist()
            if from_json(to_json(last), dict) != manifest["metrics"]:
                yield f"{METRICS}: its last row is not what the manifest says"
        except parquet.UNREADABLE as error:
            yield f"{METRICS}: it cannot be read ({reason(error)})"


def _trajectory(
    directory: Path, manifest: Mapping[str, Any], contents: Contents, *, whole: bool
) -> Iterator[str]:
    if CONFIG["trajectory"] not in contents:
        return
    written = contents[CONFIG["trajectory"]]
    if written is None:
        raise ValueError("it is too large")
    config = understood(from_yaml(written))
    made, identity = trajectory_id(config), manifest["trajectory_id"]
    if made != identity:
        raise ValueError(f"it is that of {made}, its manifest says {identity}")
    yield from _tables(directory, config, contents, whole=whole)
    if WEIGHTS in contents and (what := _unlike_model(directory / WEIGHTS, config)):
        yield f"{WEIGHTS}: {what}"


def is_own_command(command: str) -> bool:
    """Return whether a command is one sweep, quoted as `shlex` does, and nothing besides."""
    return COMMAND.fullmatch(command) is not None


def _tables(
    directory: Path, config: RunConfig, contents: Contents, log_every: int = 1, *, whole: bool
) -> Iterator[str]:
    """Yield what is wrong with tables whose digests are right: with all pages, or with footers."""
    rows = _rows(config, log_every)
    fewest = {"batch_stats": tracked(config)[1]} if is_recorded(config) else {}
    largest = min(config.train.batch_size, train_size(config))
    has_parts = number_of_parts(config, largest) > 1
    for name, content in contents.items():
        table = name.removesuffix(".parquet")
        if table == name or table not in rows:
            continue
        path = directory / name
        try:
            with pq.ParquetFile(path if content is None else pa.BufferReader(content)) as file:
                found = file.metadata.num_rows
                if what := parquet.unlike(file.schema_arrow, table, config.train.dtype):
                    yield f"{name}: {what}"
                elif found not in (rows[table], fewest.get(table)):
                    yield f"{name}: it has {found:,} rows, its configuration gives {rows[table]:,}"
                elif table == "batch_stats" and ("part" in file.schema_arrow.names) != has_parts:
                    yield f"{name}: its column part does not fit its configuration"
            if whole:
                parquet.decode(path if content is None else content)
        except parquet.UNREADABLE as error:
            yield f"{name}: it cannot be read ({reason(error)})"


def _rows(config: RunConfig, log_every: int) -> dict[str, int]:
    """Return the rows of every table of a run and its trajectory.

    Raises:
        NormexpError: there is no such run.
    """
    try:
        epochs, steps, per_epoch = config.train.epochs, total_steps(config), steps_per_epoch(config)
        layers, channels = tracked(config)
        full = number_of_parts(config, config.train.batch_size)
        updates = ((per_epoch - 1) * full + number_of_parts(config, last_batch(config))) * epochs
        both = steps // lcm(log_every, per_epoch)
    except (ArithmeticError, AssertionError, LookupError, ValueError, MemoryError) as error:
        raise NormexpError("its configuration is not one of a run") from error
    started = channels if is_recorded(config) else 0  # a row of step 0
    return {
        "metrics": epochs + 1,
        "stats": (steps // log_every + steps // per_epoch - both + 1) * channels,
        "layers": (epochs + 1) * layers,
        "batch_stats": started + updates * channels,
        "steps": steps,
        "points": epochs + 1,
        "population": (epochs + 1) * channels,
    }


def _unlike_model(path: Path, config: RunConfig) -> str | None:
    """Return how names, shapes and types of stored parameters differ from the model's."""
    points = config.train.epochs + 1
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            there = {name: tuple(each.get_shape()) for name, each in slices.items()}
            dtypes = {each.get_dtype() for each in slices.values()}
    except (OSError, ValueError, SafetensorError) as error:
        return f"it cannot be read ({type(error).__name__})"
    of_user = {name: shape[1:] for name, shape in there.items()}  # only its code knows these
    known = of_user if isinstance(config.model, Own) else parameter_shapes(config)
    shapes = {name: (points, *shape) for name, shape in known.items()}
    for name, shape in shapes.items():
        if there.get(name) != shape:
            return f"{name} is not of shape {'×'.join(map(str, shape))}"
    if there.keys() != shapes.keys() or not dtypes <= {DTYPES[config.train.dtype]}:
        return "its parameters are not those of the model"
    return None


def _sweep(directory: Path, manifest: Mapping[str, Any], runs: Mapping[str, Path]) -> Iterator[str]:
    """Yield what is wrong with a sweep's texts, and how its summary differs from its runs."""
    try:
        typed = from_yaml(read_regular(directory / TYPED))
        if not {"study", "overrides", "plan"} <= typed.keys():
            yield f"{TYPED}: it does not say what was typed"
    except (OSError, ValueError) as error:
        yield f"{TYPED}: {reason(error)}"
    try:
        from_json(read_regular(directory / "environment.json"), dict)
    except (OSError, ValueError) as error:
        yield f"environment.json: {reason(error)}"
    try:
        rows = read_summary(directory).to_pylist()
    except NormexpError as error:
        yield f"{SUMMARY}: {error.message.rpartition('cannot be read ')[2].strip('()')}"
        return
    ids = [each["run_id"] for each in rows]
    if len({*ids}) < len(ids):
        yield f"{SUMMARY}: a run is in it twice"
        return
    if len({*ids, *removed_from(directory), *manifest["failed"]}) != manifest["runs"]:
        yield f"{SUMMARY}: it has {len(ids):,} rows, its sweep had {manifest['runs']:,} runs"
    if missing := [name for name in ids if name not in runs]:
        yield f"{SUMMARY}: {_some(missing)} {NOT_THERE}"
    ended = (directory / MANIFEST).stat().st_mtime
    there = [each for each in rows if each["run_id"] in runs]
    if unlike := [each["run_id"] for each in there if _differs(each, runs[each["run_id"]], ended)]:
        yield f"{SUMMARY}: {_some(unlike)} not what its row says"


def _differs(said: Mapping[str, Any], directory: Path, ended: float) -> bool:
    """Return whether a run that is whole, and was so when the sweep ended, says something else."""
    manifest = intact(directory)
    if manifest is None or manifest.get("run_id") != said["run_id"]:
        return False  # reported of the run
    if (directory / MANIFEST).stat().st_mtime > ended:
        return False  # made again since
    there = row(manifest, directory)
    return any(there.get(name) != value for name, value in said.items() if name not in OF_ITS_TIME)


def _some(names: list[str]) -> str:
    first = ", ".join(map(str, names[:2]))
    return f"run {first} is" if len(names) == 1 else f"{len(names)} runs ({first}, ...) are"


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
