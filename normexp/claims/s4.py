"""The claims of S4: batch, layer, instance and group norm."""

from collections.abc import Sequence

from normexp.claims import arithmetic, correlation
from normexp.claims.claim import Cell, Claim, below
from normexp.claims.evidence import Evidence, Sample, ratio_cell


def batch_dependence(evidence: Evidence) -> Sequence[Cell]:
    """How the test loss grows from batches of 64 to small ones, group norm's : batch norm's."""
    return [
        ratio_cell(
            f"batches of {small}",
            _growth(evidence, "batch", small),
            _growth(evidence, "group", small),
            below,
        )
        for small in (2, 8)
    ]


def _growth(evidence: Evidence, norm: str, small: int) -> Sample:
    """By seed, the test loss of small batches over that of batches of 64."""
    few, many = (
        evidence.sample("digits norms", "test_loss", {"norm": norm, "train.batch_size": size})
        for size in (small, 64)
    )
    return few / many


CLAIMS = (
    Claim(
        "S4.1",
        "axes of an image batch: BN over N·H·W, LN C·H·W, IN H·W, GN (C/G)·H·W",
        "PyTorch's modules on (8, 64, 8, 8), 4 groups: holds if means over those axes are within "
        "1e-5 of 0 and biased variances within 1e-3 of 1, for all four.",
        "largest deviation",
        (),
        arithmetic.axes,
        "holds",
        "right for images",
    ),
    Claim(
        "S4.2",
        "group norm reduces the correlation between features",
        "Trained LeNets of all seeds, test images: the mean |correlation| of a convolution's "
        "channels after group norm over that before, holds if below 1 (interval), fails if above; "
        "both convolutions.",
        "|correlation|, after : before",
        ("digits norms",),
        correlation.by_group_norm,
        "fails",
        "no whitening",
    ),
    Claim(
        "S4.3",
        "grouped convolution is a variant of group norm",
        "Group norm gives the same whatever the scale of its input. Holds if a grouped convolution "
        "does (to 1e-3), fails if its output doubles with its input.",
        "output of 2x : x",
        (),
        arithmetic.grouped_convolution,
        "fails",
        "unrelated",
    ),
    Claim(
        "S4.4",
        "group norm depends less on the batch size than batch norm",
        "LeNet on digits: growth of the test loss (running statistics of momentum 0.1) from "
        "batches of 64 to small ones. Holds if group norm's is below batch norm's (interval below "
        "1), fails if above.",
        "growth, GN : BN",
        ("digits norms",),
        batch_dependence,
        "holds",
        "right; it is batch norm that small batches hurt",
    ),
    Claim(
        "S4.5",
        "group norm works on 1-D, 2-D and 3-D data",
        "torch.nn.GroupNorm on (N, C, L), (N, C, H, W) and (N, C, D, H, W): holds if groups have "
        "mean 0 to 1e-5 in all.",
        "largest mean",
        (),
        arithmetic.any_dimensions,
        "holds",
        "right for PyTorch's; the source's own code takes images only",
    ),
    Claim(
        "S4.6",
        "the hand-written norms are what PyTorch's modules compute",
        "Normalising by x.var() of n values against torch.nn.functional.layer_norm: holds at an n "
        "if outputs agree to 1e-3 of their size, fails if not.",
        "output, its : torch's",
        (),
        arithmetic.hand_written,
        "holds only if",
        "x.var() is unbiased: √((n − 1)/n) of the usual output, 0.707 at n = 2",
    ),
    Claim(
        "S4.7",
        "layer norm does not depend on the batch size",
        "An example's output of torch.nn.LayerNorm alone and among 63 others: holds if equal to "
        "1e-6, while batch norm's (training mode, among 1 and 63 others) is not.",
        "change",
        (),
        arithmetic.layer_norm_alone,
        "holds",
        "right",
    ),
    Claim(
        "S4.8", "its BatchNorm module can be used in place of PyTorch's", "", "", (), None, "fails",
        "running statistics are plain tensors: not in the state dict, not detached, not moved",
        "about the source's code, which is no part of normexp",
    ),
    Claim(
        "S4.9", "batch norm reduces internal covariate shift", "", "", (), None, None,
        "contested",
        "the source does not say what would be measured; that it regularises is S1.3",
    ),
)  # fmt: skip
"""In the order of the source."""
