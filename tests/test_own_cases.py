"""Loops and layers whose buffers alone do not say what the batches were, or not all of it."""

from collections.abc import Callable

import pytest
import torch
from own_nets import Oracle, SmallNet, assert_close, batches, loss_of, recorded, train
from torch import nn
from torch.utils.checkpoint import checkpoint

import normexp
from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.own.layers import batch_norms


def accumulate(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 10) -> None:
    """Two batches a step."""
    for number, batch in enumerate(batches(2 * steps)):
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()


def adversary(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 10) -> None:
    """A discriminator: a pass of real images, one of made ones, and one for the generator."""
    maker = nn.Linear(4, 100)
    for (x, y), (noise, _) in zip(batches(steps), batches(steps, seed=1), strict=True):
        made = maker(noise.flatten(1)[:, :4]).view(-1, 1, 10, 10)
        optimizer.zero_grad()
        loss = loss_of(model, (x, y)) + loss_of(model, (made.detach(), 2 - y))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_of(model, (made, y)).backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("loop", [accumulate, adversary])
def test_steps_of_several_batches_are_refused_and_read_by_hooks(
    loop: Callable[[nn.Module, torch.optim.Optimizer], None],
) -> None:
    """The message says how; the training can go on without the recorder."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, _ = recorded(model)
    with pytest.raises(UsageError, match="norm1 had several updates") as caught:
        loop(model, optimizer)
    loop(model, optimizer)
    oracle, (optimizer, recorder) = Oracle(model), recorded(model, per_forward=True)
    loop(model, optimizer)

    assert "per_forward=True" in (caught.value.hint or "")
    assert_close(oracle, recorder)


def test_an_adversary_is_evaluated_between_two_rounds() -> None:
    """Its last batch, which came after the last step, is counted then, and no other is lost."""
    torch.manual_seed(0)
    model, data = SmallNet(), list(batches(2))
    optimizer, recorder = recorded(model, per_forward=True)
    for _ in range(3):
        adversary(model, optimizer)
        recorder.evaluate(lambda net: loss_of(net, data[0]), data)
        recorder.apply("population").undo()
    own = recorder.recording.layers.read()
    ema = recorder.recording.statistics(BatchNorm(momentum=0.1))

    assert recorder.recording.updates == 90
    assert recorder.remarks() == []
    assert torch.allclose(ema.mean, own.mean, atol=1e-6)
    assert torch.allclose(ema.var, own.var, rtol=1e-5)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_have_two_equal_updates(reentrant: bool) -> None:  # noqa: FBT001
    """Those that are checkpointed; the others one. Told so, the recorder takes them apart."""

    class Checkpointed(SmallNet):
        def stem(self, x: torch.Tensor) -> torch.Tensor:
            """The first convolution with its norm, run again in the backward pass."""
            y: torch.Tensor = checkpoint(super().stem, x, use_reentrant=reentrant)
            return y

    torch.manual_seed(0)
    model = Checkpointed()
    optimizer, _ = recorded(model)
    data = [(x.requires_grad_(), y) for x, y in batches(10)]
    with pytest.raises(UsageError, match="norm1 had several updates in 3 of 3") as caught:
        train(model, optimizer, iter(data))
    oracle, (optimizer, recorder) = Oracle(model), recorded(model, checkpointed=True)
    train(model, optimizer, iter(data))

    assert "checkpointed=True" in (caught.value.hint or "")
    assert [len(each) for each in oracle.seen.values()] == [20, 10, 10]
    assert_close(oracle, recorder)
    own = recorder.recording.layers.read()
    ema = recorder.recording.statistics(BatchNorm(momentum=0.1))
    assert torch.allclose(ema.mean, own.mean, atol=1e-6)
    assert torch.allclose(ema.var, own.var, rtol=1e-5)


class Shared(SmallNet):
    """A net whose first norm stands at two places."""

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution with its norm, and the norm once more."""
        return self.norm1(super().stem(x)).relu()  # type: ignore[no-any-return]


def test_a_shared_layer_is_read_pass_by_pass() -> None:
    """Its two batches differ, so hooks are needed; averages take both in, one after the other."""
    torch.manual_seed(0)
    model = Shared()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model, per_forward=True)
    train(model, optimizer, batches(30))

    assert_close(oracle, recorder)
    own, ema = recorder.recording.layers.read(), BatchNorm(momentum=0.1)
    assert torch.allclose(recorder.recording.statistics(ema).mean, own.mean, atol=1e-6)
    assert len(oracle.seen["norm1"]) == 60


