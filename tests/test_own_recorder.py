"""Batch statistics from buffers alone, against hooks on the norm layers, loop by loop."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from own_nets import Oracle, SmallNet, assert_close, batches, loss_of, losses_on, recorded, train
from torch import nn
from torch.utils.data import DataLoader, Dataset

import normexp
from normexp.errors import UsageError
from normexp.own.layers import batch_norms
from normexp.own.population import population

TESTS = list(batches(3, seed=9))


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
    assert repr(recorder) == "<Recorder after 2 steps>"
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


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # importing torch.compile
@pytest.mark.parametrize("per_forward", [False, True])
def test_compiled_models_are_read(per_forward: bool) -> None:  # noqa: FBT001
    """From buffers at any time; by hooks, which compiled code calls if they were there before."""
    torch.compiler.reset()
    torch.manual_seed(0)
    plain, model = SmallNet(), SmallNet()
    model.load_state_dict(plain.state_dict())
    oracle, (of_optimizer, of_plain) = Oracle(plain), recorded(plain)
    train(plain, of_optimizer, batches(6))
    optimizer, recorder = recorded(model, per_forward=per_forward)
    compiled = torch.compile(model, backend="aot_eager")
    train(compiled, optimizer, batches(6))  # type: ignore[arg-type]

    assert_close(oracle, recorder)
    data = list(batches(2))
    table = recorder.evaluate(losses_on(data), data, model=compiled, momenta=[0.1])  # type: ignore[arg-type]
    expected = of_plain.evaluate(losses_on(data), data, momenta=[0.1])
    assert not recorder.remarks()
    assert table["value"].to_list() == pytest.approx(expected["value"].to_list(), rel=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_hooks_that_compiled_code_passes_by_are_refused() -> None:
    """At the third step, with what to do."""
    torch.compiler.reset()
    first, second = SmallNet(), SmallNet()
    of_first = torch.optim.SGD(first.parameters(), lr=0.05)
    train(torch.compile(first, backend="eager"), of_first, batches(1))  # type: ignore[arg-type]
    optimizer, _ = recorded(second, per_forward=True)

    with pytest.raises(UsageError, match="3 passes of norm1 were not seen"):
        train(torch.compile(second, backend="eager"), optimizer, batches(3))  # type: ignore[arg-type]


def test_evaluations_with_hooks_record_no_batch_of_theirs() -> None:
    """Nor do verdicts, populations and copies of the model."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model, per_forward=True)
    for seed in range(2):
        train(model, optimizer, batches(8, seed=seed))
        table = recorder.evaluate(losses_on(TESTS), TESTS, data={"other": TESTS})
        recorder.verdict()
        population(deepcopy(model), TESTS)
        deepcopy(model).train()(TESTS[0][0])
    average = table["value"][table["estimator"].eq("ema") & table["momentum"].eq(0.1)]

    assert table["value"][0] == pytest.approx(average.item(), rel=1e-5)
    assert recorder.recording.updates == 16
    assert not recorder.remarks()


def test_a_score_that_fails_loses_no_batch() -> None:
    """What an evaluation wrote into the buffers is overlooked then too."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(5))

    def fails(_: nn.Module) -> float:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        recorder.evaluate(fails, TESTS)
    train(model, optimizer, batches(5, seed=1))
    recorder.recording.flush()

    assert recorder.recording.updates == 10
    assert not recorder.remarks()


@pytest.fixture
def in_a_group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.usefixtures("in_a_group")
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_other_processes_of_data_parallel_refuse(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the model was wrapped, and compiled, before recording began or after; others go."""
    model = SmallNet()
    wrapped = torch.compile(nn.parallel.DistributedDataParallel(model))
    _, recorder = recorded(wrapped if when == "before" else model)  # type: ignore[arg-type]
    _, alone = recorded(SmallNet())
    assert recorder.evaluate(lambda net: float(net is model))["value"].all()
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *_: 1)

    alone.evaluate(losses_on(TESTS))
    with pytest.raises(UsageError, match="are overwritten by those of the first"):
        recorder.evaluate(losses_on(TESTS))


def test_synchronised_layers_wait_for_nobody(tmp_path: Path) -> None:
    """In a process group their training pass is a collective call, and needs an accelerator."""
    torch.manual_seed(0)
    model = SmallNet()
    plain = deepcopy(model)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    tables = []
    for each in (plain, synchronised):
        optimizer, recorder = recorded(each)
        train(each, optimizer, batches(5))
        if each is synchronised:
            store = f"file://{tmp_path / 'store'}"
            torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        tables.append(recorder.evaluate(losses_on(TESTS), TESTS))
    torch.distributed.destroy_process_group()

    assert tables[0].equals(tables[1])
    assert not any("forward" in vars(each) for each in synchronised.modules())


