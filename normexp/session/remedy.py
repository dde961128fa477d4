"""What to type so that what is damaged is made anew."""

import shlex
from pathlib import Path

from normexp.session.selection import Selection
from normexp.store.check import Checked
from normexp.store.check_run import is_own_command

DEFAULT_STORE = "runs"


class Remedies:
    """Knows which command gives which run, from what the runs themselves say.

    Args:
        selection: what is verified.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._of_runs: dict[Path, str] = {}
        self._of_trajectories: dict[tuple[Path, str], str] = {}

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
        """The command of a run, or one of its study."""
        return self._of_runs.get(run) or self._study(run.parent)

    def of_trajectory(self, trajectory: Path) -> str:
        """The command of one of a trajectory's runs, or one of its study."""
        study = trajectory.parents[1]
        return self._of_trajectories.get((study, trajectory.name)) or self._study(study)

    def _study(self, study: Path) -> str:
        if not self._selection.at_home:
            return "copy it again from where it came"
        return self._complete(shlex.join(["normexp", "sweep", f"study={study.name}"]), study)

    def _complete(self, command: str, study: Path) -> str:
        """The command with the store that the study is in."""
        place = study.parent
        if not self._selection.at_home or place.resolve() == Path(DEFAULT_STORE).resolve():
            return command
        return f"{command} {shlex.quote(f'store.dir={place}')}"
