"""The claims of S3: a LeNet with batch norm."""

from collections.abc import Sequence

from normexp.claims import computed
from normexp.claims.claim import Cell, Claim, above, below
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
    places: list[tuple[str, str, dict[str, object]]] = [
        ("S1's regression", "momenta", {"norm": "batch", "norm.momentum": 0.1})
    ]
    places += [
        (f"LeNet, batches of {batch}", "digits norms", {"norm": "batch", BATCH: batch})
        for batch in (2, 8, 64)
    ]
    return [
        ratio_cell(
            where,
            evidence.sample(study, "test_loss", of),
            evidence.sample(study, "test_loss_test_batch", of),
            above,
        )
        for where, study, of in places
    ]


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
        "Holds if the test loss by the test batch's own statistics is above that by running "
        "statistics, momentum 0.1 (interval above 1), fails if below.",
        "test batch : running",
        ("momenta", "digits norms"),
        recomputed,
        "holds only if",
        "the practice is right by default; recomputing can be much better",
    ),
    Claim(
        "S3.6", "the code trains a LeNet on CIFAR-10", "", "", (), None, "fails",
        "an import is missing, biases before norms are redundant",
        "about a script that does not run; normexp's study placement is it, corrected",
    ),
)  # fmt: skip
"""In the order of the source."""
