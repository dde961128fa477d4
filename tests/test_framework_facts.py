"""What the table of frameworks says, against PyTorch's layers and the sources of others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import Result

from normexp.frameworks.convert import variance_ratio
from normexp.frameworks.preset import fields_of, presets
from normexp.frameworks.table import FRAMEWORKS

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]

PRESETS = Path(__file__).parents[1] / "configs/norm/framework"
IMAGES = 2 + torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def what_differs(as_json: AsJson, *arguments: str) -> dict[str, tuple[str, str, str]]:
    """Both sides and the advice, by what differs."""
    found = as_json("convert", *arguments)["differences"]
    return {each["what"]: (each["source"], each["target"], each["todo"]) for each in found}


@pytest.mark.parametrize(("momentum", "typed"), [(None, "None"), (0.0, "0"), (0.25, "0.25")])
def test_none_of_instance_norm_is_zero(as_json: AsJson, momentum: float | None, typed: str) -> None:
    """As the layer does it: None leaves the statistics at (0, 1), and so does momentum 0."""
    layer = nn.InstanceNorm2d(3, momentum=momentum, track_running_stats=True)  # type: ignore[arg-type]
    layer(IMAGES)
    assert layer.running_mean is not None
    share = float((layer.running_mean / IMAGES.mean((0, 2, 3))).mean())
    answer = as_json("convert", typed, "--from", "torch_instance", "--to", "torch")

    assert answer["newest"] == pytest.approx(share, abs=1e-6)
    assert answer["given"] == f"momentum={typed}"
    assert answer["typed"] == f"momentum={momentum or 0:g}"


@pytest.mark.parametrize("word", ["null", "None", "cumulative"])
def test_no_number_gives_instance_norm_the_cumulative_mean(
    normexp: Normexp, as_json: AsJson, word: str
) -> None:
    """PyTorch's BatchNorm has it by None; here the momentum must be set anew at every step."""
    answer = as_json("convert", word, "--from", "torch", "--to", "torch_instance")
    refused = normexp("convert", "cumulative", "--from", "torch_instance")
    differing = {each["what"]: each["target"] for each in answer["differences"]}

    assert answer["typed"] == "momentum=1/t at step t = 1, 2, ..."
    assert differing["cumulative mean"] == "no value"
    assert refused.exit_code == 2
    assert "has no momentum=cumulative" in refused.stderr


def test_one_value_raises_in_evaluation_only_without_running_statistics(as_json: AsJson) -> None:
    """Of instance norm; in training always."""
    one = torch.ones(4, 3, 1)
    for tracks in (False, True):
        layer = nn.InstanceNorm1d(3, track_running_stats=tracks)
        with pytest.raises(ValueError, match="more than 1 spatial element"):
            layer.train()(one)
        if tracks:
            assert layer.eval()(one).shape == one.shape
        else:
            with pytest.raises(ValueError, match="more than 1 spatial element"):
                layer.eval()(one)

    _, said, _ = what_differs(as_json, "0.1", "--to", "torch_instance")["one value a channel"]
    assert said == "ValueError, in evaluation only without running statistics"


def test_sync_batch_norm_alone_is_batch_norm(as_json: AsJson) -> None:
    """On a CPU, without a process group: it trains, and averages the unbiased variance."""
    sync, plain = nn.SyncBatchNorm(3), nn.BatchNorm2d(3)
    torch.testing.assert_close(sync(IMAGES), plain(IMAGES))
    assert sync.running_var is not None
    unbiased = IMAGES.transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(sync.running_var, 0.9 + 0.1 * unbiased)

    (each,) = [each for each in as_json("convert") if each["name"] == "torch_sync"]
    assert each["averages"] == "unbiased"
    assert "Without a process group it is PyTorch's BatchNorm" in each["remarks"]
    assert set(what_differs(as_json, "0.1", "--to", "torch_sync")) == {"one value a channel"}


@pytest.mark.parametrize(
    ("source", "target", "both", "advice"),
    [
        ("mxnet", "torch", ("shift alone, fix_gamma=True", "both"), "train shift alone"),
        ("gluon", "mxnet", ("both", "shift alone, fix_gamma=True"), "train both"),
        ("caffe", "keras", ("neither, a Scale layer has them", "both"), "train neither"),
        ("torch", "torch_instance", ("both", "neither, affine=False"), "train both"),
        ("haiku", "flax", ("the caller's", "both"), ""),
        ("keras", "torch", None, ""),
    ],
)
def test_who_trains_scale_and_shift_is_said(
    as_json: AsJson, source: str, target: str, both: tuple[str, str] | None, advice: str
) -> None:
    """MXNet's operator holds the scale at 1; Caffe's layer has neither."""
    found = what_differs(as_json, "0.5", "--from", source, "--to", target)

    assert found.get("scale and shift") == (both and (*both, advice))


def test_caffe2s_variance_depends_on_its_version(as_json: AsJson, normexp: Normexp) -> None:
    """Over n in 2018, over n − 1 later: no factor can be given, and the preset says which."""
    what = "running variance"
    found = what_differs(as_json, "0.9", "--from", "torch", "--to", "caffe2", "--values", "8")

    assert found[what] == ("unbiased", "depends on version", "depends on version")
    assert variance_ratio(FRAMEWORKS["caffe2"], FRAMEWORKS["keras"], 8) is None
    assert "varies" in normexp("convert").stdout
    assert fields_of(FRAMEWORKS["caffe2"])["running_variance"] == "biased"
    assert "norm.running_variance=unbiased" in (PRESETS / "caffe2.yaml").read_text()


def test_keras_renormalises_by_averages_of_sigma(as_json: AsJson) -> None:
    """Its own remark says in what norm=batch_renorm is another."""
    (keras,) = [each for each in as_json("convert") if each["name"] == "keras"]

    assert all(word in keras["remarks"] for word in ("moving_stddev", "renorm_momentum"))


def test_fvcores_row_names_the_estimator_and_its_factor(as_json: AsJson) -> None:
    """tests/test_recomputed.py has its rule."""
    (fvcore,) = [each for each in as_json("convert") if each["name"] == "fvcore"]

    assert fvcore["averages"] == "biased"
    assert "norm.precise_batches=200" in fvcore["no_preset"]
    assert "over N - 1" in fvcore["no_preset"]


@pytest.mark.parametrize("name", presets())
def test_a_preset_says_in_what_it_differs(name: str, normexp: Normexp) -> None:
    """A batch of one value, and what its framework does not train; the refusal says so too."""
    framework, text = FRAMEWORKS[name], (PRESETS / f"{name}.yaml").read_text()
    takes_one = framework.one_value and not framework.one_value.startswith("ValueError")
    refused = normexp("plan", f"norm/framework={name}", "train.batch_size=1")

    assert ("one value a channel; here that is refused" in text) == bool(takes_one)
    assert ("here it is trained" in text) == (name == "mxnet")
    assert ("here they are trained" in text) == (name == "caffe")
    assert refused.exit_code == 2
    assert "Keras and Flax go on with a variance of 0" in refused.stderr
