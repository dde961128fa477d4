"""The claims on momentum and moving averages: sources S0 and S2."""

from functools import partial

from normexp.claims.criteria import BATCH, Claim, above, best_momentum, contrast, differs, excess
from normexp.claims.metrics import final_error

error = partial(contrast, metric=final_error)
"""The error of the running means in σ at the end."""

GRID = (0.01, 0.03, 0.1, 0.3, 0.5, 0.9)
STEPS = (0.01, 0.03, 0.1, 0.3, 0.9)


def momentum(value: float) -> dict[str, float]:
    """Runs of one momentum."""
    return {"norm.momentum": value}


CLAIMS = (
    Claim(
        "S0.1",
        "momentum is commonly 0.1, 0.01 or 0.99 in PyTorch",
        "That 0.01 and 0.99 are sensible choices beside PyTorch's 0.1. Excess loss: test loss "
        "minus that of the same weights by population statistics. Holds where it is below that of "
        "0.1 (interval of the difference below 0), fails where it is above.",
        "excess loss, a − 0.1",
        ("convention", "momenta"),
        tuple(
            excess(f"{value} on {where}", study, {**BATCH, **momentum(0.1)}, momentum(value))
            for study, where in (("convention", "S0's classifier"), ("momenta", "S1's data"))
            for value in (0.99, 0.01)
        ),
        "holds only if",
        "0.99 is a TensorFlow value; in PyTorch it means the last batch alone",
    ),
    Claim(
        "S0.4",
        "a large momentum is the stabler one (in evaluation)",
        "Holds if the excess loss of 0.99 is below that of 0.01 (interval of the difference below "
        "0), fails if above.",
        "excess loss, 0.99 − 0.01",
        ("convention",),
        (excess("", "convention", momentum(0.01), momentum(0.99)),),
        "fails",
        "0.99 is the worst of the three",
    ),
    Claim(
        "S2.5",
        "a smaller m (larger a) is faster but noisier",
        "The error of the running means in σ. Faster: after 8 steps that of a = 0.9 is below that "
        "of 0.01. Noisier: after 2,000 steps with weights at rest (lr 1e-6) that of 0.3 is above "
        "that of 0.01. Holds if both do.",
        "mean error",
        ("steps", "rest and drift"),
        (
            error(
                "faster: 8 steps, 0.9 : 0.01",
                "steps",
                {"train.batch_size": 256, "train.epochs": 1, **momentum(0.01)},
                momentum(0.9),
            ),
            error(
                "noisier: 2,000 steps at rest, 0.3 : 0.01",
                "rest and drift",
                {"optim.lr": 1e-6, **momentum(0.01)},
                momentum(0.3),
                rule=above,
            ),
        ),
        "holds",
        "right",
    ),
    Claim(
        "S2.6",
        "with steps enough a larger m (smaller a) is closer to the truth",
        "After 2,000 steps the running means' error in σ of a = 0.01 is below that of 0.3 "
        "(interval below 1), by learning rate; fails where above.",
        "error of 0.01 : 0.3",
        ("rest and drift",),
        tuple(
            error(where, "rest and drift", {"optim.lr": rate, **momentum(0.3)}, momentum(0.01))
            for rate, where in ((0.01, "lr 0.01"), (0.001, "lr 0.001"), (1e-6, "at rest"))
        ),
        "holds only if",
        "only for stationary statistics, wrong under drift",
    ),
    Claim(
        "S2.7",
        "momentum does not affect training, only prediction",
        "That training is the same to the bit is an identity (S0.3). Prediction: holds if the test "
        "losses of 0.1 and 0.5 on the same weights differ (interval excludes 1), fails if they "
        "surely are within 1.1.",
        "loss of 0.5 : 0.1",
        ("momenta",),
        (contrast("", "momenta", {**BATCH, **momentum(0.1)}, momentum(0.5), rule=differs),),
        "holds",
        "right",
    ),
    Claim(
        "S2.8",
        "a short training with a large m looks like underfitting in evaluation",
        "After one epoch with a = 0.01: holds if the test loss is above that of the same weights "
        "with population statistics (interval above 1), fails if below.",
        "running : population",
        ("steps",),
        tuple(
            contrast(
                f"{steps} steps",
                "steps",
                {"train.batch_size": size, "train.epochs": 1, **momentum(0.01)},
                {},
                metric="test_loss_population",
                metric_of_other="test_loss",
                rule=above,
            )
            for size, steps in ((256, 8), (64, 32), (16, 125))
        ),
        "holds",
        "right",
    ),
    Claim(
        "S2.9",
        "small batches want a larger m (smaller a)",
        "By seed the momentum of the least test loss: holds if that of batches of 16 is below that "
        "of 256 (interval of the ratio below 1), fails if above.",
        "best a, batch 16 : 256",
        ("grid", "steps"),
        (
            best_momentum("lr 0.03, 12 epochs", "grid", {"optim.lr": 0.03}, GRID),
            best_momentum("lr 0.003, 12 epochs", "grid", {"optim.lr": 0.003}, GRID),
            best_momentum("lr 0.01, 16 epochs", "steps", {"train.epochs": 16}, STEPS),
            best_momentum("lr 0.01, 4 epochs", "steps", {"train.epochs": 4}, STEPS),
            best_momentum("lr 0.01, 1 epochs", "steps", {"train.epochs": 1}, STEPS),
        ),
        "holds",
        "right direction",
    ),
)
