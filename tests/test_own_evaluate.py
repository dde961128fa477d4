"""The table and the verdict for a user's own network, against twins that train at each momentum."""

import math
from copy import deepcopy

import pytest
import torch
from own_nets import SmallNet, batches, loss_of, losses_on, recorded, train
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset

import normexp
from normexp.errors import UsageError
from normexp.own.layers import batch_norms
from normexp.own.recorder import Recorder

TESTS = list(batches(4, seed=9))
TRAINING = list(batches(12, seed=0))
STEPS = 60


def trained(
    momentum: float = 0.1, steps: int = STEPS, **settings: object
) -> tuple[SmallNet, Recorder]:
    """A network after some steps with this momentum; the weights never depend on it."""
    torch.manual_seed(0)
    model = SmallNet()
    for norm in batch_norms(model).values():
        norm.momentum = momentum
    optimizer, recorder = recorded(model, **settings)
    train(model, optimizer, batches(steps))
    return model, recorder


@pytest.mark.parametrize(("steps", "memory_mb"), [(STEPS, 256), (200, 0)])
def test_the_table_agrees_with_a_twin_at_every_momentum(steps: int, memory_mb: float) -> None:
    """Weights equal to the bit, losses to 1e-5; of pooled updates within the error that is said."""
    model, recorder = trained(steps=steps, memory_mb=memory_mb)
    table = recorder.evaluate(losses_on(TESTS), TRAINING)
    averages = table[table["estimator"] == "ema"].set_index("momentum")
    losses, bounds = averages["value"].to_dict(), averages["l1"].to_dict()
    for momentum in (0.01, 0.03, 0.3, 1.0):
        twin, _ = trained(momentum, steps)
        twin_loss = float(losses_on(TESTS)(twin.train(mode=False)).mean())

        for name, weight in model.named_parameters():
            assert torch.equal(weight, twin.get_parameter(name))
        assert losses[momentum] == pytest.approx(twin_loss, abs=1e-5 + 10 * bounds[momentum])
        assert (bounds[momentum] > 0) == (steps > STEPS and momentum < 1)
    named = table.set_index("estimator")["value"]
    assert named["own"] == pytest.approx(losses[0.1], abs=0.003)
    expected = table["value"] - named["population"]
    assert table["excess"].to_list() == pytest.approx(expected.to_list())


def test_references_are_what_pytorch_gives() -> None:
    """The population as PyTorch's `update_bn` averages it, each batch's own as training mode."""
    model, recorder = trained()
    one = [(torch.cat([x for x, _ in TRAINING]), torch.cat([y for _, y in TRAINING]))]
    table = recorder.evaluate(losses_on(TESTS), one).set_index("estimator")["value"]
    twin = deepcopy(model)
    update_bn(one, twin)
    score = losses_on(TESTS)

    assert table["population"] == pytest.approx(
        float(score(twin.train(mode=False)).mean()), rel=1e-6
    )
    assert table["batch"] == pytest.approx(float(score(twin.train()).mean()), rel=1e-6)


def test_a_model_is_left_as_it_was() -> None:
    """After tables, verdicts and a score that raises: buffers, modes, random numbers."""
    model, recorder = trained()
    model.norm1.train(mode=False)
    x, y = (torch.cat(each) for each in zip(*TRAINING, strict=True))
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    before, drawn = deepcopy(model.state_dict()), torch.get_rng_state()

    def fails(net: nn.Module) -> float:
        net.train()
        net(torch.rand(4, 1, 10, 10))
        raise RuntimeError("no")

    recorder.evaluate(losses_on(TESTS), loader, data={"tests": TESTS})
    recorder.verdict()
    with pytest.raises(RuntimeError, match="no"):
        recorder.evaluate(fails, loader)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert (model.training, model.norm1.training) == (True, False)
    assert model.norm1.momentum == 0.1
    assert not any(parameter.requires_grad is False for parameter in model.parameters())


def test_scores_may_have_names() -> None:
    """The first is judged; an accuracy may be told to be better where it is higher."""
    _, recorder = trained(0.01)

    def scores(model: nn.Module) -> dict[str, object]:
        x, y = TESTS[0]
        answers = model(x)
        right = (answers.argmax(1) == y).double()
        return {"accuracy": right, "loss": nn.functional.cross_entropy(answers, y).item()}

    table = recorder.evaluate(scores, TRAINING, higher_is_better=True)
    verdict = recorder.verdict()

    assert list(table)[2:6] == ["accuracy", "loss", "excess", "interval"]
    assert verdict.metric == "accuracy"
    assert verdict.value == pytest.approx(verdict.weights + verdict.statistics)
    best = table[table["estimator"] == "ema"].sort_values("accuracy").iloc[-1]
    assert verdict.momentum["value"] == best["accuracy"]


