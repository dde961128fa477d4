"""Whether a run's directory is what its manifest says."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normexp.config.identity import run_id, trajectory_id
from normexp.config.schema import RunConfig
from normexp.config.tree import nest, without_gone
from normexp.errors import NormexpError
from normexp.store.check import Checked, check_manifest, check_table, decode, named, strays
from normexp.store.expected import expected, understood
from normexp.store.manifest import METRICS, OPTIONAL_FILES
from normexp.store.regular import Problem, check_files
from normexp.store.texts import config_yaml, finite

PLAIN = re.compile(r"normexp sweep( [\w@%+=:,./-]+)*", re.ASCII)
"""A command in which nothing needs quotes: what `shlex` takes a thousand times longer to say."""


def check_run(directory: Path, *, at_home: bool = True) -> Checked:
    """All that is wrong with a run's directory.

    Args:
        directory: of the run.
        at_home: whether it stands in a study, where its name says which run it is.
    """
    manifest = check_manifest(directory, "run")
    if isinstance(manifest, str):
        return Checked(None, [Problem(manifest)])
    wrong, contents = check_files(directory, manifest["files"])
    found, hidden = strays(directory, manifest["files"])
    whats = []
    if at_home and (what := named(directory, manifest["run_id"])):
        found.append(Problem(what, damages=False))
    if (manifest["status"] == "diverged") != (manifest["diverged_step"] is not None):
        whats.append("manifest.json: its status and diverged_step contradict each other")
    try:
        config = understood(nest(without_gone(manifest["config"])))
        whats += _identity(manifest, config)
        whats += _contents(directory, manifest, config, contents, whole=not at_home)
    except NormexpError as error:
        whats.append(f"manifest.json: {error.message}")
    except (TypeError, AttributeError):  # a field where a section should be
        whats.append("manifest.json: its configuration is not one of a run")
    problems = [*map(Problem, whats), *wrong, *found]
    return Checked(manifest, list(dict.fromkeys(problems)), hidden)


def is_own_command(command: str) -> bool:
    """Whether a command is one sweep, quoted as normexp quotes it, and nothing besides."""
    if PLAIN.fullmatch(command):
        return True
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[:2] == ["normexp", "sweep"] and shlex.join(words) == command


def _identity(manifest: Mapping[str, Any], config: RunConfig) -> list[str]:
    """Whether the ids are those of the configuration."""
    found = []
    for name, made in (("run_id", run_id(config)), ("trajectory_id", trajectory_id(config))):
        if manifest[name] != made:
            found.append(
                f"manifest.json: {name} is {manifest[name]}, its configuration's is {made}"
            )
    if not is_own_command(manifest["command"]):
        found.append("manifest.json: its command is not a sweep alone")
    return found


def _contents(
    directory: Path,
    manifest: Mapping[str, Any],
    config: RunConfig,
    contents: Mapping[str, bytes | None],
    *,
    whole: bool,
) -> list[str]:
    """What is wrong in files whose digests are right."""
    wanted = expected(config, manifest["log_every"])
    found = []
    for name, content in contents.items():
        what = None
        if name == ".hydra/config.yaml" and content != config_yaml(nest(manifest["config"])):
            what = "it is not the manifest's configuration"
        if name.endswith(".parquet") and name not in OPTIONAL_FILES:
            table, source = name.removesuffix(".parquet"), content or directory / name
            what = check_table(table, source, config.train.dtype, wanted, whole=whole)
        if name == METRICS and what is None:
            what = _last_row(content or (directory / name).read_bytes(), manifest["metrics"])
        if what is not None:
            found.append(f"{name}: {what}")
    return found


def _last_row(content: bytes, metrics: Mapping[str, Any]) -> str | None:
    """Whether the manifest repeats the last row."""
    table = decode(content)
    if isinstance(table, str):
        return table
    (last,) = table.slice(table.num_rows - 1).to_pylist()
    return None if finite(last) == metrics else "its last row is not what the manifest says"
