"""`normexp.recalibrate`: the data's statistics, in any number of processes, and back again."""

import copy
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from own_nets import Batch, SmallNet, batches, train
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, TensorDataset

import normexp
from normexp.errors import UsageError

Seen = dict[str, list[torch.Tensor]]


def trained() -> SmallNet:
    """A small network after ten steps."""
    torch.manual_seed(0)
    model = SmallNet()
    train(model, torch.optim.SGD(model.parameters(), 0.1), batches(10))
    return model


def norms(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Its batch norms."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    return ((name, each) for name, each in model.named_modules() if isinstance(each, kinds))


def values(model: nn.Module, data: list[Batch]) -> Seen:
    """All values that come to each batch norm in training mode, [channels, batch] a batch."""
    seen: Seen = {}
    watched = copy.deepcopy(model).train()
    for name, norm in norms(watched):

        def see(_: nn.Module, given: tuple[torch.Tensor, ...], name: str = name) -> None:
            seen.setdefault(name, []).append(given[0].double().transpose(0, 1).flatten(1))

        norm.register_forward_pre_hook(see)
    with torch.no_grad():
        for x, _ in data:
            watched(x)
    return seen


def buffers(model: nn.Module) -> list[torch.Tensor]:
    """Copies of all buffers."""
    return [each.clone() for each in model.buffers()]


def test_statistics_are_those_of_all_values() -> None:
    """Mean and unbiased variance, batches of different sizes too; against hooks."""
    model, data = trained(), [*batches(3, 16), *batches(1, 5, seed=1)]
    expected = values(model, data)
    normexp.recalibrate(model, data)

    for name, norm in norms(model):
        whole = torch.cat(expected[name], 1)
        assert torch.allclose(norm.running_mean.double(), whole.mean(1), atol=1e-6)
        assert torch.allclose(norm.running_var.double(), whole.var(1), rtol=1e-5)


def test_fvcore_finds_the_same() -> None:
    """Its rule, `_PopulationVarianceEstimator`: biased, of means of squares."""
    model, data = trained(), [*batches(3, 16), *batches(1, 5, seed=1)]
    seen = values(model, data)
    normexp.recalibrate(model, data)

    for name, norm in norms(model):
        total, mean, square = 0, torch.zeros(1), torch.zeros(1)
        for batch in seen[name]:
            size = batch.shape[1]
            total += size
            batch_square = batch.mean(1) ** 2 + batch.var(1) * (size - 1) / size
            mean = mean + (batch.mean(1) - mean) * size / total
            square = square + (batch_square - square) * size / total
        biased = norm.running_var * (total - 1) / total
        assert torch.allclose(norm.running_mean.double(), mean, atol=1e-6)
        assert torch.allclose(biased.double(), square - mean**2, rtol=1e-5)


@pytest.mark.parametrize("is_training", [False, True])
def test_nothing_else_changes_and_undo_is_exact(*, is_training: bool) -> None:
    """Mode, momentum, counts, weights, random numbers, those of the loader too."""
    model = nn.Sequential(trained(), nn.Dropout()).train(is_training)
    x, y = next(batches(1, 32))
    loader = DataLoader(
        TensorDataset(x, y), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3)
    )
    before, weights = buffers(model), [each.clone() for each in model.parameters()]
    random = torch.get_rng_state(), loader.generator.get_state()
    handle = normexp.recalibrate(model, loader)
    after = buffers(model)

    assert [each.training for each in model.modules()] == [is_training] * len([*model.modules()])
    assert {norm.momentum for _, norm in norms(model)} == {0.1}
    assert torch.equal(random[0], torch.get_rng_state())
    assert torch.equal(random[1], loader.generator.get_state())
    assert all(map(torch.equal, weights, model.parameters()))
    for name, old, new in zip(dict(model.named_buffers()), before, after, strict=True):
        assert torch.equal(old, new) == name.endswith("num_batches_tracked")
    handle.undo()
    assert all(map(torch.equal, before, buffers(model)))


LOADERS: dict[str, tuple[Callable[[list[Batch]], list[Any]], Any]] = {
    "tensors": (lambda data: [x for x, _ in data], None),
    "tuples": (lambda data: [*data], None),
    "mappings": (lambda data: [{"x": x} for x, _ in data], None),
    "others": (
        lambda data: [{"image": x, "label": y} for x, y in data],
        lambda model, batch: model(batch["image"]),
    ),
}
"""Batches, and how the model is called with them."""


@pytest.mark.parametrize("kind", LOADERS)
def test_every_kind_of_batch_gives_the_same(kind: str) -> None:
    """To the bit."""
    model, data = trained(), [*batches(2)]
    again = copy.deepcopy(model)
    given, forward = LOADERS[kind]
    normexp.recalibrate(model, data)
    normexp.recalibrate(again, given(data), forward_fn=forward)

    assert all(map(torch.equal, buffers(model), buffers(again)))


def test_as_many_batches_as_wanted_are_taken() -> None:
    """The first ones."""
    model, data = trained(), [*batches(5)]
    again = copy.deepcopy(model)
    normexp.recalibrate(model, data, batches=2)
    normexp.recalibrate(again, data[:2])

    assert all(map(torch.equal, buffers(model), buffers(again)))


def test_wrong_numbers_are_mended() -> None:
    """NaN, which no average forgets."""
    model = trained()
    for _, norm in norms(model):
        norm.running_mean.fill_(torch.nan)
    normexp.recalibrate(model, [*batches(2)])

    assert normexp.lint(model).faults == []


def test_nothing_to_recalibrate_is_refused() -> None:
    """No batch norm, or no batch; and the statistics stay."""
    model = trained()
    before = buffers(model)

    with pytest.raises(UsageError, match="no batch norm"):
        normexp.recalibrate(nn.Linear(3, 3), [torch.ones(2, 3)])
    with pytest.raises(UsageError, match="no batch"):
        normexp.recalibrate(model, [])
    with pytest.raises(UsageError, match="batch 3 has one example") as refused:
        normexp.recalibrate(model, [*batches(2), *batches(1, 1)])
    assert "drop_last=True" in str(refused.value.hint)
    assert all(map(torch.equal, before, buffers(model)))


def one_of_two(rank: int, folder: str) -> None:
    """A process with batches of its own: three of the one, one of the other, none of it alike."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.manual_seed(rank)
    model = trained()
    wrapped = nn.parallel.DistributedDataParallel(model)
    normexp.recalibrate(wrapped, [*batches(3 - 2 * rank, seed=rank)])
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_all_processes_end_with_the_same_statistics(tmp_path: Path) -> None:
    """To the bit; and they are those of all batches together."""
    spawn(one_of_two, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    states = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    model = trained()
    normexp.recalibrate(model, [*chain(batches(3, seed=0), batches(1, seed=1))])

    for name, value in model.state_dict().items():
        assert torch.equal(states[0][name], states[1][name])
        assert torch.allclose(states[0][name], value, rtol=1e-6)


def one_fails(rank: int, folder: str) -> None:
    """A process whose last batch has one example, and one whose batches are whole."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    try:
        normexp.recalibrate(trained(), [*batches(1, 16 - 15 * rank)])
    except UsageError as error:
        Path(f"{folder}/{rank}.txt").write_text(str(error))
    distributed.destroy_process_group()


def test_no_process_waits_for_one_that_fails(tmp_path: Path) -> None:
    """All of them say why."""
    spawn(one_fails, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))

    assert second.startswith("batch 1 has one example")
    assert first.startswith("process 1 failed: batch 1 has one example")
