"""How much of the noise of a training's batches is left in running statistics, by theory.

For batches of n_j examples with weights w_j, drawn from N without replacement,

    Var = c·(Σ w_j²·σ_j²/n_j − Σ_epochs (Σ w_j·σ_j)²/N),

the identity of `normexp.theory.noise` with the very weights of an estimator, and with σ_j of the
time of each batch. c is 1 for independent examples. With one order of batches for ever, the weights
and σ of a batch's appearances are added up first. The variance's noise has σ_j⁴ for σ_j².

Between two evaluation points the population is known to start and to end somewhere; beside the
straight line it takes random steps, of variance w·σ² an update, which come back to the line: a
Brownian bridge, whose covariance i and j updates after the first point is w·(min(i, j) − i·j/K).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from normexp.config.schema import RunConfig, batch_sizes, part_sizes, train_size
from normexp.engine.budget import weights
from normexp.engine.estimators import Momenta
from normexp.insight.budget import Array
from normexp.nets.network import Network

if TYPE_CHECKING:
    from normexp.record import Record


class Left(NamedTuple):
    """What is left of noise with c = 1 and steps with w = 1, each [runs, channels]."""

    mean: Array  # variance of the running mean's noise
    var: Array  # of the running variance's
    mean_steps: Array  # of what the running mean lags behind random steps
    var_steps: Array  # of what the running variance does
    bias: Array  # of the running variance, where batch variances are biased


class Remaining:
    """What is left at any evaluation point.

    Args:
        record: of the trajectory, one model.
        configs: one a run; of norms that have a budget.
    """

    def __init__(self, record: "Record", configs: Sequence[RunConfig]) -> None:
        config, network = configs[0], Network(configs[0])
        sizes, updates = batch_sizes(config), record.batch_mean.shape[1]
        parts = [part_sizes(config, size) for size in sizes]
        self._norms = [each.norm for each in configs]
        momenta = Momenta(self._norms, updates)
        self._newest = torch.cat([momenta.weight(update) for update in range(updates)], 1)
        self._shares = 1 / np.array([each for part in parts for each in part], dtype=float)
        self._missing = 1 / torch.cat([network.counts(size) for size in sizes]).double().numpy()
        self._whole, self._repeats = train_size(config), not config.train.shuffle
        truth = record.population_var[0].double().numpy()
        gone = np.repeat(np.arange(len(sizes)) / len(sizes), [len(part) for part in parts])
        moved = (truth[1:] - truth[:-1])[:, None]
        self._var = truth[:-1, None] + gone[:, None] * moved  # [epochs, updates of one, channels]
        biased = [getattr(norm, "running_variance", "") == "biased" for norm in self._norms]
        self._biased = np.array(biased)[:, None]

    def at(self, point: int) -> Left:
        """At an evaluation point, counted from 0."""
        if not point:
            return Left(*(np.zeros((len(self._norms), self._var.shape[2])) for _ in range(5)))
        batches = weights(self._norms, self._newest[:, : point * len(self._shares)]).batches
        by_epoch = batches.numpy().reshape(len(self._norms), point, -1)
        var = self._var[:point]
        bias = -np.einsum("rek,ekc,kc->rc", by_epoch, var, self._missing, optimize=True)
        return Left(
            self._variance(by_epoch, np.sqrt(var)),
            self._variance(by_epoch, var),
            self._steps(by_epoch, var),
            self._steps(by_epoch, np.square(var)),
            np.where(self._biased, bias, 0.0),
        )

    def _variance(self, by_epoch: Array, unit: Array) -> Array:
        """The identity, for noise of one example that is as large as `unit`."""
        epochs = np.einsum("rek,ekc->rec", by_epoch, unit, optimize=True)
        if self._repeats:
            batches = np.einsum("rek,ekc->rkc", by_epoch, unit, optimize=True)
            own = np.einsum("rkc,k->rc", np.square(batches), self._shares, optimize=True)
            shared = np.square(epochs.sum(1))
        else:
            squares = np.square(by_epoch) * self._shares
            own = np.einsum("rek,ekc->rc", squares, np.square(unit), optimize=True)
            shared = np.square(epochs).sum(1)
        left: Array = np.maximum(0.0, own - shared / self._whole)
        return left

    def _steps(self, by_epoch: Array, unit: Array) -> Array:
        """The bridge's, for steps that are as large as the root of `unit`."""
        later = np.cumsum(by_epoch[..., ::-1], axis=2)[..., ::-1]
        end = by_epoch @ np.arange(by_epoch.shape[2])
        bridge = np.square(later[..., 1:]).sum(2) - np.square(end) / by_epoch.shape[2]
        left: Array = np.maximum(0.0, bridge) @ unit.mean(1)
        return left
