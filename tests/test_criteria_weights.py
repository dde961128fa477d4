"""The criteria of claims on stored weights: against PyTorch's own layers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL, store_of

import normexp as package
from normexp.claims import metrics as measured
from normexp.claims.check import CLAIMS, judged
from normexp.claims.criteria import runs_of
from normexp.claims.studies import STUDIES
from normexp.errors import NormexpError
from normexp.numerics import one_thread
from normexp.store.stored import stored

BY_ID = {claim.id: claim for claim in CLAIMS}


def test_correlation_is_the_mean_of_its_absolute_values() -> None:
    """Channels x, −x and noise: |r| of 1, r, r."""
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 50, 1, 8, 8, generator=rng)
    found = measured.mean_correlation(torch.cat([x, -x, noise], 1))
    r = np.corrcoef(x.flatten(), noise.flatten())[0, 1]

    assert found == pytest.approx((1 + 2 * abs(r)) / 3, rel=1e-5)


def one_run(store: Path) -> Path:
    """The only run of a store."""
    (run,) = store.glob("*/batch-*")
    return run


def test_spoiled_weights_decide_nothing(tmp_path: Path) -> None:
    """One flipped bit of a training is an error with what to do, not a verdict."""
    run = one_run(store_of(tmp_path, *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0"))
    path = stored(run).trajectory / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(NormexpError, match="remove it and sweep again"):
        measured.last_weights({"directory": str(run)})


def lenet_of(weights: dict[str, torch.Tensor], norm: type[torch.nn.Module]) -> torch.nn.Sequential:
    """The LeNet for digits in plain PyTorch, with a norm of each layer's channels."""
    from torch import nn

    def normed(channels: int) -> nn.Module:
        return nn.GroupNorm(2, channels) if norm is nn.GroupNorm else norm(channels)

    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), normed(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3, padding=1), normed(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    if norm is not nn.GroupNorm:
        one = nn.BatchNorm1d
        network.extend([nn.Linear(64, 120), one(120), nn.ReLU(),
                        nn.Linear(120, 84), one(84), nn.ReLU(), nn.Linear(84, 10)])  # fmt: skip
    names = ["conv1", "conv1.norm", "conv2", "conv2.norm", "linear1", "linear1.norm", "linear2",
             "linear2.norm", "output"]  # fmt: skip
    layers = [layer for layer in network if list(layer.parameters())]
    for name, layer in zip(names, layers, strict=False):
        layer.load_state_dict(
            {part: weights[f"{name}.{part}"] for part in ("weight", "bias")}, strict=False
        )
    return network


def swept(tmp_path: Path, *overrides: str) -> pd.DataFrame:
    """Real runs of a short training on digits, six seeds."""
    result = package.sweep(*STUDIES["digits norms"], "data.train_size=40", "train.epochs=1",
                           "seed=range(6)", f"store.dir={tmp_path}", *overrides)  # fmt: skip
    return package.read(result.directory)


def digits(row: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401  a row of a frame
    """A run's test images and labels."""
    from normexp.data.draw import draw

    found = draw(stored(Path(row["directory"])).config)
    return found.test_x, found.test_y


def absolute_correlation(x: torch.Tensor) -> float:
    """Mean |correlation| of different channels, by NumPy."""
    matrix = np.abs(np.corrcoef(x.detach().transpose(0, 1).flatten(1).numpy()))
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def test_correlations_are_those_that_hooks_see_in_pytorch(tmp_path: Path) -> None:
    """S4.2: after group norm over before, of both convolutions of trained LeNets, by seed."""
    found = swept(tmp_path, "norm=batch,group", "norm.groups=2", "train.batch_size=8")
    seen: dict[int, list[float]] = {1: [], 5: []}
    for row in runs_of(found, {"norm": "group"}).to_dict("records"):
        network = lenet_of(measured.last_weights(row), torch.nn.GroupNorm)  # type: ignore[arg-type]
        for place, ratios in seen.items():
            network[place].register_forward_hook(
                lambda _layer, given, out, kept=ratios: kept.append(
                    math.log(absolute_correlation(out) / absolute_correlation(given[0]))
                )
            )
        with torch.no_grad():
            network(digits(row)[0])
    with one_thread():
        cells = judged(BY_ID["S4.2"], {"digits norms": found}).cells
    estimates = [cell.comparison.estimate for cell in cells]

    assert estimates == pytest.approx([math.exp(np.mean(each)) for each in seen.values()], rel=1e-4)
    assert estimates[0] != pytest.approx(estimates[1], rel=1e-3)
    assert abs(estimates[0] - 1) > 1e-3  # so that the two could not be exchanged


def test_small_and_sorted_test_batches_are_those_of_pytorch(tmp_path: Path) -> None:
    """S3.5: every test image counts once, in training mode of plain PyTorch's own layers."""
    from torch.nn import functional

    found = swept(tmp_path, "norm=batch", "train.batch_size=8", "data.test_size=35")
    row: Any = found.to_dict("records")[0]
    network = lenet_of(measured.last_weights(row), torch.nn.BatchNorm2d)
    x, y = digits(row)
    order = y.argsort(stable=True)
    with torch.no_grad():
        whole = float(functional.cross_entropy(network(x), y))
        parts = [
            (float(functional.cross_entropy(network(x[some]), y[some])), len(some))
            for some in (order[:18], order[18:])
        ]
    by_class = sum(loss * n for loss, n in parts) / 35
    several = [measured.in_test_batches(size, by_class=sort)
               for size, sort in ((35, False), (16, True), (16, False))]  # fmt: skip
    with one_thread():
        *losses, at_random = [metric(row) for metric in several]

    assert losses == pytest.approx([whole, by_class], rel=1e-4)
    assert row["test_loss_test_batch"] == pytest.approx(whole, rel=1e-4)
    assert at_random != pytest.approx(by_class, rel=1e-3)
