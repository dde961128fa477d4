"""Batch statistics from buffers alone, against hooks on the norm layers, loop by loop."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from own_nets import Oracle, SmallNet, batches, loss_of, train
from torch import nn

import normexp
from normexp.own.layers import batch_norms
from normexp.own.recorder import Recorder

CLOSE = (1e-5, 3e-4)
"""Of means in σ, of variances relative, at momentum .1: roundings of what begins at 1."""


def recorded(model: nn.Module, **settings: object) -> tuple[torch.optim.Optimizer, Recorder]:
    """An optimizer and the recorder that listens to it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return optimizer, normexp.record(model, optimizer, **settings)  # type: ignore[arg-type]


def assert_close(oracle: Oracle, recorder: Recorder, factor: float = 1) -> None:
    """All that hooks have seen was recovered."""
    errors = oracle.errors(recorder)

    assert errors[0] < factor * CLOSE[0], errors
    assert errors[1] < factor * CLOSE[1], errors


@pytest.mark.parametrize(
    ("momentum", "factor"), [(0.1, 1), (0.01, 10), (0.9, 1), (1.0, 1), (None, 4)]
)
def test_batches_are_recovered_from_buffers(momentum: float | None, factor: float) -> None:
    """Errors grow as one over the momentum; null is the cumulative mean."""
    torch.manual_seed(0)
    model = SmallNet()
    for norm in batch_norms(model).values():
        norm.momentum = momentum
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    train(model, optimizer, batches(80))

    assert_close(oracle, recorder, factor)
    assert recorder.recording.updates == 80


def test_a_closed_recorder_leaves_no_hooks() -> None:
    """And the training goes on without it."""
    model = SmallNet()
    optimizer, recorder = recorded(model, per_forward=True)
    with recorder:
        train(model, optimizer, batches(2))
    train(model, optimizer, batches(3))

    assert recorder.recording.steps == 2
    assert not any(module._forward_hooks for module in model.modules())  # noqa: SLF001
    assert not optimizer._optimizer_step_post_hooks  # noqa: SLF001


def test_training_is_the_same_with_a_recorder() -> None:
    """To the bit, whichever way is read and however often it is evaluated."""
    torch.manual_seed(0)
    models = [SmallNet()]
    models += [deepcopy(models[0]), deepcopy(models[0])]
    for model, settings in zip(models, (None, (), ("per_forward",)), strict=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        recorder = None
        if settings is not None:
            recorder = normexp.record(model, optimizer, per_forward="per_forward" in settings)
        for seed in range(2):
            train(model, optimizer, batches(4, seed=seed))
            if recorder is not None:
                recorder.evaluate(lambda net: loss_of(net, next(batches(1))), batches(2))

    for model in models[1:]:
        for name, value in models[0].state_dict().items():
            assert torch.equal(model.state_dict()[name], value)


def with_autocast(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """bfloat16 where autocast wants it."""
    for x, y in batches(20):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def channels_last(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Images and weights with the channels innermost."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = ((x.to(memory_format=torch.channels_last), y) for x, y in batches(20))
    train(model, optimizer, data)


def with_gradient_scaler(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A scaler that skips no step."""
    scaler = torch.amp.GradScaler("cpu")
    for batch in batches(20):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("loop", [with_autocast, channels_last, with_gradient_scaler])
def test_common_loops_are_read(loop: Callable[[nn.Module, torch.optim.Optimizer], None]) -> None:
    """Whatever the layer's input is like, the buffers hold its statistics."""
    torch.manual_seed(0)
    model = SmallNet()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    loop(model, optimizer)

    assert_close(oracle, recorder)
