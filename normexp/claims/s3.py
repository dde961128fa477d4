"""The claims of S3: a LeNet with batch norm."""

from collections.abc import Callable, Sequence
from functools import partial

from normexp.analysis.arms import Row
from normexp.claims import computed, stored
from normexp.claims.claim import REVISED, Cell, Claim, above, below
from normexp.claims.evidence import Evidence, ratio_cell

BATCH = "train.batch_size"


def placement(evidence: Evidence) -> Sequence[Cell]:
    """The weights' test loss with the norm after the activation against before."""
    cells = []
    for batch in (8, 64):
        before, after = (
            evidence.sample(
                "placements", "test_loss_population", {"norm.placement": place, BATCH: batch}
            )
            for place in ("before", "after")
        )
        cells.append(ratio_cell(f"batches of {batch}", before, after, below))
    return cells


def recomputed(evidence: Evidence) -> Sequence[Cell]:
    """The test batch's own statistics against running statistics of momentum 0.1."""
    regression = ("S1's regression", "momenta", {"norm": "batch", "norm.momentum": 0.1})
    lenet = ("LeNet", "digits norms", {"norm": "batch", BATCH: 64})
    cells = []
    for name, study, of in (regression, lenet):
        for kind, test_loss in TEST_BATCHES.items():
            before = evidence.sample(study, "test_loss", of)
            after = evidence.sample(study, partial(test_loss, evidence), of)
            cells.append(ratio_cell(f"{name}, {kind}", before, after, above))
    for batch in (2, 8):
        of = {"norm": "batch", BATCH: batch}
        before, after = (
            evidence.sample("digits norms", metric, of)
            for metric in ("test_loss", "test_loss_test_batch")
        )
        where = f"LeNet trained by {batch}, whole test set"
        cells.append(ratio_cell(where, before, after, above))
    return cells


def _whole(_: Evidence, row: Row) -> float:
    return float(row["test_loss_test_batch"])


def _random(evidence: Evidence, row: Row, size: int) -> float:
    return stored.loss_in_batches(evidence, row, size, is_sorted=False)


def _sorted(evidence: Evidence, row: Row, size: int) -> float:
    return stored.loss_in_batches(evidence, row, size, is_sorted=True)


TEST_BATCHES: dict[str, Callable[[Evidence, Row], float]] = {
    "test batches of 4": partial(_random, size=4),
    "test batches of 16": partial(_random, size=16),
    "sorted batches of 16": partial(_sorted, size=16),
    "whole test set": _whole,
}
"""By their name, the test loss where they are normalised by themselves."""

CLAIMS = (
    Claim(
        "S3.1",
        "put batch norm after the input, not before the activation",
        "Test loss of the weights (population statistics), norm after the activation against "
        "before. Holds if after is lower (interval below 1), fails if higher.",
        "loss, after : before",
        ("placements",),
        placement,
        None,
        "contradicts its own code; the order is an empirical question",
    ),
    Claim(
        "S3.2",
        "batch norm gives every sample of a batch the same statistics",
        "PyTorch's training mode on 64 random samples of 32 features: holds if all samples have "
        "the same mean and variance to 1e-3, fails if only the features have.",
        "spread over samples",
        (),
        computed.same_samples,
        "fails",
        "per feature over the batch, not per sample",
    ),
    Claim(
        "S3.3",
        "the scale controls the range, the offset the variance of the output",
        "Holds if changing the offset of torch.nn.BatchNorm1d changes the outputs' variance, "
        "fails if it moves their mean and leaves the variance (to 1e-5).",
        "variance, 3 : 0",
        (),
        computed.offset,
        "fails",
        "the offset controls the mean, the scale the standard deviation",
    ),
    Claim(
        "S3.4",
        "larger batches: smaller parameter changes; smaller batches: noisier",
        "Gradients of S1's network at its initial weights over an epoch, batches of 256 against "
        "16. Two cells: the norm of a batch's gradient is smaller (a step of SGD is lr times it); "
        "their standard deviation over the batches is smaller (intervals below 1).",
        "batch 256 : 16",
        (),
        computed.gradients,
        None,
        "the noise part is right",
    ),
    Claim(
        "S3.5",
        "statistics recomputed at test time give unrealistic errors",
        "Test batches of 4 and 16 at random, of 16 sorted by class (of the regression: by x), and "
        "the whole test set as one. Holds if the test loss by the test batches' own statistics is "
        "above that by running statistics, momentum 0.1 (interval above 1), fails if below.",
        "test batch : running",
        ("momenta", "digits norms"),
        recomputed,
        "holds only if",
        "the practice is right by default; recomputing can be much better",
        revised=REVISED,
    ),
    Claim(
        "S3.6", "the code trains a LeNet on CIFAR-10", "", "", (), None, "fails",
        "an import is missing, biases before norms are redundant",
        "about a script that does not run; normexp's study placement is it, corrected",
    ),
)  # fmt: skip
"""In the order of the source."""
