"""Training of networks on a CPU, one network after the other, compiled."""

from collections.abc import Sequence

import numpy as np

from normexp.config.norm import BatchRenorm, EmaTrain, limits
from normexp.config.schema import RunConfig, batch_sizes, number_of_parts, total_steps
from normexp.data.draw import Examples, orders
from normexp.engine.estimators import Momenta
from normexp.engine.step import Report, State, Steps, is_labels, scale
from normexp.nets import kernels
from normexp.nets.compiled import Stages, pixels_first
from normexp.nets.kernels import Array
from normexp.nets.models import structure
from normexp.nets.network import Network
from normexp.nets.passes import train

MOST_PRODUCTS = 2**27
"""Multiplications forward between two reports: some tenths of a second."""


class Compiled:
    """A stack that compiled functions train.

    Args:
        network: of all.
        configs: one a network.
        examples: of the networks.
        state: that steps change.
    """

    def __init__(
        self, network: Network, configs: Sequence[RunConfig], examples: Examples, state: State
    ) -> None:
        self._configs, self._examples, self._state = configs, examples, state
        self._momenta = Momenta([config.norm for config in configs], updates=1)
        self._channels = sum(network.tracked.values())
        self._told = Stages(network, training=True).told()

    def epoch(self, epoch: int, report: Report) -> Steps:
        """Take the steps of an epoch, each network in its own order."""
        config, state, models = self._configs[0], self._state, len(self._configs)
        sizes = np.array(batch_sizes(config))
        parts = np.array([number_of_parts(config, size) for size in sizes.tolist()])
        ends = [np.concatenate([[0], each.cumsum()]) for each in (sizes, parts)]
        together = max(1, MOST_PRODUCTS // (structure(config).multiplications * int(sizes.max())))
        first = epoch * len(sizes)
        courses = self._courses(range(first, first + len(sizes)))
        losses = state.parameters.new_empty(models, len(sizes))
        left = state.parameters.new_empty(2, models, int(parts.sum()), self._channels)
        for model, order in enumerate(orders(self._configs, epoch)):
            own = [each[model].numpy() for each in (state.parameters, *state.moments.values())]
            running = np.empty(0), np.empty(0)
            if state.running is not None:
                running = state.running.mean[model].numpy(), state.running.var[model].numpy()
            for start in range(0, len(sizes), together):
                stop = min(start + together, len(sizes))
                examples, updates = (slice(each[start], each[stop]) for each in ends)
                train(
                    *self._told,
                    *(own[0], own[1], own[-1]),  # SGD has one moment
                    running,
                    self._data(model, slice(first + start, first + stop)),
                    order.numpy()[examples],
                    sizes[start:stop],
                    courses[model, start:stop],
                    first + start,
                    losses[model, start:stop].numpy(),
                    tuple(left[:, model, updates].numpy()),
                )
                report(stop - start)
        state.steps += len(sizes)
        if state.running is not None:
            state.running.updates = state.steps
        return Steps(losses, *left)

    def _data(self, model: int, steps: slice) -> tuple[Array, ...]:
        """A network's x, targets, labels, and shifts of some steps, as `train` wants them."""
        data, outputs = self._examples.sets[model], self._configs[0].data.outputs
        targets, labels, shifts = data.y, data.y.new_empty(0).long(), data.x.new_empty(0, 0)
        (x,) = pixels_first(data.x[None])
        if is_labels(data.y):
            targets, labels = data.x.new_empty(outputs, 0), data.y
        if data.shift is not None:
            shifts = data.shift[:, steps]
        return tuple(each.contiguous().numpy() for each in (x, targets, labels, shifts))

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
            found[..., kernels.OWN] = found[..., kernels.MOMENTUM]
        found[..., kernels.RATE] *= [[each.optim.lr] for each in self._configs]
        found[..., kernels.DECAY] = [[each.optim.weight_decay] for each in self._configs]
        return found
