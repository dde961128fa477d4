"""What group norm makes of the correlation between channels, on trained networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normexp.analysis.arms import Row
from normexp.claims.claim import Cell, below
from normexp.claims.evidence import Evidence, Sample, ratio_cell
from normexp.claims.stored import config_of, last_weights

if TYPE_CHECKING:
    import torch


def by_group_norm(evidence: Evidence) -> Sequence[Cell]:
    """Mean |correlation| of a convolution's channels after group norm over that before, by seed."""
    rows = evidence.rows("digits norms", {"norm": "group", "train.batch_size": 8})
    kept = [row for row in rows if row["status"] == "complete"]
    seen = {int(row["seed"]): _correlations(evidence, row) for row in kept}
    ids = tuple(str(row["run_id"]) for row in kept)
    return [
        ratio_cell(
            layer,
            Sample({seed: before for seed, (before, _) in found.items()}, ids),
            Sample({seed: after for seed, (_, after) in found.items()}),
            below,
        )
        for layer, found in (
            ("first convolution", {seed: layers[0] for seed, layers in seen.items()}),
            ("second convolution", {seed: layers[1] for seed, layers in seen.items()}),
        )
    ]


def _correlations(evidence: Evidence, row: Row) -> list[tuple[float, float]]:
    """Before and after the norm of both convolutions, on the test images."""
    from torch.nn import functional

    from normexp.data.draw import draw

    weights = last_weights(evidence, row)
    x, found = draw(config_of(row)).test_x, []
    for layer in ("conv1", "conv2"):
        y = functional.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=1)
        scale, shift = (weights[f"{layer}.norm.{name}"] for name in ("weight", "bias"))
        z = functional.group_norm(y, int(row["norm.groups"]), scale, shift, float(row["norm.eps"]))
        found.append((mean_correlation(y), mean_correlation(z)))
        x = functional.max_pool2d(functional.relu(z), 2)
    return found


def mean_correlation(x: "torch.Tensor") -> float:
    """Mean |correlation| of two different channels of [examples, channels, height, width]."""
    import torch

    channels = x.shape[1]
    matrix = torch.corrcoef(x.transpose(0, 1).reshape(channels, -1).double()).abs()
    return float((matrix.sum() - matrix.trace()) / (channels * (channels - 1)))
