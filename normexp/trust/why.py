"""Reasons for which a sweep keeps a run, makes it again, or finds it new. Imports no torch."""

import heapq
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normexp.config.field import Scalar
from normexp.config.identity import between
from normexp.errors import NormexpError, UsageError, VerificationError
from normexp.store.layout import StudyDirectory, studies
from normexp.store.manifest import DAMAGE, MANIFEST, intact
from normexp.store.plain import check_files
from normexp.store.selection import find_run
from normexp.study.run import Run
from normexp.study.study import Study, differing, label, load
from normexp.sweeps.environment import changed_since, environment, unknown
from normexp.sweeps.plan import POLICIES, holds
from normexp.sweeps.sweep import study_directory
from normexp.trust.diff import compared, recorded, understood

FEW = 3
"""Runs that are explained one by one; the first of many; the nearest of a store."""

MADE_BY = ("normexp", "commit", "code", "torch", "cpu")
"""Entries of the environment that are shown."""

REASONS = {
    "cached": "stored and whole: nothing to do",
    "changed": "stored, by other code or elsewhere",
    "sparse": "stored, to be observed again: its tables lack what is asked",
    "damaged": "stored and damaged, to be made again",
    "observe": "not stored, to be observed on a stored trajectory",
    "train": "not stored, to be trained",
}
"""A run as a sweep finds it, by name."""

Report = dict[str, Any]


def why(
    arguments: Sequence[str],
    *,
    store: str | Path | None = None,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
) -> Report:
    """Return why a sweep would keep a run, or where it differs from a described one.

    Args:
        arguments: a stored run, by id, name or directory; or overrides, which describe runs as for
            `plan`; or both.
        store: where runs are looked for; `runs`, or what the overrides say.
        config_dir: the user's own configs, for the overrides.
        filed_as: the name that runs of overrides are kept under.

    Raises:
        NotFoundError: there is no such run.
        UsageError: several runs, or overrides that make no sense.
    """
    runs = [text for text in arguments if not _is_override(text)]
    overrides = [text for text in arguments if _is_override(text)]
    if len(runs) > 1:
        raise UsageError(
            f"why explains one run, not {len(runs)}",
            f"type normexp diff {shlex.join(runs[:2])} to see where two runs differ",
        )
    if not arguments:
        raise UsageError(
            "a run or overrides are needed",
            "type for example normexp why RUN, or normexp why norm=batch seed=3",
        )
    places = [find_run(Path(store or "runs"), text) for text in runs]
    if not overrides:
        return standing(places[0])
    study = load(overrides, config_dir=config_dir, filed_as=filed_as)
    if places:
        return _against(places[0], study)
    directory = study_directory(study)
    return _why_study(study, StudyDirectory(Path(store) / study.name) if store else directory)


def standing(directory: Path) -> Report:
    """The state of a stored run, and what a sweep would do with it.

    Args:
        directory: of the run, whatever state its manifest is in.
    """
    place, now = directory.absolute(), environment()
    report: Report = {
        "kind": "run",
        "run_id": place.name.rpartition("-")[2],
        "label": place.name.rpartition("-")[0],
        "study": place.parent.name,
        "directory": str(directory),
        "reason": "damaged",
        "noticed": True,
        "trajectory": {"id": None, "state": "unknown"},
        "made": {},
        "changed": {},
        "unknown": [],
        "log": None,
        "on_code_change": dict.fromkeys(POLICIES, "makes it again"),
    }
    try:
        run = recorded(directory)
    except VerificationError as error:
        return report | {"damaged": {MANIFEST: error.message}}
    manifest = run.manifest
    damaged, _ = check_files(directory, manifest["files"])
    if (directory / DAMAGE).exists():
        damaged.setdefault(DAMAGE, "left by normexp verify")
    was, change = manifest["environment"], changed_since(manifest, now)
    state, noticed = _state_of(run.trajectory), intact(directory) is None
    return report | {
        "run_id": run.id,
        "label": run.label,
        "study": manifest["study"],
        "reason": "damaged" if damaged else "changed" if change else "cached",
        "damaged": damaged,
        "noticed": noticed,
        "trajectory": {"id": run.trajectory_id, "state": state},
        "made": {"created": manifest["created"], **{name: was.get(name) for name in MADE_BY}},
        "changed": {name: list(pair) for name, pair in change.items()},
        "unknown": list(unknown(was, now)),
        "log": {"every": manifest["log_every"]},
        "on_code_change": _policies(state, lost=noticed, changed=bool(change)),
    }


