"""The claims of S0: the convention of momentum, on a small classifier with random labels."""

from collections.abc import Sequence

from normexp.claims import computed
from normexp.claims.claim import REVISED, Cell, Claim, below
from normexp.claims.evidence import Evidence, ratio_cell

MOMENTUM = "norm.momentum"


def usual(evidence: Evidence) -> Sequence[Cell]:
    """What running statistics of 0.99 cost against those of 0.1, in S0 and in S1."""
    return [
        ratio_cell(
            where,
            evidence.sample(study, "excess_loss", {"norm": "batch", MOMENTUM: 0.1}),
            evidence.sample(study, "excess_loss", {"norm": "batch", MOMENTUM: 0.99}),
            below,
            scale="difference",
        )
        for where, study in (("S0's classifier", "convention"), ("S1's regression", "momenta"))
    ]


def stable(evidence: Evidence) -> Sequence[Cell]:
    """What running statistics of 0.99 cost against those of 0.01."""
    before, after = (
        evidence.sample("convention", "excess_loss", {MOMENTUM: momentum})
        for momentum in (0.01, 0.99)
    )
    return [ratio_cell("", before, after, below, scale="difference")]


CLAIMS = (
    Claim(
        "S0.1",
        "momentum is commonly 0.1, 0.01 or 0.99 in PyTorch",
        "What is common no run can say; that 0.99 is one of the choices to make can be checked. "
        "Excess loss: test loss minus that of the same weights by population statistics. Holds "
        "where that of 0.99 is below that of 0.1 (interval of the difference below 0), fails where "
        "it is above: what is surely worse is no choice.",
        "excess loss, 0.99 − 0.1",
        ("convention", "momenta"),
        usual,
        "holds only if",
        "0.99 is a TensorFlow value; in PyTorch it means the last batch alone",
        revised=REVISED,
    ),
    Claim(
        "S0.2",
        "a small momentum lets the current batch matter more, a large one history",
        "torch.nn.BatchNorm1d from (0, 1) is shown one batch of mean 10: holds if the running mean "
        "moves the further the smaller the momentum is.",
        "step response",
        (),
        computed.step_response,
        "fails",
        "inverted for PyTorch; right for Keras",
    ),
    Claim(
        "S0.3",
        "a small momentum makes training unstable, a large one stable and fast",
        "S0's network is really trained in PyTorch, once with each of its momenta: fails if all "
        "weights and all training losses are equal to the bit, with each of five seeds.",
        "weights differ by",
        (),
        computed.training_by_momentum,
        "fails",
        "training is the same to the bit",
    ),
    Claim(
        "S0.4",
        "a large momentum is the stabler one (in evaluation)",
        "Holds if the excess loss of 0.99 (see S0.1) is below that of 0.01 (interval of the "
        "difference below 0), fails if above.",
        "excess loss, 0.99 − 0.01",
        ("convention",),
        stable,
        "fails",
        "0.99 is the worst of the three",
        revised=REVISED,
    ),
    Claim(
        "S0.5",
        "batch norm gives every feature mean 0 and variance 1 within the mini-batch",
        "In PyTorch's training mode, before scale and shift, on batches of S0's hidden layer: "
        "means within 1e-5 of 0, biased variances within 1e-5 of var / (var + eps).",
        "largest deviation",
        (),
        computed.unit_features,
        "holds",
        "right, before scale and shift, up to eps",
    ),
    Claim(
        "S0.6", "the script compares three momenta", "", "", (), None, "fails",
        "it calls an initialiser that is not defined, never evaluates, and lets one momentum's "
        "statistics leak into the next",
        "about a script that does not run; normexp's study momentum_convention is it, corrected",
    ),
)  # fmt: skip
"""In the order of the source."""
