"""Reproduction: one run trained alone from its own directory, in a place of its own."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from normexp.config.schema import Local
from normexp.errors import NormexpError, UsageError, VerificationError
from normexp.planning.plan import build
from normexp.session.certificate import Certificate, compare
from normexp.session.execute import execute
from normexp.session.progress import Progress, Silent
from normexp.session.recorded import TYPE_VERIFY, Recorded, damage, find, place_of
from normexp.session.sweep import describe
from normexp.store.files import CERTIFICATE, read_manifest, write_json
from normexp.store.layout import StudyDirectory
from normexp.study.run import Run
from normexp.study.study import Study


def reproduce(
    wanted: str,
    places: list[str] | None = None,
    *,
    store: str | Path = "runs",
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Train a run alone, in a place of its own, and compare it with what is recorded.

    Args:
        wanted: the run's id or the beginning of it, its name, or its directory.
        places: where data in files stand here, such as `data.path=FILE`.
        store: where the run is looked for.
        out: the certificate's file; the run's directory has it otherwise.
        progress: told what happens.

    Raises:
        NotFoundError: there is no such run.
        UsageError: a place is none, or the data are not there.
        VerificationError: the recorded files are damaged, or are not of the recorded configuration.
        NormexpError: the training failed, or the certificate cannot be written.
    """
    recorded = find(Path(store), wanted)
    if damaged := damage(recorded.directory, recorded.manifest):
        files = ", ".join(f"{name} ({state})" for name, state in damaged.items())
        raise VerificationError(f"{recorded.directory} is damaged: {files}", TYPE_VERIFY)
    path = Path(out) if out else recorded.directory / CERTIFICATE
    run = recorded.run(dict(place_of(each, recorded.flat) for each in places or ()))
    _check_writable(path)
    with tempfile.TemporaryDirectory(prefix="normexp-") as place:
        start = time.perf_counter()
        made = _train(run, recorded, StudyDirectory(Path(place) / "study"), progress or Silent())
        seconds = time.perf_counter() - start
        content = compare(recorded, made, run.config.train.dtype) | {"seconds": seconds}
    try:
        write_json(path, content)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    return Certificate(content, path)


def _check_writable(path: Path) -> None:
    """Say so before training, not after."""
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    try:
        probe = path.with_name(f".{path.name}.probe.partial")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> NormexpError:
    return UsageError(f"cannot write {path}: {why}", "type --out FILE for another place")


def _train(run: Run, recorded: Recorded, place: StudyDirectory, progress: Progress) -> Recorded:
    """The run, made alone in a new place by the ordinary pipeline."""
    config = replace(run.config, executor=Local(workers=1, processes=False))
    name = str(recorded.manifest["study"])
    study = Study(name, "", (), (replace(run, config=config),), (), (), None)
    plan = build(study, frozenset(), frozenset())
    for _, error in execute(plan, place, progress):
        if error is not None:
            raise NormexpError(
                f"run {recorded.id} failed: {describe(error)}", "type --debug for more"
            ) from error
    directory = place.runs()[run.id]
    return Recorded(directory, read_manifest(directory))
