"""`normexp lint A B`: which statistics moved between two states of a model, and which weights."""

import json
from collections.abc import Callable

import pytest
import torch
from lint_nets import norm, notes, train, trained
from torch import nn
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]
Spoil = Callable[[nn.Sequential], object]


def saved(model: nn.Module, name: str, **more: object) -> str:
    """Write a checkpoint, and return its name."""
    torch.save({"state_dict": model.state_dict(), **more}, name)
    return name


def test_two_checkpoints_say_what_has_moved(normexp: Normexp) -> None:
    """By layer: the mean in σ, the variance, batches and weights."""
    model = trained()
    first = saved(model, "first.pt")
    before = norm(model).running_mean.clone()  # type: ignore[union-attr]
    spread = norm(model).running_var.sqrt()  # type: ignore[union-attr]
    train(model, 3)
    shown, data = (normexp("lint", first, saved(model, "second.pt"), *e) for e in ((), ["--json"]))
    report = json.loads(data.stdout)
    move = report["moves"]["layers"][0]
    expected = ((norm(model).running_mean - before) / spread).square().mean().sqrt()  # type: ignore[operator]

    assert shown.exit_code == data.exit_code == 0
    assert "statistics moved in 2 of 2 layers; 8 of 8 weights moved" in shown.stdout
    assert move["batches"] == 3
    assert move["is_moved"]
    assert move["mean"] == pytest.approx(expected.item(), rel=1e-3)


def frozen(model: nn.Sequential) -> None:
    """Train with one layer's statistics frozen."""
    norm(model).eval()
    train(model)


def stalled(model: nn.Sequential) -> None:
    """Train with momentum 0."""
    norm(model).momentum = 0
    train(model)


def passed(model: nn.Sequential) -> None:
    """Evaluate in training mode."""
    model(torch.randn(16, 3, 8, 8))


@pytest.mark.parametrize(
    ("then", "severity", "rule"),
    [
        (frozen, "note", "left_behind"),
        (stalled, "fault", "stuck"),
        (passed, "note", "recomputed"),
        (lambda model: model.__setitem__(1, nn.Identity()), "fault", "gone"),
    ],
)
def test_what_moved_alone_is_named(then: Spoil, severity: str, rule: str) -> None:
    """Weights without statistics, counts without statistics, statistics without weights."""
    model = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    then(model)
    report = package.lint(before, model.state_dict())

    assert {(each.severity, each.rule) for each in report.findings} == {(severity, rule)}


def test_a_copy_in_half_precision_has_not_moved() -> None:
    """Rounding is no step."""
    state = trained().state_dict()
    halved = {name: v.half() if v.is_floating_point() else v for name, v in state.items()}
    report = package.lint(state, halved)

    assert report.moves is not None
    assert report.moves.weights_moved == 0
    assert not any(each.is_moved for each in report.moves.layers)
    assert notes(report) == {"half_precision"}


def test_two_networks_are_refused(normexp: Normexp) -> None:
    """One line, and exit code 2."""
    saved(trained(), "one.pt")
    torch.save(nn.BatchNorm1d(5).state_dict(), "other.pt")
    result = normexp("lint", "one.pt", "other.pt")

    assert result.exit_code == 2
    assert "no batch norm of one name and size in common" in result.stderr
