"""`normexp lint`: one spoilt network a rule, each fault named, and nothing said of a sound one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from lint_nets import faults, network, norm, notes, trained
from torch import nn
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]
State = dict[str, torch.Tensor]
Spoil = Callable[[nn.Sequential], object]

FIRST = "1"
"""The name of the batch norm that is spoilt, of two."""


def fill(name: str, value: float, channels: slice = slice(None)) -> Spoil:
    """Overwrite entries of a buffer."""

    def spoil(model: nn.Sequential) -> None:
        buffer = getattr(norm(model), name)
        if name == "num_batches_tracked":
            buffer.fill_(value)
        else:
            buffer[channels] = value

    return spoil


def put(name: str, value: object) -> Spoil:
    """Set an attribute of the batch norm."""
    return lambda model: setattr(norm(model), name, value)


def stop_the_mean(model: nn.Sequential) -> None:
    """Lose one of two buffers, as an average of some of them does."""
    norm(model).running_mean.zero_()  # type: ignore[union-attr]


def shared(model: nn.Sequential) -> None:
    """Take one batch norm at two places."""
    model[3] = nn.Conv2d(8, 8, 3, bias=False)
    model[4] = model[1]


SPOILT: dict[str, tuple[str, Spoil]] = {
    "buffers lost": ("untouched", lambda model: norm(model).reset_running_stats()),
    "mean lost": ("untouched", stop_the_mean),
    "NaN": ("not_finite", fill("running_mean", torch.nan, slice(2))),
    "inf": ("not_finite", fill("running_var", torch.inf, slice(1))),
    "negative": ("negative_variance", fill("running_var", -1e-3, slice(3))),
    "zero": ("no_variance", fill("running_var", 0)),
    "momentum above 1": ("momentum_range", put("momentum", 1.5)),
    "bfloat16": ("half_precision", lambda model: norm(model).bfloat16()),
    "float16": ("half_precision", lambda model: norm(model).half()),
    "momentum of Keras": ("momentum_large", put("momentum", 0.99)),
    "momentum below 0": ("momentum_range", put("momentum", -0.1)),
    "momentum NaN": ("momentum_range", put("momentum", torch.nan)),
    "cumulative, not counted": ("uncounted", lambda model: (
        fill("num_batches_tracked", 0)(model), put("momentum", None)(model)
    )),
    "left in training mode": ("left_training", lambda model: norm(model.eval()).train()),
    "shared": ("shared", shared),
}  # fmt: skip
"""A spoilt module each, and the rule that finds it at fault."""

LOST = {"buffers lost", "mean lost", "NaN", "inf", "negative", "zero"}
"""Those that a state dict shows too."""

NOTED: dict[str, tuple[str, Spoil]] = {
    "momentum 0": ("momentum_zero", put("momentum", 0.0)),
    "momentum None": ("momentum_none", put("momentum", None)),
    "momentum 0.6": ("momentum_large", put("momentum", 0.6)),
    "eps of TensorFlow": ("eps_port", put("eps", 1e-3)),
    "converted": ("uncounted", fill("num_batches_tracked", 0)),
    "tiny": ("below_eps", fill("running_var", 1e-9)),
    "dead channels": ("dead_channels", fill("running_var", 0, slice(2))),
    "frozen": ("frozen", lambda model: norm(model).eval()),
    "half precision, evaluated": ("half_precision", lambda model: norm(model.eval()).half()),
    "new layer": ("fresh", lambda model: model.__setitem__(1, nn.BatchNorm2d(8))),
    "no statistics": ("no_statistics", lambda model: model.__setitem__(
        1, nn.BatchNorm2d(8, track_running_stats=False)
    )),
    "softmax": ("before_softmax", lambda model: model.extend(
        [nn.BatchNorm1d(3), nn.Softmax(1)]
    )),
    "bias": ("after_bias", lambda model: model.__setitem__(0, nn.Conv2d(3, 8, 3))),
}  # fmt: skip
"""Modules that may be meant so, and the rule that mentions it."""


def test_nothing_is_said_of_a_sound_network() -> None:
    """Neither as a module in either mode nor as a state dict."""
    model = trained()

    for given in (model, model.state_dict(), model.eval()):
        assert package.lint(given).findings == []


@pytest.mark.parametrize("case", SPOILT)
def test_a_fault_is_named(case: str) -> None:
    """Its rule and layer, and no other rule's."""
    rule, spoil = SPOILT[case]
    model = trained()
    spoil(model)
    report = package.lint(model)

    assert faults(report) == {rule}
    assert {each.layer for each in report.faults} == {FIRST}
    assert all(each.costs and each.to_do and each.found for each in report.findings)


