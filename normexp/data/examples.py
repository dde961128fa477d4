"""The examples of a stack, each data set kept once however many networks learn from it."""

from collections.abc import Iterator, Sequence

import torch

from normexp.config.schema import RunConfig, train_size
from normexp.data.draw import VECTORS, Dataset, draw
from normexp.rng import stream

MOST_NUMBERS = 2**24
"""Numbers in the batches that are gathered at a time."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""x [models, features, examples] or [models, examples, channels, height, width], and y, labels
[models, examples] or targets [models, outputs, examples]."""


def orders(configs: Sequence[RunConfig], epoch: int) -> list[torch.Tensor]:
    """Return every network's order of an epoch, counted from 0: by its seed, or none."""
    size = train_size(configs[0])
    if not configs[0].train.shuffle:
        return [torch.arange(size)] * len(configs)
    return [torch.randperm(size, generator=stream(each.seed, "order", epoch)) for each in configs]


class Examples:
    """Training and test examples of some networks of one structure, `models` leading everywhere.

    With `tests_only` no training examples are kept in memory.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        *,
        tests_only: bool = False,
        device: torch.device | None = None,
    ) -> None:
        drawn: dict[object, Dataset] = {}
        for config in configs:
            key = (config.data, config.seed)
            if key not in drawn:
                whole = draw(config)
                if tests_only:
                    whole = whole._replace(x=whole.x.new_empty(0), y=whole.y.new_empty(0))
                drawn[key] = whole.to(device=device)
        self._sets = [drawn[config.data, config.seed] for config in configs]
        self._axis = 1 if self._sets[0].test_x.dim() == VECTORS else 0

    @property
    def tests(self) -> int:
        """Test examples of a network."""
        return self._sets[0].test_x.shape[self._axis]

    def batches(
        self,
        models: range,
        orders: Sequence[torch.Tensor],
        sizes: Sequence[int],
        step: int,
        *,
        still: bool = False,
    ) -> Iterator[Batch]:
        """Yield the batches of an epoch that begins after so many steps.

        If `still`, all of them as they are at that step, even where inputs drift. Gathered some
        steps at a time, as many as memory allows, since gathering costs by the call.
        """
        each = self._sets[0].x.numel() // self._sets[0].x.shape[self._axis] * len(models)
        together = max(1, MOST_NUMBERS // (each * max(sizes)))
        start = 0
        for first in range(0, len(sizes), together):
            some = list(sizes[first : first + together])
            stop = start + sum(some)
            x, y = self._gathered(models, [order[start:stop] for order in orders])
            parts = zip(
                torch.split(x, some, 1 + self._axis), torch.split(y, some, y.dim() - 1), strict=True
            )
            for later, (part, answers) in enumerate(parts, start=first):
                now = step if still else step + later
                yield self._shifted(models, part.contiguous(), now), answers.contiguous()
            start = stop

    def train(self, models: range, chosen: torch.Tensor, step: int) -> Batch:
        """Return training examples of some networks, by number, after so many steps."""
        x, y = self._gathered(models, [chosen] * len(models))
        return self._shifted(models, x, step), y

    def test(self, models: range, chosen: torch.Tensor, step: int) -> Batch:
        """Return test examples of some networks, by number, after so many steps."""
        sets = [self._sets[model] for model in models]
        chosen = chosen.to(sets[0].test_x.device)
        found = {}  # once a set, however many runs are tested on it
        for one in {id(each): each for each in sets}.values():
            x = one.test_x.index_select(self._axis, chosen)
            found[id(one)] = x, one.test_y.index_select(one.test_y.dim() - 1, chosen)
        x, y = (torch.stack(part) for part in zip(*(found[id(one)] for one in sets), strict=True))
        return self._shifted(models, x, step), y

    def raw(self, models: range, x: torch.Tensor) -> torch.Tensor:
        """Return inputs of some networks as they were before they were standardised, if so."""
        known = [each for model in models if (each := self._sets[model].units) is not None]
        if not known:
            return x
        mean, std = (torch.stack(part) for part in zip(*known, strict=True))
        return x * std + mean

    def _gathered(self, models: range, chosen: Sequence[torch.Tensor]) -> Batch:
        sets = [self._sets[model] for model in models]
        each = [(one, own.to(one.x.device)) for one, own in zip(sets, chosen, strict=True)]
        x = torch.stack([one.x.index_select(self._axis, own) for one, own in each])
        y = torch.stack([one.y.index_select(one.y.dim() - 1, own) for one, own in each])
        return x, y

    def _shifted(self, models: range, x: torch.Tensor, step: int) -> torch.Tensor:
        shifts = [self._sets[model].shift for model in models]
        known = [each[:, step, None] for each in shifts if each is not None]
        return x + torch.stack(known) if known else x
