"""Why a run is what it is to the store: kept, made again, or new. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from normexp.errors import UsageError
from normexp.store.files import MANIFEST, intact
from normexp.store.layout import StudyDirectory, holds
from normexp.study.run import Run
from normexp.study.study import Study
from normexp.sweeps.environment import changed_since, environment
from normexp.sweeps.plan import differing, label
from normexp.sweeps.sweep import load, study_directory
from normexp.trust.differences import Described, compared, distance, of_recorded, of_run, telling
from normexp.trust.nearest import nearest
from normexp.trust.recorded import locate, read
from normexp.trust.standing import standing, state_of

FEW = 3
"""Runs that are explained one by one; and the first of many."""

REASONS = {
    "cached": "stored and whole: nothing to do",
    "changed": "stored, by other code or elsewhere",
    "sparse": "stored, to be observed again: its tables lack what is asked",
    "damaged": "stored and damaged, to be made again",
    "observe": "not stored, to be observed on a stored trajectory",
    "train": "not stored, to be trained",
}
"""What a run is to a sweep, by name."""

Report = dict[str, Any]


def why(
    arguments: Sequence[str],
    *,
    store: str | Path | None = None,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
) -> Report:
    """Why a sweep would make a run again or would not, or where two runs differ.

    Args:
        arguments: one or two stored runs, by id, name or directory; or overrides, which describe
            runs as for `plan`; or one run and overrides.
        store: where runs are looked for; `runs`, or what the overrides say.
        config_dir: the user's own configs, for the overrides.
        filed_as: the name that runs of overrides are kept under.

    Raises:
        NotFoundError: there is no such run.
        UsageError: more runs than two, or overrides that make no sense.
    """
    runs = [text for text in arguments if not _is_override(text)]
    overrides = [text for text in arguments if _is_override(text)]
    if len(runs) > 2 or (len(runs) == 2 and overrides) or not arguments:  # noqa: PLR2004  a pair
        raise UsageError(
            f"{' '.join(arguments) or 'nothing'}: one run, two, or overrides, or one run and "
            "overrides are needed",
            "type for example normexp why RUN, or normexp why norm=batch seed=3",
        )
    places = [locate(Path(store or "runs"), text) for text in runs]
    if not overrides:
        return standing(places[0]) if len(places) == 1 else compared(*map(_described, places))
    study = load(overrides, config_dir=config_dir, filed_as=filed_as)
    if places:
        return _against(_described(places[0]), study)
    directory = study_directory(study)
    return _why_study(study, StudyDirectory(Path(store) / study.name) if store else directory)


def _is_override(text: str) -> bool:
    return ("=" in text or text.startswith("~")) and not Path(text, MANIFEST).is_file()


def _described(directory: Path) -> Described:
    return of_recorded(read(directory))


def _against(left: Described, study: Study) -> Report:
    """A stored run beside the described one, or the nearest of them."""
    names = differing(study.runs)
    run = min(study.runs, key=lambda each: distance(left.flat, telling(each.flat)))
    return compared(left, of_run(run, label(run, names))) | {"described": len(study.runs)}


def _why_study(study: Study, directory: StudyDirectory) -> Report:
    """The described runs by what they are to a sweep; a few of them one by one."""
    there, names = directory.places(), differing(study.runs)
    stored = {name for name in {r.trajectory_id for r in study.runs}
              if intact(directory.trajectory(name)) is not None}  # fmt: skip
    reasons: dict[str, list[Run]] = {reason: [] for reason in REASONS}
    for run in study.runs:
        reasons[_reason(run, there.get(run.id), run.trajectory_id in stored)].append(run)
    few = study.runs if len(study.runs) <= FEW else ()
    return {
        "kind": "study",
        "study": study.name,
        "directory": str(directory.path),
        "runs": len(study.runs),
        "reasons": {
            reason: {
                "runs": len(runs),
                "first": [{"run_id": r.id, "label": label(r, names)} for r in runs[:FEW]],
            }
            for reason, runs in reasons.items()
        },
        "details": [
            standing(there[run.id]) | {"reason": reason}
            if run.id in there
            else _missing(run, label(run, names), reason, directory)
            for reason, runs in reasons.items()
            for run in runs
            if few
        ],
        "notes": list(study.notes),
    }


def _reason(run: Run, path: Path | None, trained: bool) -> str:  # noqa: FBT001
    """What a described run is to a sweep: a name in `REASONS`."""
    if path is None:
        return "observe" if trained else "train"
    manifest = intact(path)
    if manifest is None:
        return "damaged"
    if not holds(manifest, run.config.log):
        return "sparse"
    return "changed" if changed_since(manifest, environment()) else "cached"


def _missing(run: Run, name: str, reason: str, directory: StudyDirectory) -> Report:
    """A described run that is not stored, and the stored ones most like it."""
    training = directory.trajectory(run.trajectory_id)
    return {
        "kind": "described",
        "run_id": run.id,
        "label": name,
        "reason": reason,
        "trajectory": {"id": run.trajectory_id, "state": state_of(training)},
        "nearest": nearest(run, directory),
    }
