"""Training of multi-layer perceptrons on a CPU, one network after the other, compiled.

`normexp.nets.passes` has the arithmetic, this file what it is told.
"""

from collections.abc import Sequence

import numpy as np

from normexp.config.norm import BatchRenorm, EmaTrain
from normexp.config.schema import RunConfig, batch_sizes, number_of_parts, total_steps
from normexp.data.draw import Examples, orders
from normexp.engine.estimators import Momenta
from normexp.engine.step import Report, State, Steps, is_labels, scale
from normexp.nets import kernels
from normexp.nets.compiled import recipe
from normexp.nets.kernels import Array
from normexp.nets.models import structure, tracked
from normexp.nets.norms import limits
from normexp.nets.passes import train

MOST_PRODUCTS = 2**27
"""Multiplications forward between two reports: some tenths of a second."""


class Compiled:
    """A stack that compiled functions train.

    Args:
        configs: one a network.
        examples: of the networks.
        state: that steps change.
    """

    def __init__(self, configs: Sequence[RunConfig], examples: Examples, state: State) -> None:
        self._configs, self._examples, self._state = configs, examples, state
        self._recipe = recipe(configs[0])
        self._momenta = Momenta([config.norm for config in configs], updates=1)

    def epoch(self, epoch: int, report: Report) -> Steps:
        """Take the steps of an epoch, each network in its own order."""
        config, state = self._configs[0], self._state
        sizes = np.array(batch_sizes(config))
        parts = np.array([number_of_parts(config, size) for size in sizes.tolist()])
        ends = [np.concatenate([[0], each.cumsum()]) for each in (sizes, parts)]
        work = structure(config).multiplications * int(sizes.max())
        together = max(1, MOST_PRODUCTS // work)
        first, models = epoch * len(sizes), len(self._configs)
        courses = self._courses(range(first, first + len(sizes)))
        like, channels = state.parameters, tracked(config)[1]
        losses = like.new_empty(models, len(sizes))
        left = like.new_empty(2, models, int(parts.sum()), channels)
        for model, order in enumerate(orders(self._configs, epoch)):
            for start in range(0, len(sizes), together):
                stop = min(start + together, len(sizes))
                examples, updates = (slice(each[start], each[stop]) for each in ends)
                self._take(
                    model,
                    first + start,
                    order.numpy()[examples],
                    sizes[start:stop],
                    courses[model, start:stop],
                    losses[model, start:stop].numpy(),
                    left[:, model, updates].numpy(),
                )
                report(stop - start)
        state.steps += len(sizes)
        if state.running is not None:
            state.running.updates = state.steps
        return Steps(losses, *left)

    def _courses(self, steps: range) -> Array:
        """The courses of all networks, [models, steps, columns]."""
        config, norm = self._configs[0], self._configs[0].norm
        found = np.ones((len(self._configs), len(steps), kernels.D_MAX + 1))
        for place, step in enumerate(steps):
            found[:, place, kernels.RATE] = scale(config.train.schedule, step, total_steps(config))
            if self._state.running is not None:
                found[:, place, kernels.MOMENTUM] = self._momenta.weight(step)[:, 0].numpy()
            if isinstance(norm, BatchRenorm):
                found[:, place, kernels.R_MAX :] = limits(norm, step)
        if isinstance(norm, EmaTrain):
            found[..., kernels.WEIGHT] = found[..., kernels.MOMENTUM]
        for model, each in enumerate(self._configs):
            found[model, :, kernels.RATE] *= each.optim.lr
            found[model, :, kernels.DECAY] = each.optim.weight_decay
        return found

    def _take(  # noqa: PLR0913, PLR0917
        self,
        model: int,
        done: int,
        order: Array,
        sizes: Array,
        course: Array,
        losses: Array,
        left: Array,
    ) -> None:
        """Take some steps of one network, after so many."""
        state, data = self._state, self._examples.sets[model]
        none, moments = np.empty((0, 0), losses.dtype), [*state.moments.values()]
        running = np.empty(0), np.empty(0)
        if state.running is not None:
            running = state.running.mean[model].numpy(), state.running.var[model].numpy()
        labels = is_labels(data.y)
        shifts = None if data.shift is None else data.shift[:, done : done + len(sizes)]
        train(
            self._recipe,
            state.parameters[model].numpy(),
            moments[0][model].numpy(),
            moments[-1][model].numpy(),  # SGD has one
            running,
            np.ascontiguousarray(data.x.numpy()),
            none if labels else np.ascontiguousarray(data.y.numpy()),
            data.y.numpy() if labels else np.empty(0, np.int64),
            none if shifts is None else np.ascontiguousarray(shifts.numpy()),
            order,
            sizes,
            course,
            done,
            losses,
            tuple(left),
        )