def test_frozen_layers_keep_their_statistics() -> None:
    """From the start, or from the middle of a training on; in every row of the table."""
    torch.manual_seed(0)
    model = SmallNet()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    for step, batch in enumerate(batches(20)):
        model.train()
        model.norm2.train(step < 10)
        optimizer.zero_grad()
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    span, own = recorder.recording.layers.spans["norm2"], recorder.recording.layers.read()

    assert_close(oracle, recorder)
    assert [len(each) for each in oracle.seen.values()] == [20, 10, 20]
    assert recorder.recording.still == {"norm2"}
    recorder.evaluate(lambda net: loss_of(net, next(batches(1))), batches(2))
    mean, _ = recorder.evaluations[20]["population"][0] or []
    assert torch.equal(mean[span], own.mean[span].float())


def test_changes_by_others_are_noticed() -> None:
    """A checkpoint loaded, statistics recomputed: that step's batch is lost, no other."""
    torch.manual_seed(0)
    model, data = SmallNet(), list(batches(3))
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    train(model, optimizer, batches(5))
    model.load_state_dict(SmallNet().state_dict())
    train(model, optimizer, batches(5, seed=1))
    torch.optim.swa_utils.update_bn(data, model)
    train(model, optimizer, batches(5, seed=2))
    with torch.no_grad():
        model.norm2.running_var.mul_(4)  # type: ignore[operator]
    train(model, optimizer, batches(5, seed=3))
    del oracle.seen["norm2"][18]
    for seen in oracle.seen.values():
        del seen[10:14]  # of update_bn, and of the step after it
        del seen[5]

    assert_close(oracle, recorder, 4)
    assert recorder.recording.updates == 18
    assert recorder.remarks()[0].startswith("3 steps have no batch statistics")


def test_what_is_applied_is_not_taken_for_a_batch() -> None:
    """Nor is an evaluation in between."""
    torch.manual_seed(0)
    model = SmallNet()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    train(model, optimizer, batches(5))
    before = recorder.recording.layers.read()
    handle = recorder.apply(momentum=0.5)
    train(model, optimizer, batches(5, seed=1))
    handle.undo()
    after = recorder.recording.layers.read()
    train(model, optimizer, batches(5, seed=2))

    assert torch.equal(before.mean, after.mean)
    assert_close(oracle, recorder)
    assert recorder.recording.updates == 15


def spoil_momentum(model: SmallNet) -> None:
    """Buffers that never move."""
    model.norm1.momentum = 0  # type: ignore[assignment]


def spoil_dtype(model: SmallNet) -> None:
    """Buffers of eight significant bits."""
    model.norm1.bfloat16()


@pytest.mark.parametrize("spoil", [spoil_momentum, spoil_dtype])
def test_buffers_that_say_nothing_need_hooks(spoil: Callable[[SmallNet], None]) -> None:
    """Refused, and read from the layers' inputs if asked."""
    torch.manual_seed(0)
    model = SmallNet()
    spoil(model)
    with pytest.raises(UsageError, match=r"norm1 has .* do not say what a batch was"):
        recorded(model)
    oracle, (optimizer, recorder) = Oracle(model), recorded(model, per_forward=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=spoil is spoil_dtype):
        train(model, optimizer, batches(20))

    assert_close(oracle, recorder, 10)


def test_a_momentum_may_change() -> None:
    """As schedules of batch norm's momentum make it."""
    torch.manual_seed(0)
    model = SmallNet()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    for step, batch in enumerate(batches(20)):
        model.norm1.momentum = model.norm2.momentum = 0.5 / (1 + step)  # type: ignore[assignment]
        train(model, optimizer, iter([batch]))

    assert_close(oracle, recorder, 10)


def test_steps_that_a_scaler_skips_are_taken_as_equal() -> None:
    """A few are no reason to refuse: the model's own average stays exact, and it is said."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    for step, batch in enumerate(batches(60)):
        optimizer.zero_grad()
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        if step not in (0, 1, 30):
            optimizer.step()
    own, found = recorder.recording.layers.read(), BatchNorm(momentum=0.1)

    assert torch.allclose(recorder.recording.statistics(found).mean, own.mean, atol=1e-6)
    assert recorder.recording.updates == 60
    assert recorder.remarks()[0].startswith("2 steps had several updates, which are taken as equal")


def test_layers_without_running_statistics_are_named() -> None:
    """They take each batch's own in evaluation mode too."""
    model = SmallNet()
    model.norm2 = nn.BatchNorm2d(8, track_running_stats=False)
    _, recorder = recorded(model)

    assert list(recorder.recording.layers.modules) == ["norm1", "head.1"]
    assert recorder.remarks() == ["norm2 has track_running_stats=False: left out"]


