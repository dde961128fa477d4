"""Tidying up after processes that were killed."""

from contextlib import suppress

from normexp.store.claims import Claims
from normexp.store.files import MANIFEST, intact, remove_abandoned
from normexp.store.layout import StudyDirectory
from normexp.store.sweep import SweepDirectory


def tidy(study: StudyDirectory, sweep: str) -> None:
    """Delete what the dead have left of no use; `sweep` names the sweep that does it.

    Half-written directories and files of this machine, signs of life and claims of sweeps that are
    no more, and checkpoints of trainings that are stored by now. Other checkpoints are of use.
    """
    for directory in (study.path, study.trajectories, study.sweeps):
        remove_abandoned(directory)
    for path in study.sweep_directories():
        if path.is_symlink():
            continue
        SweepDirectory(path).bury(SweepDirectory(study.sweeps / sweep).sign.last_beat())
    Claims(study, sweep).release_dead()
    for checkpoint in study.trajectories.glob(".*.checkpoint"):
        trajectory = study.trajectory(checkpoint.name.split(".")[1])
        with suppress(OSError):  # no trajectory, or no checkpoint any more
            later = (trajectory / MANIFEST).stat().st_mtime > checkpoint.stat().st_mtime
            if later and intact(trajectory) is not None:
                checkpoint.unlink()
