"""Networks that people have, recorded: table and verdict are those of twins at each momentum."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from own_nets import Listen, assert_twins, digits, resnet18
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that nobody here wrote


def efficientnet() -> nn.Module:
    """EfficientNet-B0, whose 49 batch norms have momentum .01; with dropout and dropped paths."""
    package = pytest.importorskip("efficientnet_pytorch")
    model: nn.Module = package.EfficientNet.from_name(
        "efficientnet-b0", in_channels=1, num_classes=10
    )
    return model


def unet() -> nn.Module:
    """MONAI's U-Net: logits of three classes for every pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI looks for optional packages
        networks = pytest.importorskip("monai.networks.nets")
    model: nn.Module = networks.UNet(2, 1, 3, (8, 16, 32), (2, 2), norm="batch")
    return model


def shapes(number: int, seed: int = 0) -> TensorDataset:
    """Noisy images of 32×32 pixels with a disc or a square, and the class of every pixel."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(1, 3, (number, 1, 1))
    centre, size = rng.uniform(8, 24, (2, number, 1, 1)), rng.uniform(3, 8, (number, 1, 1))
    across, down = np.abs(np.arange(32) - centre[0]), np.abs(np.arange(32)[:, None] - centre[1])
    inside = np.where(kind == 1, np.hypot(across, down), np.maximum(across, down)) < size
    images = inside + rng.normal(0, 0.3, inside.shape)
    return TensorDataset(torch.tensor(images[:, None]).float(), torch.tensor(inside * kind))


def losses(model: Any, data: TensorDataset) -> torch.Tensor:  # noqa: ANN401
    """The loss of every example, or of every pixel."""
    answers = model(data.tensors[0])
    answers = getattr(answers, "logits", answers)
    return nn.functional.cross_entropy(answers, data.tensors[1], reduction="none")


def train(model: nn.Module, listen: Listen, data: TensorDataset, size: int) -> None:
    """One epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    listen(model, optimizer)
    model.train()
    for batch in DataLoader(data, batch_size=size, shuffle=True):
        optimizer.zero_grad()
        losses(model, TensorDataset(*batch)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


class Case(NamedTuple):
    """A network, and what it is trained on and evaluated with."""

    make: Callable[[], nn.Module]
    norms: int
    data: TensorDataset
    size: int  # of a batch
    tests: TensorDataset
    exact: float = 1e-5


CASES = {
    "ResNet-18": Case(resnet18, 20, digits(640), 8, digits(100, 1280)),
    "EfficientNet-B0": Case(efficientnet, 49, digits(96), 4, digits(30, 1280), 1e-3),
    "U-Net": Case(unet, 4, shapes(640), 8, shapes(100, seed=1)),
}
"""EfficientNet's momentum is .01; what float32 buffers round, divided by that, comes to 1e-3."""


@pytest.mark.parametrize("name", CASES)
def test_a_network_agrees_with_its_twins(name: str) -> None:
    """Labels of images, or classes of pixels."""
    make, norms, data, size, tests, exact = CASES[name]
    loop, score = partial(train, data=data, size=size), partial(losses, data=tests)
    recorder, _ = assert_twins(make, loop, score, data.tensors[0][:64], exact=exact)

    assert recorder.recording.steps == len(data) // size
    assert len(recorder.recording.layers.modules) == norms


def maker() -> nn.Module:
    """Images of 32×32 pixels from noise."""
    return nn.Sequential(
        nn.Linear(8, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Unflatten(1, (8, 8, 8)), nn.Upsample(scale_factor=4),
        nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def judge() -> nn.Module:
    """Above 0 for images that it takes for digits."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, 4), nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, 2, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(144, 1),
    )  # fmt: skip


def compete(making: nn.Module, judging: nn.Module, told: nn.Module, listen: Listen) -> None:
    """Two passes of the maker a step, and three of the judge, the last of them after its step."""
    softplus = nn.functional.softplus
    optimizers = {
        each: torch.optim.Adam(each.parameters(), 2e-3, (0.5, 0.9)) for each in (making, judging)
    }
    listen(told, optimizers[told])
    for real, _ in DataLoader(digits(640), batch_size=16, shuffle=True):
        optimizers[judging].zero_grad()
        made = making(torch.randn(16, 8)).detach()
        (softplus(-judging(real)) + softplus(judging(made))).mean().backward()  # type: ignore[no-untyped-call]
        optimizers[judging].step()
        optimizers[making].zero_grad()
        softplus(-judging(making(torch.randn(16, 8)))).mean().backward()  # type: ignore[no-untyped-call]
        optimizers[making].step()


REAL = digits(100, 1280).tensors[0]
NOISE = torch.randn(100, 8, generator=torch.Generator().manual_seed(1))


def test_a_maker_of_images_agrees_with_its_twins() -> None:
    """By the distance of each image from the nearest digit."""

    def loop(model: nn.Module, listen: Listen) -> None:
        compete(model, judge(), model, listen)

    def distances(model: Any) -> torch.Tensor:  # noqa: ANN401
        return torch.cdist(model(NOISE).flatten(1), REAL.flatten(1)).amin(1)

    recorder, _ = assert_twins(maker, loop, distances, NOISE[:64], per_forward=True)

    assert (recorder.recording.steps, recorder.recording.updates) == (40, 80)


def test_a_judge_of_images_agrees_with_its_twins() -> None:
    """Its last pass, after its last step, counts too."""

    def loop(model: nn.Module, listen: Listen) -> None:
        compete(maker(), model, model, listen)

    def doubts(model: Any) -> torch.Tensor:  # noqa: ANN401
        return nn.functional.softplus(-model(REAL)[:, 0])

    recorder, short = assert_twins(judge, loop, doubts, REAL[:64], per_forward=True)

    assert short.evaluate(doubts, momenta=[0.1])["l1"].any()
    assert (recorder.recording.steps, recorder.recording.updates) == (40, 120)
