"""Running means by plain simulation: data drawn, batches made, the recursion run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from normexp.theory.setting import Setting

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """A setting's running mean in as many replicas, each with data and order of its own."""

    setting: Setting
    replicas: int = 3000

    def errors(self, momenta: Sequence[float | None], *, debiased: bool = False) -> list[Array]:
        """Running mean minus truth after the last step, [replicas]; None: cumulative."""
        setting, rng = self.setting, np.random.default_rng(0)
        data = rng.normal(size=(self.replicas, setting.train_size or 1))
        walk = setting.walk_per_step * rng.normal(size=(setting.updates + 1, self.replicas))
        moved = (setting.drift_per_step + walk).cumsum(axis=0)
        truth = moved[-1] + (0.0 if setting.order == "independent" else data.mean(axis=1))
        initial = truth + setting.initial_error
        running = [initial.copy() for _ in momenta]
        left = [1.0 for _ in momenta]
        for step, batch in zip(range(setting.updates), self._batches(rng, data), strict=False):
            found = batch.mean(axis=1) + moved[step]
            for i, momentum in enumerate(momenta):
                a = 1 / (step + 1) if momentum is None else momentum
                running[i] = (1 - a) * running[i] + a * found
                left[i] *= 1 - a
        if debiased:
            running = [(r - w * initial) / (1 - w) for r, w in zip(running, left, strict=True)]
        return [each - truth for each in running]

    def _batches(self, rng: np.random.Generator, data: Array) -> Iterator[Array]:
        """Batches without end, as a data loader makes them."""
        size = self.setting.batch_size
        while self.setting.order == "independent":
            yield rng.normal(size=(self.replicas, size))
        while True:
            epoch = rng.permuted(data, axis=1) if self.setting.order == "shuffled" else data
            for start in range(0, data.shape[1], size):
                batch = epoch[:, start : start + size]
                if batch.shape[1] == size or not self.setting.drop_last:
                    yield batch
