"""Observation: what each run's estimator makes of a trajectory, and what that does to its loss."""

from collections.abc import Iterator, Sequence

import torch

from normexp.config.schema import RunConfig, steps_per_epoch
from normexp.engine.watch import Watch
from normexp.nets.structure import lanes, padded
from normexp.record import Observation, Record

MOST_BYTES = 2**28
"""Memory for the running statistics of the runs observed at a time."""

DOUBLE = 8
"""Bytes of a float64."""

MOST_RUNS = 256
"""Runs observed at a time: enough to pay for the calls, few enough for the cache."""


def observe(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> Iterator[Observation]:
    """Observe runs on their trajectories, in order.

    Args:
        record: of the trajectories.
        configs: one a run, all of one structure and one way of logging.
        model_of: which model of the record each run is observed from.
    """
    size = _chunk(record, configs)
    for start in range(0, len(configs), size):
        chunk = slice(start, start + size)
        yield from _observe_chunk(record, configs[chunk], model_of[chunk])


def _chunk(record: Record, configs: Sequence[RunConfig]) -> int:
    """How many runs are observed at a time: as many as pay, and as fit into memory."""
    config = configs[0]
    few = lanes(config)
    steps, channels = record.train_loss.shape[1], record.batch_mean.shape[2]
    rows = steps // config.log.every + config.train.epochs + 1
    window = max(getattr(each.norm, "window", 0) for each in configs)
    held = rows * record.batch_mean.element_size() + min(window, steps) * DOUBLE
    bytes_per_run = 2 * channels * held
    return max(few, min(MOST_RUNS, MOST_BYTES // max(1, bytes_per_run)) // few * few)


def _observe_chunk(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> list[Observation]:
    runs = len(configs)
    filler = padded(configs[0], runs) - runs
    configs = [*configs, *[configs[-1]] * filler]
    index = torch.tensor([*model_of, *[model_of[-1]] * filler])
    watch = Watch(record, configs, index)
    every, per_epoch = configs[0].log.every, steps_per_epoch(configs[0])
    rows, means, variances = [], [], []
    for step in range(record.train_loss.shape[1] + 1):
        if step:
            watch.estimates.take(step)
        point, rest = divmod(step, per_epoch)
        if not rest:
            watch.evaluate(point)
        if not step % every or not rest:
            rows.append(step)
            mean, var = watch.estimates.now()
            means.append(mean)
            variances.append(var)
    logged, scores = torch.tensor(rows), watch.scores()
    running_mean, running_var = (torch.stack(each, 1) for each in (means, variances))
    return [
        Observation(
            logged,
            running_mean[run],
            running_var[run],
            {name: values[run] for name, values in scores.items()},
        )
        for run in range(runs)
    ]