@pytest.mark.parametrize("case", sorted(LOST))
def test_a_fault_of_a_file_is_named(case: str, normexp: Normexp, tmp_path: Path) -> None:
    """Exit code 1, the layer, the number, and what to type; with a line of JSON a finding."""
    rule, spoil = SPOILT[case]
    model = trained()
    spoil(model)
    torch.save({"epoch": 3, "model": model.state_dict()}, tmp_path / "spoilt.pt")
    shown, data = normexp("lint", "spoilt.pt"), normexp("lint", "spoilt.pt", "--json")
    (found,) = json.loads(data.stdout)["findings"]

    assert shown.exit_code == data.exit_code == 1
    assert found["rule"] == rule
    assert found["layer"] == FIRST
    assert found["found"] in shown.stdout
    assert "faults: 1, notes: 0" in shown.stdout


@pytest.mark.parametrize("case", NOTED)
def test_something_that_may_be_meant_is_a_note(case: str) -> None:
    """No fault, and the rule."""
    rule, spoil = NOTED[case]
    model = trained()
    spoil(model)
    report = package.lint(model)

    assert faults(report) == set()
    assert rule in notes(report)


def test_a_momentum_of_0_is_a_fault_of_a_new_layer() -> None:
    """It will never have statistics."""
    assert faults(package.lint(nn.Sequential(nn.BatchNorm1d(3, momentum=0)))) == {"momentum_zero"}


def test_a_layer_that_was_frozen_before_it_saw_a_batch_is_at_fault() -> None:
    """It normalises neither now nor later."""
    model = network()
    norm(model).eval()

    assert faults(package.lint(model)) == {"frozen_new"}


def test_a_missing_buffer_is_a_fault() -> None:
    """Running mean without running variance, as a filter by name leaves it."""
    state = dict(trained().state_dict())
    del state["1.running_var"]

    assert faults(package.lint(state)) == {"one_missing"}


def test_statistics_that_were_folded_into_scale_and_shift_are_a_note() -> None:
    """Frozen batch norms of detectors have 0 and 1, and never counted a batch."""
    model = trained()
    norm(model).reset_running_stats()
    state = {name: v for name, v in model.state_dict().items() if "num_batches" not in name}
    report = package.lint(state)

    assert faults(report) == set()
    assert notes(report) == {"folded"}


@pytest.mark.parametrize("is_drawn", [False, True])
def test_a_new_network_has_no_fault(*, is_drawn: bool) -> None:
    """Scales that are drawn, as in DCGAN, are no sign of training."""
    model = network()
    if is_drawn:
        nn.init.normal_(norm(model).weight, 1, 0.02)

    for report in (package.lint(model), package.lint(model.state_dict())):
        assert faults(report) == set()
        assert notes(report) == {"fresh"}


def test_passes_without_a_step_are_noted() -> None:
    """Statistics have moved, scale and shift have not."""
    model = network()
    for _ in range(3):
        model(torch.randn(16, 3, 8, 8))

    assert notes(package.lint(model.state_dict())) == {"weights_still"}


def test_a_part_under_two_names_is_noted() -> None:
    """Siamese networks share more than a batch norm."""
    model = trained()
    pair = nn.ModuleDict({"left": model, "right": model})
    report = package.lint(pair)

    assert faults(report) == set()
    assert notes(report) == {"shared_part"}


def test_a_layer_under_two_names_is_noted() -> None:
    """It may be called once, by one of them."""
    model = nn.Module()
    whole = trained()
    model.norm, model.body = whole[1], whole
    report = package.lint(model)

    assert faults(report) == set()
    assert notes(report) == {"shared_part"}


def test_names_that_would_be_alike_stay_whole() -> None:
    """A part of the user's may be called as a wrapper calls its own."""
    model = nn.Module()
    model.norm, model.module = nn.BatchNorm1d(3, momentum=2), nn.Module()
    model.module.norm = nn.BatchNorm1d(4, momentum=2)

    for given in (model, model.state_dict()):
        assert {each.layer for each in package.lint(given).findings} == {"norm", "module.norm"}


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch.compile's own
def test_names_are_those_of_the_users_module() -> None:
    """Neither `torch.compile` nor data parallel wrappers add to them."""
    model = trained()
    norm(model).reset_running_stats()
    wrapped = nn.DataParallel(model)

    compiled = cast("nn.Module", torch.compile(model))

    for given in (compiled, wrapped, wrapped.state_dict()):
        assert [each.layer for each in package.lint(given).faults] == [FIRST]
