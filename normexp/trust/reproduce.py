"""Reproduction: one run trained alone from its own directory, in a place of its own."""

import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from normexp.config.identity import run_id
from normexp.config.schema import Local, Store
from normexp.config.tree import flatten, nest
from normexp.errors import NormexpError, UsageError, VerificationError
from normexp.store.files import write_file
from normexp.store.manifest import CERTIFICATE
from normexp.store.places import Place, find_data, typed_places
from normexp.store.plain import check_files, from_json, from_yaml, read_regular, to_json
from normexp.store.stored import Stored
from normexp.study.run import Base, Run
from normexp.study.settle import check, settle
from normexp.study.study import Study
from normexp.sweeps.events import Listener, ignore
from normexp.sweeps.sweep import study_directory, sweep_study
from normexp.trust.certificate import certificate
from normexp.trust.diff import TYPE_VERIFY, find, not_this_run, recorded, understood


def reproduce(
    wanted: str,
    places: list[str] | None = None,
    *,
    store: str | Path = "runs",
    out: str | Path | None = None,
    progress: Listener = ignore,
) -> tuple[dict[str, Any], Path]:
    """Train a run alone, in a place of its own, and compare it with what is recorded.

    Args:
        wanted: the run's id or the beginning of it, its name, or its directory.
        places: where data in files stand now, such as `data.path=FILE`.
        store: where the run is looked for.
        out: the certificate's file; by default in the run's directory.
        progress: called with every event.

    Returns:
        The certificate and its file; its verdict is `identical`, `agrees` or `differs`.

    Raises:
        NotFoundError: there is no such run.
        UsageError: a place is none, or the data are not there.
        VerificationError: the recorded files are damaged, or are not of the recorded configuration.
        NormexpError: the training failed, or the certificate cannot be written.
    """
    was = find(Path(store), wanted)
    damaged, _ = check_files(was.directory, was.manifest["files"])
    if damaged:
        files = ", ".join(f"{name} ({state})" for name, state in damaged.items())
        raise VerificationError(f"{was.directory} is damaged: {files}", TYPE_VERIFY)
    path = Path(out) if out else was.directory / CERTIFICATE
    run = _run(was, typed_places(places or ()))
    _check_writable(path)
    with tempfile.TemporaryDirectory(prefix="normexp-") as place:
        start = time.perf_counter()
        made = _train(run, was, place, progress)
        seconds = time.perf_counter() - start
        content = certificate(was, made, run.config.train.dtype) | {"seconds": seconds}
    try:
        write_file(path, to_json(content))
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    return content, path


def _run(was: Stored, places: list[Place]) -> Run:
    """The run, ready to be trained, by the names of choices of its time.

    Raises:
        UsageError: the data are not there, or are others.
        VerificationError: the configuration is not that of the recorded run.
    """
    config = understood(was).config
    data = find_data([config.data], places)[config.data]
    if isinstance(data, UsageError):
        raise data
    try:
        config = settle(replace(config, data=data), {})
    except UsageError as error:
        raise not_this_run(was, error.message) from error
    if run_id(config) != was.id:
        raise not_this_run(was, f"it gives run {run_id(config)}")
    check(config)
    path = was.directory / ".hydra/hydra.yaml"
    try:
        found = from_yaml(read_regular(path))["hydra"]["runtime"]["choices"]
        choices = {str(group): str(choice) for group, choice in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerificationError(f"{path} cannot be read", TYPE_VERIFY) from error
    return Run(config, Base(choices, nest(flatten(config))))


def _check_writable(path: Path) -> None:
    """Refuse before training, not after; what is there stays, unless it is a certificate."""
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    if path.exists() and not _is_certificate(path):
        raise _unwritable(path, "something else than a certificate is there")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _is_certificate(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return from_json(read_regular(path), dict).get("kind") == "certificate"
    return False


def _unwritable(path: Path, why: str) -> NormexpError:
    return UsageError(f"cannot write {path}: {why}", "type --out FILE for another place")


def _train(run: Run, was: Stored, place: str, progress: Listener) -> Stored:
    """The run, made alone in a store of its own by an ordinary sweep."""
    executor = Local(workers=1, processes=False)
    config = replace(run.config, executor=executor, store=Store(dir=place))
    name, base = str(was.manifest["study"]), run.base.choices.get("study", "")
    study = Study(name, "", (), (replace(run, config=config),), (), (), None, base)
    outcome = sweep_study(study, progress=progress)
    if outcome.failed:
        raise NormexpError(f"run {was.id} failed: {'; '.join(outcome.errors)}")
    return recorded(study_directory(study).runs()[run.id])
