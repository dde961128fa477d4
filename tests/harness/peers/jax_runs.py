"""JAX's runs from their draws to their files; the training itself is in `jax_scan.py`."""

import math
import os
from typing import Any

from peers.jax_scan import training
from peers.work import Clock, Final, Request, Run, answer

TOGETHER = 256
"""Networks of a call at most; one compilation serves all calls."""


def train_all(request: Request, clock: Clock) -> list[Final]:
    """So many networks at a time, in one compiled function."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    clock("start")
    from peers import draws  # and with it torch, whose draws these are

    work, sites = request.work, draws.sites(request.work)
    draws.prepare(work)
    axis = 0 if "features-first" in request.options else 1
    clock("uncounted")
    train, compiled, finals = jax.jit(jax.vmap(training(work, sites, axis))), None, []
    size = math.ceil(len(request.runs) / math.ceil(len(request.runs) / TOGETHER))
    for first in range(0, len(request.runs), size):
        runs = request.runs[first : first + size]
        padded = runs + runs[-1:] * (size - len(runs))
        arguments = _arguments(request, padded)
        clock("draw")
        if compiled is None:
            compiled = train.lower(*arguments).compile()
            clock("compile")
        answers = jax.device_get(compiled(*arguments))
        clock("train")
        finals += _finals(request, runs, answers)
        clock("log")
    return finals


def _arguments(request: Request, runs: list[Run]) -> Any:  # noqa: ANN401
    """Weights, data and momenta, networks first."""
    import numpy as np

    from peers import draws

    work = request.work
    weights = {run.seed: draws.weights(work, run.seed) for run in runs}
    data = {run.seed: draws.examples(work, run.seed) for run in runs}
    return (
        {n: np.stack([weights[r.seed][n].numpy() for r in runs]) for n in weights[runs[0].seed]},
        [np.stack([data[r.seed][k].numpy() for r in runs]) for k in range(5)],
        np.array([run.momentum for run in runs], np.float32),
    )


def _finals(request: Request, runs: list[Run], answers: Any) -> list[Final]:  # noqa: ANN401
    """What the runs came to; their tables written."""
    import numpy as np

    from peers import draws, tables

    work, (losses, points, running, rows) = request.work, answers
    if work.logs:
        logged = work.logged
        for k, run in enumerate(runs):
            mean, var = (
                np.concatenate([start[k][None], part[k].reshape(work.steps, -1)])[logged]
                for start, part in zip(running, rows, strict=True)
            )
            tables.write(request.place, work, run, draws.sites(work), points[k], mean, var)
    trained = (losses * work.sizes).sum(1) / sum(work.sizes)
    return [Final(*run, float(trained[k]), float(points[k, -1])) for k, run in enumerate(runs)]


if __name__ == "__main__":
    answer(train_all)
