"""No false alarm over networks of others, new and trained; and two true ones."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import Result

import normexp

transformers = pytest.importorskip("transformers", reason="the extra zoo is not installed")
efficientnet = pytest.importorskip("efficientnet_pytorch", reason="the extra zoo is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI looks for optional packages
    monai = pytest.importorskip("monai.networks.nets", reason="the extra zoo is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that nobody here wrote


def of_transformers(name: str, **settings: object) -> Callable[[], nn.Module]:
    """A classifier by configuration, with weights drawn anew."""
    config = getattr(transformers, f"{name}Config")
    kind = getattr(transformers, f"{name}ForImageClassification")
    return lambda: kind(config(**settings))


def of_monai(name: str, *sizes: object, **settings: object) -> Callable[[], nn.Module]:
    """A network for images with three channels."""
    return lambda: getattr(monai, name)(*sizes, **settings)


SOUND: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "ResNet": (of_transformers(
        "ResNet", embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic"
    ), set()),
    "RegNet": (of_transformers(
        "RegNet", embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], groups_width=8
    ), set()),
    "MobileViT": (of_transformers(
        "MobileViT", image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=2,
        neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
    ), set()),
    "LeViT": (of_transformers(
        "Levit", image_size=64, hidden_sizes=[32, 48, 64], num_attention_heads=[2, 2, 2],
        depths=[1, 1, 1], key_dim=[8, 8, 8],
    ), set()),
    "MONAI UNet": (of_monai("UNet", 2, 3, 1, (8, 16, 32), (2, 2), norm="batch"), {"after_bias"}),
    "MONAI DenseNet": (of_monai(
        "DenseNet121", 2, 3, 5, init_features=16, growth_rate=8, block_config=(2, 2, 2, 2)
    ), set()),
    "MONAI ResNet-18": (of_monai(
        "resnet18", spatial_dims=2, n_input_channels=3, num_classes=5
    ), {"after_bias"}),
    "MONAI DynUNet": (of_monai(
        "DynUNet", 2, 3, 1, [3, 3, 3], [1, 2, 2], [2, 2], filters=[8, 16, 24], norm_name="batch"
    ), {"shared_part"}),
    "MONAI SegResNet": (of_monai("SegResNet", 2, 8, 3, 1, norm="batch"), set()),
    "MONAI Discriminator": (of_monai(
        "Discriminator", (3, 64, 64), (8, 16), (2, 2), norm="batch"
    ), {"after_bias"}),
    "EfficientNet-B0": (
        lambda: efficientnet.EfficientNet.from_name("efficientnet-b0", num_classes=5), {"eps_port"}
    ),
}  # fmt: skip
"""Networks, and the rules that have something to mention whatever the weights."""

OTHER_CONVENTION = {
    "MobileNetV2": (of_transformers("MobileNetV2", depth_multiplier=0.35), 0.997),
    "EfficientNet": (of_transformers("EfficientNet", width_coefficient=0.25), 0.99),
}
"""Ports in transformers that kept TensorFlow's number, and the number."""


def train(model: nn.Module) -> None:
    """A few steps towards noise."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(3):
        found = model(torch.randn(2, 3, 64, 64))
        found = getattr(found, "logits", found)
        optimizer.zero_grad()
        (found - torch.randn_like(found)).square().mean().backward()
        optimizer.step()


def rules(report: object, severity: str) -> set[str]:
    """Rules with findings of a severity."""
    return {each.rule for each in report.findings if each.severity == severity}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SOUND)
def test_there_is_no_false_alarm(name: str) -> None:
    """No fault when new or trained, as a module in either mode or as a state dict."""
    torch.manual_seed(0)
    make, mentioned = SOUND[name]
    model = make()
    new = normexp.lint(model)
    train(model)
    trained, state = normexp.lint(model), normexp.lint(model.state_dict())
    evaluated = normexp.lint(model.eval())

    assert new.layers >= 3
    assert rules(new, "note") == mentioned | {"fresh"}
    for report in (trained, evaluated):
        assert rules(report, "note") == mentioned
    assert rules(state, "note") == set()
    assert [each.faults for each in (new, trained, state, evaluated)] == [[]] * 4


@pytest.mark.parametrize("name", OTHER_CONVENTION)
def test_a_momentum_of_tensorflow_is_found_where_it_was_kept(name: str) -> None:
    """A true alarm: in PyTorch the newest batch weighs so much."""
    make, momentum = OTHER_CONVENTION[name]
    faults = normexp.lint(make()).faults

    assert {(each.rule, each.number) for each in faults} == {("momentum_large", momentum)}
    assert f"layer.momentum = {1 - momentum:.6g} " in faults[0].to_do


def test_the_readme_shows_an_average_without_buffers(command: Callable[..., Result]) -> None:
    """To the letter."""
    shown = (
        (Path(__file__).parents[1] / "normexp/own/README.md")
        .read_text()
        .split("$ normexp lint averaged.pt\n")
    )
    make = of_transformers(
        "ResNet", embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 2, 2],
        layer_type="basic",
    )  # fmt: skip
    model, averaged = make(), make()
    train(model)
    averaged.load_state_dict(dict(model.named_parameters()), strict=False)
    torch.save(averaged.state_dict(), "averaged.pt")

    assert command("lint", "averaged.pt").stdout == shown[1].partition("```")[0]
