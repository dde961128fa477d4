"""`normexp audit`: a finished model's score, split between weights and running statistics."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from own_nets import Batch, SmallNet, batches, losses_on, train
from torch import nn
from typer.testing import Result

from normexp.own.audit import SHARES, audit
from normexp.own.evaluate import Question

Normexp = Callable[..., Result]

SOURCE = """
import sys

import torch
from own_nets import SmallNet, batches, losses_on, train

def make():
    torch.manual_seed(0)
    model = SmallNet()
    train(model, torch.optim.SGD(model.parameters(), 0.1), batches(40))
    model.norm2.running_var.mul_({factor})
    return model, [*batches(10)], losses_on([*batches(5, seed=1)])

def accuracy():
    model, data, _ = make()
    x, y = next(batches(1, 64, seed=1))
    return model, data, lambda model: {{"accuracy": (model(x).argmax(1) == y).float().mean()}}

def others():
    model, data, score = make()
    given = [{{"image": x}} for x, _ in data]
    return model, given, score, lambda model, batch: model(batch["image"])

def three():
    return 3

def pieces():
    return 1, 2, 3

def fails():
    raise ValueError("no data here")

def ends():
    sys.exit(0)

def ends_later():
    return SmallNet(), [*batches(1)], lambda model: sys.exit("enough")

def parses():
    import argparse
    argparse.ArgumentParser().parse_args()
    print("made")
    model, data, score = make()
    return model, data, lambda model: (print("scored"), score(model))[1]

def endless():
    from itertools import cycle
    model, data, score = make()
    return model, cycle(data), score

def one_left():
    model, data, score = make()
    return model, [*data, *batches(1, 1)], score

def fails_later():
    return SmallNet(), [*batches(1)], lambda model: model.nothing
"""
"""A user's file; one layer's variance is as many times too large."""


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], str]:
    """Writes the file, and returns its name."""
    monkeypatch.setattr("sys.path", [str(Path(__file__).parent), *__import__("sys").path])

    def write(factor: float) -> str:
        Path("mine.py").write_text(SOURCE.format(factor=factor))
        return "mine.py"

    return write


def trained(factor: float = 25) -> SmallNet:
    """A small network, one layer's variance as many times too large."""
    torch.manual_seed(0)
    model = SmallNet()
    train(model, torch.optim.SGD(model.parameters(), 0.1), batches(40))
    model.norm2.running_var.mul_(factor)  # type: ignore[operator]
    return model


def asked(model: nn.Module, data: list[Batch], score: Callable[[Any], torch.Tensor]) -> Question:
    """A loss is asked for."""
    return Question(score, data, None, {}, model, (), higher_is_better=False)


def with_values(model: nn.Module, data: list[Batch], share: float) -> nn.Module:
    """A copy in evaluation mode whose statistics are mixed with those of all values, by hooks."""
    watched, seen = copy.deepcopy(model).train(), dict[str, list[torch.Tensor]]()
    for name, norm in watched.named_modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):

            def see(_: nn.Module, given: tuple[torch.Tensor, ...], name: str = name) -> None:
                seen.setdefault(name, []).append(given[0].transpose(0, 1).flatten(1))

            norm.register_forward_pre_hook(see)
    with torch.no_grad():
        for x, _ in data:
            watched(x)
    mixed = copy.deepcopy(model).eval()
    for name, parts in seen.items():
        norm, whole = mixed.get_submodule(name), torch.cat(parts, 1)
        norm.running_mean.lerp_(whole.mean(1), share)  # type: ignore[operator]
        norm.running_var.lerp_(whole.var(1), share)  # type: ignore[operator]
    return mixed


def test_scores_are_those_of_plain_pytorch() -> None:
    """Under the model's own statistics, the population's, and every mix of both."""
    model, data, score = trained(), [*batches(10)], losses_on([*batches(5, seed=1)])
    found, verdict = audit(asked(model, data, score))
    table = found.frame().set_index("estimator")
    with torch.no_grad():
        expected = [
            score(with_values(model, data, share)).mean().item() for share in (0, *SHARES, 1)
        ]

    assert [
        table["value"]["own"], *table["value"]["mix"], table["value"]["population"]
    ] == pytest.approx(expected, rel=1e-4)  # fmt: skip
    assert verdict.value == pytest.approx(verdict.weights + verdict.statistics)
    assert verdict.weights == pytest.approx(expected[-1], rel=1e-4)
    assert verdict.layers[0]["layer"] == "norm2"
    assert verdict.layers[0]["cost"] > 10 * verdict.layers[1]["cost"]


def test_the_model_is_left_as_it_was() -> None:
    """Buffers, modes and random numbers."""
    model = trained()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    audit(asked(model, [*batches(2)], losses_on([*batches(1)])))

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(each.training for each in model.modules())
    assert torch.equal(random, torch.get_rng_state())


def test_nan_statistics_are_to_blame() -> None:
    """A loss of NaN is no small one."""
    model = trained()
    model.norm1.running_mean.fill_(torch.nan)  # type: ignore[operator]
    _, verdict = audit(asked(model, [*batches(2)], losses_on([*batches(1)])))

    assert verdict.to_blame


