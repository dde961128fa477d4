"""Claims: who works on a trajectory and its runs, so that two sweeps never make one twice.

A claim is a file that only one process can create; it names the sweep that holds it. A sweep that
has ended or died holds nothing: its claim is left where it is and the next generation is created
beside it, which again only one process can, so that none is ever taken away from a living owner.
What is claimed is looked at again before work begins: another may have finished it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from normexp.store.layout import StudyDirectory
from normexp.store.sweep import HEARTBEAT_SECONDS, SweepDirectory

SUFFIX = "claim"


@dataclass(frozen=True)
class Claims:
    """Of one sweep, on the trajectories of its study.

    Args:
        study: whose trajectories these are.
        sweep: name of the sweep's directory.
    """

    study: StudyDirectory
    sweep: str

    def take(self, trajectory: str) -> bool:
        """Claim a trajectory; False if a living sweep holds it, this one included."""
        self.study.trajectories.mkdir(parents=True, exist_ok=True)
        for generation in count(1):
            claim = self._claim(trajectory, generation)
            try:
                with claim.open("x") as file:
                    file.write(self.sweep)
            except FileExistsError:
                try:
                    if self._is_held(claim):
                        return False
                except FileNotFoundError:  # released a moment ago: begin again from the first
                    return self.take(trajectory)
            else:
                return True
        raise AssertionError  # count() has no end

    def is_held(self, trajectory: str) -> bool:
        """Whether a living sweep works on a trajectory."""
        try:
            return any(self._is_held(claim) for claim in self._claims(trajectory))
        except FileNotFoundError:  # released a moment ago
            return False

    def release(self, trajectory: str) -> None:
        """Give a claim back, and those of the dead below it; the newest goes first."""
        for claim in sorted(self._claims(trajectory), reverse=True):
            claim.unlink(missing_ok=True)

    def release_dead(self) -> None:
        """Remove the claims of sweeps that have ended or died."""
        names = {path.name.split(".")[1] for path in self.study.trajectories.glob(f".*.{SUFFIX}.*")}
        for name in names:
            if self.take(name):
                self.release(name)

    def _claim(self, trajectory: str, generation: int) -> Path:
        return self.study.trajectories / f".{trajectory}.{SUFFIX}.{generation:04}"

    def _claims(self, trajectory: str) -> Iterator[Path]:
        """All there are; they follow one another without a gap."""
        for generation in count(1):
            claim = self._claim(trajectory, generation)
            if not claim.exists():
                return
            yield claim

    def _is_held(self, claim: Path) -> bool:
        """Whether its sweep lives; one without a name is just being written, unless it is old."""
        if sweep := claim.read_text():
            now = SweepDirectory(self.study.sweeps / self.sweep).last_beat()
            return SweepDirectory(self.study.sweeps / sweep).is_alive(now)
        return time.time() - claim.stat().st_mtime < HEARTBEAT_SECONDS