def test_mixes_run_from_the_population_to_another_data_set() -> None:
    """AdaBN's curve: at share 1 they are that data set's statistics."""
    model, recorder = trained()
    far = [(3 * x + 1, y) for x, y in TESTS]
    sets = {"far": far, "near": TRAINING}
    table = recorder.evaluate(losses_on(far), TRAINING, data=sets)
    near, mixes = table[table["data"] == "near"], table[table["data"] == "far"]
    twin = deepcopy(model)
    update_bn(far, twin)
    expected = float(losses_on(far)(twin.train(mode=False)).mean())

    assert mixes["share"].to_list() == [0.1, 0.25, 0.5, 0.75, 1.0]
    population = float(table.set_index("estimator")["value"]["population"])
    assert near["value"].to_list() == pytest.approx([population] * 5)
    assert mixes["value"].iloc[-1] == pytest.approx(expected, rel=0.05)  # update_bn averages parts
    assert mixes["value"].iloc[-1] < population


def test_an_average_of_weights_has_three_ways() -> None:
    """Its own buffers, the recorded averages, and the population of its own weights."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    of_weights = get_ema_multi_avg_fn(0.9)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=of_weights, use_buffers=True)
    for batch in batches(30):
        optimizer.zero_grad()
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update_parameters(model)
    table = recorder.evaluate(losses_on(TESTS), TRAINING, model=average).set_index("estimator")
    score, twin = losses_on(TESTS), deepcopy(average)
    own = float(score(twin.train(mode=False)).mean())
    twin.module.load_state_dict(
        {
            **twin.module.state_dict(),
            **{k: v for k, v in model.state_dict().items() if "running" in k},
        }
    )
    recorded_way = float(score(twin).mean())
    verdict = recorder.verdict()

    assert table["value"]["own"] == pytest.approx(own, rel=1e-6)
    at_own = table[table["momentum"] == 0.1].loc["ema", "value"]
    assert at_own == pytest.approx(recorded_way, rel=1e-5)
    assert len({own, recorded_way, table["value"]["population"]}) == 3
    assert verdict.weights == table["value"]["population"]
    assert not recorder.evaluations  # none of the recorded model
    with pytest.raises(UsageError, match="model= has other batch norms"):
        recorder.evaluate(score, TRAINING, model=nn.Sequential(nn.BatchNorm1d(3)))


def test_the_verdict_splits_the_loss_and_names_layers() -> None:
    """Loss = weights + statistics; the spoilt layer comes first; parts add up to the error."""
    model, recorder = trained(0.3)
    recorder.evaluate(losses_on(TESTS), TRAINING)
    healthy = recorder.verdict(blame=False)
    with torch.no_grad():
        model.norm2.running_mean.add_(3.0)  # type: ignore[operator]
    recorder.evaluate(losses_on(TESTS), TRAINING)
    verdict = recorder.verdict()

    assert verdict.value == pytest.approx(verdict.weights + verdict.statistics)
    assert verdict.statistics > healthy.statistics + 0.1
    assert verdict.to_blame
    assert verdict.layers[0]["layer"] == "norm2"
    assert verdict.as_dict()["layers"][0]["cost"] == verdict.layers[0]["cost"] > 0
    assert healthy.layers == []
    assert 'next: recorder.apply("population")' in str(verdict)
    assert "norm2" in str(verdict)
    assert math.isfinite(verdict.interval)


def test_statistics_are_applied_and_taken_back() -> None:
    """The population's, or those of a momentum; to the bit."""
    model, recorder = trained()
    table = recorder.evaluate(losses_on(TESTS), TRAINING)
    before = deepcopy(model.state_dict())
    score, expected = losses_on(TESTS), table.set_index(["estimator", "momentum"])["value"]
    handle = recorder.apply("population")
    at_population = float(score(model.train(mode=False)).mean())
    handle.undo()
    handle = recorder.apply(momentum=0.03)
    at_momentum = float(score(model).mean())
    handle.undo()

    assert at_population == pytest.approx(expected.xs("population").item(), rel=1e-6)
    assert at_momentum == pytest.approx(expected.xs(("ema", 0.03)).item(), rel=1e-6)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_what_cannot_be_asked_is_refused() -> None:
    """In a line that says what to do."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(2))
    with pytest.raises(UsageError, match="there is nothing to judge by"):
        recorder.verdict()
    recorder.evaluate(losses_on(TESTS))
    for wrong in (recorder.verdict, lambda: recorder.apply("population")):
        with pytest.raises(UsageError, match="there is nothing to judge by"):
            wrong()
    with pytest.raises(UsageError, match="does not name one estimator"):
        recorder.apply()
    for momentum in (0, 1.5):
        with pytest.raises(UsageError, match="not above 0 and at most 1"):
            recorder.evaluate(losses_on(TESTS), momenta=[momentum])
    with pytest.raises(UsageError, match="the loader gave no batch"):
        recorder.evaluate(losses_on(TESTS), [])


def test_the_error_of_pooled_updates_stands_beside_each_number() -> None:
    """Once there are so many that memory runs out."""
    model = SmallNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    recorder = normexp.record(model, optimizer, memory_mb=0.02)
    train(model, optimizer, batches(5))
    early = recorder.evaluate(losses_on(TESTS), momenta=[0.01, 0.2])
    train(model, optimizer, batches(120))
    late = recorder.evaluate(losses_on(TESTS), momenta=[0.01, 0.2])

    assert early["relative"].to_list() == [0] * len(early)
    assert all(late["relative"].iloc[1:3].to_numpy() > 0)
    assert all(late["relative"].to_numpy() < 0.01)


def test_a_population_is_noted_at_the_update_of_now() -> None:
    """Steps that have not been looked at count."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(5))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    train(model, optimizer, batches(5, seed=1))
    recorder.verdict(blame=False)

    assert list(recorder.evaluations) == [5, 10]


