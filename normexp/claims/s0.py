"""The claims of S0: the convention of momentum, on a small classifier with random labels."""

from collections.abc import Sequence

from normexp.claims import computed
from normexp.claims.claim import Cell, Claim, below, no_worse
from normexp.claims.evidence import Evidence, ratio_cell

MOMENTUM = "norm.momentum"


def usual(evidence: Evidence) -> Sequence[Cell]:
    """The test loss of 0.99 against 0.1, in S0 and in S1."""
    return [
        ratio_cell(
            where,
            evidence.sample(study, "test_loss", {"norm": "batch", MOMENTUM: 0.1}),
            evidence.sample(study, "test_loss", {"norm": "batch", MOMENTUM: 0.99}),
            no_worse,
        )
        for where, study in (("S0's classifier", "convention"), ("S1's regression", "momenta"))
    ]


def stable(evidence: Evidence) -> Sequence[Cell]:
    """The test loss of 0.99 against 0.01."""
    before, after = (
        evidence.sample("convention", "test_loss", {MOMENTUM: momentum})
        for momentum in (0.01, 0.99)
    )
    return [ratio_cell("", before, after, below)]


CLAIMS = (
    Claim(
        "S0.1",
        "momentum is commonly 0.1, 0.01 or 0.99 in PyTorch",
        "What is common no run can say; that 0.99 is one of the choices to make can be checked: "
        "its test loss is no worse than that of 0.1 (ratio's interval below 1.1); fails where the "
        "interval is above 1 and not below 1.1.",
        "loss of 0.99 : 0.1",
        ("convention", "momenta"),
        usual,
        "holds only if",
        "0.99 is a TensorFlow value; in PyTorch it means the last batch alone",
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
        "Holds if the test loss of 0.99 is below that of 0.01 (interval below 1), fails if above.",
        "loss of 0.99 : 0.01",
        ("convention",),
        stable,
        "fails",
        "0.99 is the worst of the three",
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
