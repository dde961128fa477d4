"""Data, weights and batch order of a seed: the numbers that normexp draws, drawn plainly."""

import hashlib
from functools import cache
from math import prod
from typing import NamedTuple

import torch
from reference import Norm, PlainLenet, PlainMlp, PlainNetwork, batch_norm

from peers.work import Work


class Examples(NamedTuple):
    """One network's data, examples first, and its order in every epoch."""

    x: torch.Tensor
    y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    orders: torch.Tensor  # [epochs, examples]


def network(work: Work, norm: Norm) -> PlainNetwork:
    """The work's network in plain PyTorch."""
    if work.network == "mlp":
        return PlainMlp(work.depth, work.width, norm=norm, input_norm=True)
    return PlainLenet(1, 8, norm, after=False)


def sites(work: Work) -> dict[str, int]:
    """The norms by name, and their channels."""
    known = shapes(work)
    ends = ".norm.weight"
    return {name[: -len(ends)]: of[0] for name, of in known.items() if name.endswith(ends)}


def weights(work: Work, seed: int) -> dict[str, torch.Tensor]:
    """Every parameter of a new network by name, norms at identity."""
    streams = {key: _stream(seed, key) for key in ("weights", "biases")}
    found = {}
    for name, shape in shapes(work).items():
        empty = torch.empty(shape, dtype=torch.float64)
        if ".norm." in name:
            empty.fill_(float(name.endswith("weight")))
        elif work.network == "mlp" and name.endswith("bias"):
            empty.fill_(-0.2)
        elif work.network == "mlp":
            empty.normal_(generator=streams["weights"]).mul_(0.1)
        else:
            layer, _, key = name.rpartition(".")
            bound = prod(shapes(work)[f"{layer}.weight"][1:]) ** -0.5
            rng = streams["biases" if key == "bias" else "weights"]
            empty.uniform_(-bound, bound, generator=rng)
        found[name] = empty.float()
    return found


def examples(work: Work, seed: int) -> Examples:
    """The data of a seed."""
    orders = [
        torch.randperm(work.train_size, generator=_stream(seed, "order", epoch))
        for epoch in range(work.epochs)
    ]
    x, y, test_x, test_y = (_parabola if work.network == "mlp" else _digits)(work, seed)
    return Examples(x, y, test_x, test_y, torch.stack(orders))


def prepare(work: Work) -> None:
    """Read what is read once, whatever the number of runs."""
    if work.network == "lenet":
        _all_digits()


@cache
def shapes(work: Work) -> dict[str, tuple[int, ...]]:
    """Of every parameter by name, layers before norms."""
    return {n: tuple(p.shape) for n, p in network(work, batch_norm()).named().items()}


def _stream(seed: int, *name: str | int) -> torch.Generator:
    text = "/".join(map(str, (seed, *name)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def _parabola(work: Work, seed: int) -> list[torch.Tensor]:
    """Y = x² − 5 + N(0, 2) on [−7, 10]."""
    found = []
    for name, points in (("train", work.train_size), ("test", work.test_size)):
        x = torch.linspace(-7, 10, points, dtype=torch.float64)[:, None]
        noise = torch.empty_like(x).normal_(generator=_stream(seed, "data", name))
        found += [x.float(), (x**2 - 5 + 2 * noise).float()]
    return found


def _digits(work: Work, seed: int) -> list[torch.Tensor]:
    """scikit-learn's digits, split by the seed, in units of the training set."""
    images, labels = _all_digits()
    order = torch.randperm(len(images), generator=_stream(seed, "data", "split"))
    train, test = torch.split(order[: work.train_size + work.test_size],
                              [work.train_size, work.test_size])  # fmt: skip
    std, mean = torch.std_mean(images[train], unbiased=False)
    x, test_x = ((images[part] - mean) / std for part in (train, test))
    return [x.float(), labels[train], test_x.float(), labels[test]]


@cache
def _all_digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x).view(-1, 1, 8, 8), torch.tensor(y)
