"""Batch norms of any module: found, read, set, put back, and their statistics over a data set."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from normexp.errors import UsageError
from normexp.own.layers import bare, call, tracked, unchanged
from normexp.own.population import population


class Twice(nn.Module):
    """A module with a shared norm layer, one without running statistics, and a 1d one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.shared = nn.BatchNorm2d(4)
        self.again = self.shared
        self.without = nn.BatchNorm2d(4, track_running_stats=False)
        self.last = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions, [batch, 2]."""
        x = self.without(self.again(self.shared(self.first(x)).relu()))
        y: torch.Tensor = self.last(x.mean((2, 3)))
        return y


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # importing torch.compile
def test_layers_are_found_once_and_by_the_users_names() -> None:
    """A shared one at its first name, without what `torch.compile` and DDP put in front."""
    compiled = torch.compile(Twice())

    assert tracked(Twice()).sites == {"shared": 4, "last.1": 2}
    assert tracked(compiled).sites == {"shared": 4, "last.1": 2}  # type: ignore[arg-type]
    assert isinstance(bare(nn.DataParallel(Twice())), Twice)


def test_no_layer_is_lost_where_names_would_be_alike() -> None:
    """They stay whole."""
    model = nn.Sequential(nn.BatchNorm1d(2))
    model.module = nn.Sequential(nn.BatchNorm1d(3))

    assert tracked(model).sites == {"0": 2, "module.0": 3}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "no batch norm with running statistics"),
        (nn.BatchNorm1d(2, track_running_stats=False), "1 have track_running_stats=False"),
        (nn.LazyBatchNorm1d(), "has not seen a batch yet"),
    ],
)
def test_what_has_no_running_statistics_is_refused(module: nn.Module, message: str) -> None:
    """In one line with the reason."""
    with pytest.raises(UsageError, match=message):
        tracked(module)


def test_statistics_are_written_as_they_are_read() -> None:
    """Also into buffers of another dtype."""
    layers = tracked(Twice().to(torch.float64))
    row = torch.arange(6, dtype=torch.float64)
    layers.write(layers.read()._replace(mean=row, var=row + 1))

    assert torch.equal(layers.modules["last.1"].running_mean, torch.tensor([4.0, 5.0]).double())  # type: ignore[arg-type]
    assert torch.equal(layers.read().var, row + 1)


def test_a_model_is_put_back_to_the_bit() -> None:
    """Modes, buffers, momenta and every kind of random numbers, after an error too."""
    model, x = Twice(), torch.randn(8, 3, 6, 6)
    model.last.eval()
    drawn = DataLoader(TensorDataset(x), shuffle=True, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = (torch.get_rng_state(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002

    def spoil() -> None:
        with unchanged(model, drawn):
            model.train()(x)
            model.shared.momentum = None
            list(drawn)
            random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002, S311
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoil()

    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert (model.last.training, model.shared.training) == (False, True)
    assert model.shared.momentum == 0.1
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    assert drawn.generator.initial_seed() == 1
    assert torch.equal(drawn.generator.get_state(), torch.Generator().manual_seed(1).get_state())


def test_the_population_is_that_of_pooled_batches() -> None:
    """The first layer's over all examples, the others' as their batches left them."""
    model, x = Twice().eval(), torch.randn(20, 3, 6, 6)
    loader = DataLoader(TensorDataset(x, torch.zeros(20)), batch_size=8)
    found, layers = population(model, loader), tracked(model)
    once = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    once[0].load_state_dict(model.first.state_dict())
    alone = population(once, loader)
    expected = once[0](x).transpose(0, 1).flatten(1).double()

    assert torch.allclose(alone.mean, expected.mean(1), atol=1e-7)
    assert torch.allclose(alone.var, expected.var(1), rtol=1e-6)
    assert not torch.allclose(found.mean[:4], expected.mean(1), atol=1e-3)  # it passes twice
    assert torch.equal(layers.read().mean, torch.zeros(6, dtype=torch.float64))


def test_frozen_layers_keep_theirs_in_a_population() -> None:
    """Those in evaluation mode of a model in training mode."""
    model = Twice().train()
    model.last.eval()
    found = population(model, [torch.randn(8, 3, 6, 6)])

    assert torch.equal(found.mean[4:], torch.zeros(2).double())
    assert found.mean[:4].abs().min() > 0


def test_a_loader_without_batches_is_refused() -> None:
    """And the message says which."""
    with pytest.raises(UsageError, match="gave no batch"):
        population(Twice(), [])


def test_batches_are_called_as_loaders_give_them() -> None:
    """A tensor, a pair with its target, or keyword arguments."""
    model, x = Twice().eval(), torch.randn(4, 3, 6, 6)
    expected = model(x)

    for batch in (x, (x, torch.zeros(4)), {"x": x}):
        assert torch.equal(call(model, batch), expected)  # type: ignore[arg-type]
