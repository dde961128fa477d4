"""The table of frameworks, against PyTorch's layers, the sources of others, and the presets."""

from pathlib import Path

import pytest
import torch
import yaml
from conftest import AsJson
from torch import nn

from normexp.theory.frameworks import FRAMEWORKS, Framework
from normexp.theory.memory import turned

PRESETS = {path.stem: path for path in
           (Path(__file__).parents[1] / "configs/norm/framework").glob("*.yaml")}  # fmt: skip
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


def test_no_number_gives_instance_norm_the_cumulative_mean(as_json: AsJson) -> None:
    """PyTorch's BatchNorm has it by None; here the momentum must be set anew at every step."""
    for word in ("null", "None", "cumulative"):
        answer = as_json("convert", word, "--from", "torch", "--to", "torch_instance")
        differing = {each["what"]: each["target"] for each in answer["differences"]}
        assert answer["typed"] == "momentum=1/t at step t = 1, 2, ..."
        assert differing["cumulative mean"] == "no value"


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

    assert FRAMEWORKS["torch_sync"].averages == "unbiased"
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


def test_caffe2s_variance_depends_on_its_version(as_json: AsJson) -> None:
    """Over n in 2018, over n − 1 later: no factor can be given, and the preset says which."""
    found = what_differs(as_json, "0.9", "--from", "torch", "--to", "caffe2", "--values", "8")

    assert found["running variance"] == ("unbiased", "depends on version", "depends on version")
    assert "norm.running_variance=unbiased" in PRESETS["caffe2"].read_text()


def fields_of(framework: Framework) -> dict[str, object]:
    """The fields that a preset sets, momentum in PyTorch's direction."""
    default = 0.9 if framework.name == "haiku" else framework.default
    assert default is not None
    common = {
        "momentum": default if framework.weighs == "new" else turned(default),
        "eps": framework.eps,
        "running_variance": "biased" if framework.name == "caffe2" else framework.averages,
        "convention": "torch",
    }
    if framework.normalises == "running average":
        return {"kind": "ema_train", **common, "copy_first": framework.copies_first}
    mean, var = framework.initial_mean, framework.initial_var
    return {
        **common,
        "momentum_schedule": "constant",
        "normalizing_variance": framework.normalises_by,
        "estimator": "ema" if framework.debiasing == "none" else framework.debiasing,
        "initial_mean": 0.0 if mean is None else mean,
        "initial_var": 1.0 if var is None else var,
    }


def test_frameworks_have_a_preset_or_say_why_not() -> None:
    """A file for each of the others."""
    assert set(PRESETS) == {name for name, each in FRAMEWORKS.items() if not each.no_preset}
    assert {"mindspore", "tensorpack", "cntk", "cudnn"} <= set(FRAMEWORKS) - set(PRESETS)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_its_frameworks_conventions(name: str) -> None:
    """Every field; and what the framework does otherwise with one value, scale and shift."""
    framework, text = FRAMEWORKS[name], PRESETS[name].read_text()
    takes_one = framework.one_value and not framework.one_value.startswith("ValueError")

    assert text.startswith("# @package norm\n# ")
    assert list(yaml.safe_load(text).items()) == list(fields_of(framework).items())
    assert ("one value a channel; here that is refused" in text) == bool(takes_one)
    assert ("here it is trained" in text) == (name == "mxnet")
    assert ("here they are trained" in text) == (name == "caffe")