def _is_override(text: str) -> bool:
    return ("=" in text or text.startswith("~")) and not Path(text, MANIFEST).is_file()


def _against(directory: Path, study: Study) -> Report:
    """A stored run beside the described one, or the nearest of several."""
    left = understood(recorded(directory))
    right = min(study.runs, key=lambda run: _distance(left.flat, run.flat))
    return compared(left.flat, right.flat) | {
        "kind": "comparison",
        "left": {"run_id": left.id, "label": left.label},
        "right": {"run_id": right.id, "label": label(right, differing(study.runs))},
        "described": len(study.runs),
    }


def _distance(left: Mapping[str, Scalar], right: Mapping[str, Scalar]) -> int:
    """The number of fields that both have and in which they differ."""
    common = [path for path in between(left, right) if path in left and path in right]
    return len(common) + (left["seed"] != right["seed"])


def _why_study(study: Study, directory: StudyDirectory) -> Report:
    """The described runs by reason; a few of them one by one."""
    there, names = directory.places(), differing(study.runs)
    trajectories = {run.trajectory_id for run in study.runs}
    trained = {name for name, _ in directory.intact_trajectories(trajectories)}
    reasons: dict[str, list[Run]] = {reason: [] for reason in REASONS}
    for run in study.runs:
        reason = _reason(run, there.get(run.id), is_trained=run.trajectory_id in trained)
        reasons[reason].append(run)
    return {
        "kind": "study",
        "study": study.name,
        "directory": str(directory.path),
        "runs": len(study.runs),
        "reasons": {
            reason: {
                "runs": len(runs),
                "first": [{"run_id": run.id, "label": label(run, names)} for run in runs[:FEW]],
            }
            for reason, runs in reasons.items()
        },
        "details": [
            standing(there[run.id]) | {"reason": reason}
            if run.id in there
            else _missing(run, label(run, names), reason, directory)
            for reason, runs in reasons.items()
            for run in runs
            if len(study.runs) <= FEW
        ],
        "notes": list(study.notes),
    }


def _reason(run: Run, path: Path | None, *, is_trained: bool) -> str:
    """The state of a described run: a name in `REASONS`."""
    if path is None:
        return "observe" if is_trained else "train"
    manifest = intact(path)
    if manifest is None:
        return "damaged"
    if not holds(manifest, run.config.log):
        return "sparse"
    return "changed" if changed_since(manifest, environment()) else "cached"


def _missing(run: Run, name: str, reason: str, directory: StudyDirectory) -> Report:
    """A described run that is not stored, and the stored ones most like it.

    Those with the fewest differing fields are named, of the same study before others.
    """
    known = []
    for study in studies(directory.path.parent):
        for path in study.runs().values():
            try:
                flat = recorded(path).flat
                far = _distance(run.flat, flat), study.path.name != directory.path.name, str(path)
            except (NormexpError, KeyError, TypeError, AttributeError):
                continue
            known.append((far, path))
    nearest = [recorded(path) for _, path in heapq.nsmallest(FEW, known)]
    state = _state_of(directory.trajectory(run.trajectory_id))
    return {
        "kind": "described",
        "run_id": run.id,
        "label": name,
        "reason": reason,
        "trajectory": {"id": run.trajectory_id, "state": state},
        "nearest": [
            {
                "run_id": near.id,
                "label": near.label,
                "study": near.directory.parent.name,
                "differences": compared(run.flat, near.flat)["differences"],
            }
            for near in nearest
        ],
    }


def _state_of(trajectory: Path) -> str:
    if not (trajectory / MANIFEST).is_file():
        return "missing"
    return "whole" if intact(trajectory) is not None else "damaged"


def _policies(trajectory: str, *, lost: bool, changed: bool) -> dict[str, str]:
    """The action of a sweep, by `--on-code-change`."""
    if lost:
        again = "observes it again" if trajectory == "whole" else "trains it again"
        return dict.fromkeys(POLICIES, again)
    if trajectory == "damaged":
        return dict.fromkeys(POLICIES, "keeps it, and trains its damaged trajectory again")
    if not changed:
        return dict.fromkeys(POLICIES, "keeps it")
    actions = ("keeps it and warns", "trains it again", "keeps it")
    return dict(zip(POLICIES, actions, strict=True))
