"""What to type so that what is damaged is made anew."""

import shlex
from pathlib import Path

from normexp.store.check import Checked, is_own_command
from normexp.store.check_sweep import summary_ids
from normexp.store.layout import ID_LENGTH, StudyDirectory
from normexp.store.selection import Selection
from normexp.store.sweep import typed

DEFAULT_STORE = "runs"
NEWEST = "newest"
"""In the place of an id: the newest sweep of a study."""


class Remedies:
    """Knows which command gives which run, from what the runs themselves say.

    Args:
        selection: what is verified.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._of_runs: dict[Path, str] = {}
        self._of_trajectories: dict[tuple[Path, str], str] = {}
        self._of_sweeps: dict[Path, dict[str, tuple[str, ...]]] = {}

    def learn(self, run: Path, found: Checked) -> None:
        """Remember the command of a run, if its manifest can be believed."""
        wrong = [each for each in found.problems if each.what.startswith("manifest.json")]
        if found.manifest is None or wrong or not is_own_command(found.manifest["command"]):
            return
        command = self._complete(found.manifest["command"], run.parent)
        if found.problems:
            self._of_runs[run] = command
        trajectory = (run.parent, found.manifest["trajectory_id"])
        self._of_trajectories.setdefault(trajectory, command)

    def of_run(self, run: Path) -> str:
        """The command of a sweep that had it, which mends others too; its own; or its study's."""
        return self._best(run.parent, run.name[-ID_LENGTH:], self._of_runs.get(run))

    def of_trajectory(self, trajectory: Path) -> str:
        """The command of a sweep that had it, of one of its runs, or of its study."""
        study = trajectory.parents[1]
        known = self._of_trajectories.get((study, trajectory.name))
        return self._best(study, trajectory.name, known)

    def _best(self, study: Path, identity: str, own: str | None) -> str:
        """What is typed in the end; `own` is the command of the run itself, if it says one."""
        if not self._selection.at_home:
            return own or "copy it again from where it came"
        if study not in self._of_sweeps:
            self._of_sweeps[study] = _typed(StudyDirectory(study))
        words = self._of_sweeps[study].get(identity)
        if words is None and own is not None:
            return own
        if words is None:
            words = self._of_sweeps[study].get(NEWEST, (f"study={study.name}",))
        return self._complete(shlex.join(["normexp", "sweep", *words]), study)

    def of_sweep(self, sweep: Path) -> str:
        """What was typed for a sweep."""
        study, words = sweep.parents[1], typed(sweep)
        words = (f"study={study.name}",) if words is None else _without_store(words)
        return self._complete(shlex.join(["normexp", "sweep", *words]), study)

    def _complete(self, command: str, study: Path) -> str:
        """The command with the store that the study is in."""
        place = study.parent
        if not self._selection.at_home or place.resolve() == Path(DEFAULT_STORE).resolve():
            return command
        return f"{command} {shlex.quote(f'store.dir={place}')}"


def _typed(study: StudyDirectory) -> dict[str, tuple[str, ...]]:
    """The words of the newest sweep that had a run or trajectory, by its id."""
    found: dict[str, tuple[str, ...]] = {}
    for sweep in study.sweep_directories():
        if (words := typed(sweep)) is not None:
            ids = summary_ids(sweep, with_trajectories=True)
            found |= dict.fromkeys([NEWEST, *ids], _without_store(words))
    return found


def _without_store(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith("store.dir="))