def test_steps_of_another_optimizer_are_missed() -> None:
    """And it is said, with what to type."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(5))
    other = torch.optim.SGD(model.parameters(), lr=0.05)
    train(model, other, batches(7))
    recorder.recording.flush()
    remark = recorder.remarks()[0]
    other.register_step_post_hook(lambda *_: recorder.step())
    train(model, other, batches(20, seed=1))
    recorder.recording.flush()

    assert remark.startswith("7 updates since the last step were not recorded")
    assert recorder.remarks()[0].startswith("1 steps had several updates")
    assert recorder.recording.updates == 32


def test_an_optimizer_that_takes_no_step_is_noticed() -> None:
    """The training was that of another one."""
    model = SmallNet()
    _, recorder = recorded(model)
    train(model, torch.optim.SGD(model.parameters(), lr=0.05), batches(5))

    with pytest.raises(UsageError, match="0 steps were recorded") as caught:
        recorder.evaluate(losses_on(TESTS))
    assert "the optimizer that was given" in str(caught.value.hint)


class Labelled(Dataset[tuple[torch.Tensor, int]]):
    """Images in memory."""

    def __init__(self) -> None:
        (self.x, self.y), *_ = batches(1, 64)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return self.x[place], int(self.y[place])


def test_a_loader_may_be_evaluated_on_while_it_is_iterated() -> None:
    """One whose workers last has but one epoch at a time: the loop's goes on nevertheless."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    loader = DataLoader(Labelled(), batch_size=8, num_workers=1, persistent_workers=True)
    for epoch in range(2):
        for number, batch in enumerate(loader, start=1):
            train(model, optimizer, iter([batch]))
            if number == 3:
                recorder.evaluate(losses_on(TESTS), loader)
        assert recorder.recording.steps == 8 * (epoch + 1)


class Wrapper(torch.optim.Optimizer):
    """Hands its steps on, and never calls PyTorch's constructor, as wrappers do."""

    def __init__(self, wrapped: torch.optim.Optimizer) -> None:
        self.wrapped, self.param_groups = wrapped, wrapped.param_groups


def test_an_optimizer_that_calls_no_hooks_is_refused() -> None:
    """At once, with what to give instead."""
    model = SmallNet()
    with pytest.raises(UsageError, match="Wrapper does not call hooks") as caught:
        normexp.record(model, Wrapper(torch.optim.SGD(model.parameters(), lr=0.05)))

    assert caught.value.hint == "give the optimizer inside"


@pytest.mark.parametrize("memory_mb", [256, 0])
def test_new_tensors_may_be_of_float64(memory_mb: float) -> None:
    """As scientific code sets it: average and model agree beyond float32."""
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model = SmallNet()
        optimizer, recorder = recorded(model, memory_mb=memory_mb)
        data = [(x.double(), y) for x, y in batches(80)]
        train(model, optimizer, iter(data))
        table = recorder.evaluate(losses_on(data[:4]), data[:8], momenta=[0.1])
    finally:
        torch.set_default_dtype(torch.float32)

    assert table["value"][1] == pytest.approx(table["value"][0], rel=1e-6)


def test_averages_begin_from_a_checkpoint_that_is_loaded_before_the_first_step() -> None:
    """As a loop that resumes loads it: a slow average is the twin's, but for the first batch."""
    torch.manual_seed(0)
    first, found = SmallNet(), {}
    train(first, torch.optim.SGD(first.parameters(), lr=0.05), batches(60))
    for momentum in (0.1, 0.01):
        model = SmallNet()
        optimizer, recorder = recorded(model)
        model.load_state_dict(first.state_dict())
        loaded = recorder.evaluate(losses_on(TESTS), momenta=[0.1])["value"]
        assert loaded[1] == pytest.approx(loaded[0])
        assert not recorder.remarks()
        for norm in batch_norms(model).values():
            norm.momentum = momentum
        train(model, optimizer, batches(20, seed=1))
        found[momentum] = recorder.evaluate(losses_on(TESTS), momenta=[0.1, 0.01])["value"]

    assert found[0.1][1] == pytest.approx(found[0.1][0], rel=1e-6)
    assert found[0.1][2] == pytest.approx(found[0.01][0], rel=0.1)
