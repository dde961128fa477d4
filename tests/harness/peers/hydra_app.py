"""Hydra: the plain loop as an application, run many times by `--multirun`.

With the basic launcher one after the other in a process, with joblib's in a process a core.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

from peers.work import Clock, Final, Request, Run, answer, work_named


@dataclass
class Config:
    """One run."""

    work: str = "b"
    quick: bool = False
    momentum: float = 0.1
    seed: int = 0


ConfigStore.instance().store("run", Config)


@hydra.main(version_base="1.3", config_path=None, config_name="run")
def run(config: Config) -> None:
    """Train one network, and leave what came of it in the run's directory."""
    import torch

    from peers.loop import train_one, warm_up

    torch.set_num_threads(1)
    warm_up()
    place = Path(HydraConfig.get().runtime.output_dir)
    start = time.time()
    work = work_named(config.work, quick=config.quick)
    final = train_one(work, Run(config.momentum, config.seed), place)
    (place / "final.json").write_text(json.dumps([start, time.time(), *final]))


def train_all(request: Request, clock: Clock) -> list[Final]:
    """One multirun for all; the launcher is the peer's option."""
    (launcher,) = request.options
    momenta = dict.fromkeys(f"{run.momentum:g}" for run in request.runs)
    seeds = dict.fromkeys(str(run.seed) for run in request.runs)
    command = [
        sys.executable, __file__, "--multirun", f"hydra/launcher={launcher}",
        f"work={request.work.name}", f"quick={'--quick' in sys.argv}",
        f"momentum={','.join(momenta)}", f"seed={','.join(seeds)}",
        f"hydra.sweep.dir={request.place.absolute()}",
    ]  # fmt: skip
    if launcher == "joblib":
        command += [f"hydra.launcher.n_jobs={request.cores}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    clock("whole")
    found = [json.loads(path.read_text()) for path in request.place.glob("*/final.json")]
    # From the first run's start to the last one's end; the rest is start and end.
    clock.seconds["train"] = max(each[1] for each in found) - min(each[0] for each in found)
    clock.seconds["start"] = clock.seconds.pop("whole") - clock.seconds["train"]
    return [Final(*each[2:]) for each in found]


if __name__ == "__main__":
    if "--multirun" in sys.argv:
        run()
    else:
        answer(train_all)
