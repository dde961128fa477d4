"""Running statistics by plain simulation: data drawn, batches made, the recursion run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

Array = npt.NDArray[np.float64]

STATISTICS: dict[str, Callable[[Array], Array]] = {
    "mean": lambda x: x.mean(axis=1),
    "unbiased_variance": lambda x: x.var(axis=1, ddof=1),
    "biased_variance": lambda x: x.var(axis=1),
}

OF_THE_WHOLE = {"mean": "mean"}
"""The true statistic of a training set, where it is not the unbiased variance."""


between = st.floats(1e-4, 1.0)
"""Momenta."""


def recursion(momentum: float, values: Array, initial: float = 0.0) -> float:
    """The running statistic after these batch statistics."""
    running = initial
    for value in values:
        running = (1 - momentum) * running + momentum * float(value)
    return running


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A training's statistics, in as many replicas, each with data and order of its own.

    Args:
        initial_error: the initial value minus the truth at evaluation.
        drift: by which all statistics move in a step.
        walk: standard deviation of a random step beside it.
        draw: values of mean 0 and variance 1.
    """

    updates: int
    batch_size: int
    train_size: int | None = None
    order: Literal["independent", "shuffled", "fixed"] = "independent"
    drop_last: bool = False
    statistic: str = "mean"
    initial_error: float = 0.0
    drift: float = 0.0
    walk: float = 0.0
    replicas: int = 4000
    seed: int = 0
    draw: Literal["normal", "uniform"] = "normal"

    def errors(self, momenta: Sequence[float | None], *, debiased: bool = False) -> list[Array]:
        """Running statistic minus truth after the last step, a replica each; None: cumulative."""
        rng = np.random.default_rng(self.seed)
        data = self._drawn(rng, self.train_size or 1)
        steps = self.drift + self.walk * rng.normal(size=(self.updates + 1, self.replicas))
        moved = steps.cumsum(axis=0)
        truth = moved[-1].copy()
        if self.order != "independent":
            truth += STATISTICS[OF_THE_WHOLE.get(self.statistic, "unbiased_variance")](data)
        elif self.statistic != "mean":
            truth += 1
        initial = truth + self.initial_error
        running = [initial.copy() for _ in momenta]
        left = [1.0 for _ in momenta]
        for step, batch in zip(range(self.updates), self._batches(rng, data), strict=False):
            found = STATISTICS[self.statistic](batch) + moved[step]
            for i, momentum in enumerate(momenta):
                a = 1 / (step + 1) if momentum is None else momentum
                running[i] = (1 - a) * running[i] + a * found
                left[i] *= 1 - a
        if debiased:
            running = [(r - w * initial) / (1 - w) for r, w in zip(running, left, strict=True)]
        return [each - truth for each in running]

    def _batches(self, rng: np.random.Generator, data: Array) -> Iterator[Array]:
        """Batches for ever, as a data loader makes them."""
        while self.order == "independent":
            yield self._drawn(rng, self.batch_size)
        while True:
            epoch = rng.permuted(data, axis=1) if self.order == "shuffled" else data
            for start in range(0, data.shape[1], self.batch_size):
                batch = epoch[:, start : start + self.batch_size]
                if batch.shape[1] == self.batch_size or not self.drop_last:
                    yield batch

    def _drawn(self, rng: np.random.Generator, number: int) -> Array:
        if self.draw == "normal":
            return rng.normal(size=(self.replicas, number))
        return rng.uniform(-(3**0.5), 3**0.5, size=(self.replicas, number))


def expect_mean(values: Array, expected: float) -> None:
    """Assert that the expectation of the values is as predicted: within four standard errors."""
    error = values.std(ddof=1) / len(values) ** 0.5
    assert values.mean() == pytest.approx(expected, abs=4 * error, rel=0)


def expect_variance(values: Array, expected: float) -> None:
    """The same of their variance, whatever their distribution."""
    expect_mean((values - values.mean()) ** 2 * (len(values) / (len(values) - 1)), expected)


def expect_square(values: Array, expected: float) -> None:
    """The same of their mean square."""
    expect_mean(values**2, expected)


def settings(simulation: Simulation) -> dict[str, Any]:
    """What `theory.Setting` calls the same things."""
    names = ("updates", "batch_size", "train_size", "order", "drop_last", "statistic",
             "initial_error")  # fmt: skip
    return {name: getattr(simulation, name) for name in names} | {
        "drift_per_step": simulation.drift,
        "walk_per_step": simulation.walk,
        "excess_kurtosis": -1.2 if simulation.draw == "uniform" else 0.0,
        "alignment": 1.0,
    }
