"""Ray: the plain loop as tasks, one a network, on as many workers as there are cores."""

import logging
import os

from peers.work import Clock, Final, Request, Run, Work, answer


def train_all(request: Request, clock: Clock) -> list[Final]:
    """A cluster of this process's own, started and ended."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    environment = {"PYTHONPATH": os.environ["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
    ray.init(
        num_cpus=request.cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": environment},
    )
    ray.get([ray.remote(num_cpus=1)(_import).remote() for _ in range(request.cores)])
    clock("start")
    task, place = ray.remote(num_cpus=1)(_train_one), str(request.place.absolute())
    finals = ray.get([task.remote(request.work, run, place) for run in request.runs])
    clock("train")
    ray.shutdown()
    clock("end")
    return [Final(*each) for each in finals]


def _import() -> None:
    """What every worker needs before its first run."""
    from peers.loop import warm_up

    warm_up()


def _train_one(work: Work, run: Run, place: str) -> Final:
    from pathlib import Path

    import torch

    from peers.loop import train_one

    torch.set_num_threads(1)
    return train_one(work, run, Path(place))


if __name__ == "__main__":
    answer(train_all)
