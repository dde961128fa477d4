"""What a stored run is to a sweep: kept or made again, by what is there and what has changed."""

from pathlib import Path
from typing import Any

from normexp.errors import VerificationError
from normexp.store.files import DAMAGE, MANIFEST, intact
from normexp.sweeps.environment import changed_since, environment, unknown
from normexp.sweeps.inventory import POLICIES
from normexp.trust.recorded import Recorded, damage, read

MADE_BY = ("normexp", "commit", "code", "torch", "cpu")
"""What is said of where a run was made."""

Report = dict[str, Any]


def standing(directory: Path) -> Report:
    """A stored run, whatever state its manifest is in."""
    try:
        return _whole(read(directory))
    except VerificationError as error:
        name, _, identity = directory.absolute().name.rpartition("-")
        return {
            "kind": "run",
            "run_id": identity,
            "label": name,
            "study": directory.absolute().parent.name,
            "directory": str(directory),
            "reason": "damaged",
            "damaged": {MANIFEST: error.message},
            "noticed": True,
            "trajectory": {"id": None, "state": "unknown"},
            "made": {},
            "changed": {},
            "unknown": [],
            "log": None,
            "on_code_change": dict.fromkeys(POLICIES, "makes it again"),
        }


def _whole(recorded: Recorded) -> Report:
    """A stored run: whole or not, made by what, and what a sweep would do with it."""
    manifest, directory = recorded.manifest, recorded.directory
    was, now = manifest["environment"], environment()
    damaged = damage(directory, manifest)
    if (directory / DAMAGE).exists():
        damaged.setdefault(DAMAGE, "left by normexp verify")
    change = changed_since(manifest, now)
    trajectory = state_of(recorded.trajectory)
    noticed = intact(directory) is None
    return {
        "kind": "run",
        "run_id": recorded.id,
        "label": recorded.name,
        "study": manifest["study"],
        "directory": str(directory),
        "reason": "damaged" if damaged else "changed" if change else "cached",
        "damaged": damaged,
        "noticed": noticed,
        "trajectory": {"id": manifest["trajectory_id"], "state": trajectory},
        "made": {"created": manifest["created"], **{name: was.get(name) for name in MADE_BY}},
        "changed": {name: list(pair) for name, pair in change.items()},
        "unknown": list(unknown(was, now)),
        "log": {"every": manifest["log_every"]},
        "on_code_change": _policies(trajectory, lost=noticed, changed=bool(change)),
    }


def state_of(trajectory: Path) -> str:
    """Of a trajectory's directory, as a sweep sees it."""
    if not (trajectory / MANIFEST).is_file():
        return "missing"
    return "whole" if intact(trajectory) is not None else "damaged"


def _policies(trajectory: str, *, lost: bool, changed: bool) -> dict[str, str]:
    """What a sweep would do by each `--on-code-change`."""
    if lost:
        again = "observes it again" if trajectory == "whole" else "trains it again"
        return dict.fromkeys(POLICIES, again)
    if trajectory == "damaged":
        return dict.fromkeys(POLICIES, "keeps it, and trains its damaged trajectory again")
    if not changed:
        return dict.fromkeys(POLICIES, "keeps it")
    actions = ("keeps it and warns", "trains it again", "keeps it")
    return dict(zip(POLICIES, actions, strict=True))