def test_variances_too_small_to_tell_from_0_are_reported() -> None:
    """A dead channel: its variance is lost in the rounding of a running one that began at 1."""
    torch.manual_seed(0)
    model = SmallNet()
    nn.init.zeros_(model.conv1.weight[:1])
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.05)
    recorder = normexp.record(model, optimizer)
    train(model, optimizer, batches(5))
    recorder.recording.flush()
    rows = recorder.recording.history.rows

    assert 0 <= rows.statistics[:, 22].min() <= rows.statistics[:, 22].max() < 1e-5
    assert recorder.remarks()[0].startswith("5 variances of a channel and step were too small")


def test_sync_batch_norm_is_a_batch_norm() -> None:
    """Converted models are recorded; their training pass needs an accelerator."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(SmallNet())  # type: ignore[no-untyped-call]
    _, recorder = recorded(model)

    assert recorder.recording.layers.sites == {"norm1": 6, "norm2": 8, "head.1": 8}
    assert isinstance(model.norm1, nn.SyncBatchNorm)


def test_a_batch_that_is_not_finite_is_left_out() -> None:
    """So is a momentum of 0 in between; all other batches count."""
    torch.manual_seed(0)
    model = SmallNet()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    train(model, optimizer, batches(10))
    for norm in batch_norms(model).values():
        norm.momentum = 0
    train(model, optimizer, batches(1))
    for norm in batch_norms(model).values():
        norm.momentum = 0.1
    train(model, optimizer, batches(10, seed=1))
    found = recorder.recording.statistics(BatchNorm(momentum=0.5))
    x, _ = next(batches(1))
    model(x * torch.nan)
    optimizer.step()
    after = recorder.recording.statistics(BatchNorm(momentum=0.5))
    for seen in oracle.seen.values():
        del seen[21], seen[10]

    assert_close(oracle, recorder, 4)
    assert recorder.recording.updates == 20
    assert torch.equal(found.mean, after.mean)
    assert recorder.remarks()[0].startswith("2 steps have no batch statistics")


def test_layers_that_skip_steps_are_not_frozen() -> None:
    """Until they have skipped 64; a remark names them."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    for step, (x, _) in enumerate(batches(70)):
        optimizer.zero_grad()
        (model(x) if step < 4 else model.stem(x)).sum().backward()
        optimizer.step()
        if step in (4, 69):
            recorder.recording.flush()
        if step == 4:
            assert recorder.recording.still == set()
            remark = "norm2 had no update in the last 1 steps, and does not count as frozen"
            assert recorder.remarks()[0] == remark

    assert recorder.recording.still == {"norm2", "head.1"}
    assert not recorder.remarks()


class Uncounted(nn.BatchNorm2d):
    """It moves its statistics, and counts no batches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        statistics, momentum = (self.running_mean, self.running_var), self.momentum or 0.0
        own = self.training or self.running_mean is None
        return nn.functional.batch_norm(x, *statistics, self.weight, self.bias, own, momentum)


def without_counts(channels: int) -> nn.Module:
    """A batch norm whose count was taken away."""
    norm = nn.BatchNorm2d(channels)
    norm.num_batches_tracked = None
    return norm


@pytest.mark.parametrize("norm", [Uncounted, without_counts])
def test_layers_that_do_not_count_need_hooks(norm: Callable[[int], nn.Module]) -> None:
    """Refused, and read if asked."""
    torch.manual_seed(0)
    model = SmallNet(norm)
    optimizer, _ = recorded(model)
    with pytest.raises(UsageError, match="norm1 moves its statistics without counting"):
        train(model, optimizer, batches(5))
    oracle, (optimizer, recorder) = Oracle(model), recorded(model, per_forward=True)
    train(model, optimizer, batches(5))
    recorder.evaluate(lambda net: loss_of(net, next(batches(1))), list(batches(2)))

    for seen in oracle.seen.values():
        del seen[5:]
    assert_close(oracle, recorder, 4)