@pytest.mark.parametrize(
    ("factor", "options", "code"),
    [
        (25, [], 1), (1, ["--tolerance", "0.5"], 0),
        (25, ["--tolerance", "1000"], 0), (25, ["--tolerance", "0.01"], 1),
    ],
)  # fmt: skip
def test_the_exit_code_says_whether_statistics_cost_too_much(
    factor: float, options: list[str], code: int, mine: Callable[[float], str], normexp: Normexp
) -> None:
    """More than the interval, or the tolerance; the verdict says the same in words."""
    result = normexp("audit", f"{mine(factor)}:make", *options)

    assert result.exit_code == code, result.stderr
    assert ("the running statistics are to blame" in result.stdout) == bool(code)
    assert ("next: normexp.recalibrate(model, train_loader)" in result.stdout) == bool(code)


def test_help_says_what_a_tolerance_is_measured_in(normexp: Normexp) -> None:
    """It is no share."""
    assert "in units of the score" in " ".join(normexp("audit", "--help").stdout.split())


def verdict_of(result: Result) -> Any:  # noqa: ANN401
    """The verdict as data."""
    return json.loads(result.stdout)["verdict"]


@pytest.mark.parametrize("said", [["--higher-is-better"], []])
def test_an_accuracy_falls(mine: Callable[[float], str], normexp: Normexp, said: list[str]) -> None:
    """Statistics take something away from it; its name says that higher is better."""
    target = f"{mine(400)}:accuracy"
    found = verdict_of(normexp("audit", target, *said, "--json"))

    assert found["metric"] == "accuracy"
    assert found["to_blame"]
    assert found["statistics"] < 0 < found["layers"][0]["cost"]


def test_other_batches_and_a_checkpoint(mine: Callable[[float], str], normexp: Normexp) -> None:
    """A fourth thing that is returned calls the model; weights come from a file."""
    torch.save({"ema": {"shadow": trained(400).state_dict()}}, "best.pt")
    plain = verdict_of(normexp("audit", f"{mine(400)}:make", "--json"))
    loaded = verdict_of(normexp("audit", f"{mine(1)}:others", "--checkpoint", "best.pt", "--json"))

    assert loaded == plain


def test_what_the_users_code_prints_spoils_no_json(
    mine: Callable[[float], str], normexp: Normexp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to stderr; and the code sees none of the command's own arguments."""
    monkeypatch.setattr("sys.argv", ["normexp", "audit", "mine.py:parses", "--json"])
    plain = normexp("audit", f"{mine(1)}:make", "--json")
    result = normexp("audit", "mine.py:parses", "--json")

    assert verdict_of(result) == verdict_of(plain)
    assert "made" in result.stderr
    assert "scored" in result.stderr


def test_of_an_endless_loader_some_batches_are_taken(
    mine: Callable[[float], str], normexp: Normexp
) -> None:
    """As many as asked for: here all of the list that it repeats."""
    plain = verdict_of(normexp("audit", f"{mine(25)}:make", "--json"))
    endless = verdict_of(normexp("audit", "mine.py:endless", "--batches", "10", "--json"))

    assert endless == plain


def test_a_state_dict_without_counts_is_loaded(
    mine: Callable[[float], str], normexp: Normexp
) -> None:
    """PyTorch takes it too: files from before 0.4.1 have none."""
    state = {name: v for name, v in trained(400).state_dict().items() if "num_batches" not in name}
    torch.save(state, "old.pt")
    plain = verdict_of(normexp("audit", f"{mine(400)}:make", "--json"))
    mine(1)
    loaded = verdict_of(normexp("audit", "mine.py:make", "--checkpoint", "old.pt", "--json"))

    assert loaded == plain


REFUSED = {
    "mine.py": "'mine.py' is no function in a file",
    "none.py:make": "'none.py:make' is no function in a file",
    "mine.py:mak": "function 'mak' is unknown",
    "mine.py:three": "mine.py:three returned int",
    "mine.py:pieces": "returned no module first",
    "mine.py:fails": "mine.py:fails: ValueError: no data here",
    "mine.py:fails_later": "mine.py:fails_later: AttributeError",
    "mine.py:ends": "mine.py:ends: it ended itself: SystemExit: 0",
    "mine.py:ends_later": "mine.py:ends_later: it ended itself: SystemExit: enough",
    "mine.py:one_left": "batch 11 has one example",
    "mine.py:make --checkpoint other.pt": "it lacks conv1.weight and has weight besides",
    "mine.py:make --checkpoint wide.pt": "wide.pt is not of this model",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_what_makes_no_sense_is_refused(
    typed: str, mine: Callable[[float], str], normexp: Normexp
) -> None:
    """One line, exit code 2, no traceback."""
    mine(1)
    torch.save(nn.Linear(2, 2).state_dict(), "other.pt")
    torch.save({name: value[None] for name, value in SmallNet().state_dict().items()}, "wide.pt")
    result = normexp("audit", *typed.split())

    assert result.exit_code == 2
    assert REFUSED[typed] in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