def test_a_verdict_is_of_the_model_as_it_is() -> None:
    """Statistics and weights may have changed between two steps; else nothing is evaluated."""
    model, recorder = trained()
    calls = []

    def score(net: nn.Module) -> torch.Tensor:
        calls.append(1)
        return losses_on(TESTS)(net)

    recorder.evaluate(score, TRAINING)
    at_own, asked = recorder.verdict(blame=False), len(calls)
    recorder.verdict()
    again = len(calls) - asked
    handle = recorder.apply("population")
    applied = recorder.verdict(blame=False)
    handle.undo()

    assert again == 3  # one a layer, for the blame
    assert at_own.statistics != 0
    assert applied.statistics == pytest.approx(0, abs=1e-6)
    assert recorder.verdict(blame=False).statistics == pytest.approx(at_own.statistics)
    with torch.no_grad():
        model.head[3].weight.mul_(2)  # type: ignore[operator]
    assert recorder.verdict(blame=False).weights != pytest.approx(at_own.weights)


def test_training_data_may_be_a_tensor() -> None:
    """Its rows are the batches."""
    _, recorder = trained()
    table = recorder.evaluate(losses_on(TESTS), torch.stack([x for x, _ in TRAINING]))

    assert "population" in set(table["estimator"])


@pytest.mark.parametrize("memory_mb", [0, 256])
def test_a_curve_begins_before_the_first_step(memory_mb: float) -> None:
    """Averages are what the model has, the references those of its weights."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model, memory_mb=memory_mb)
    table = recorder.evaluate(losses_on(TESTS), TRAINING).set_index("estimator")["value"]
    verdict = recorder.verdict()
    score, twin = losses_on(TESTS), deepcopy(model)
    update_bn([(torch.cat([x for x, _ in TRAINING]),)], twin)
    initial = float(score(deepcopy(model).train(mode=False)).mean())
    moved = float(score(twin.train(mode=False)).mean())
    train(model, optimizer, batches(2))
    recorder.evaluate(losses_on(TESTS), TRAINING)

    for estimator in ("own", "ema", "debiased", "cumulative", "window"):
        assert table[[estimator]].to_list() == pytest.approx([initial] * len(table[[estimator]]))
    assert table["population"] == pytest.approx(moved, rel=0.02)  # of one large batch
    assert table["batch"] == pytest.approx(float(score(twin.train()).mean()), rel=1e-6)
    assert verdict.step == 0
    assert [each.mean["initial"] for each in verdict.budget] == pytest.approx(
        [each.mean_error for each in verdict.budget]
    )
    assert list(recorder.evaluations) == [0, 2]
