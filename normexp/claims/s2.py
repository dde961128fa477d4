"""The claims of S2: moving averages of batch statistics."""

from collections.abc import Sequence

from normexp.analysis.arms import Row
from normexp.analysis.comparison import Comparison
from normexp.claims import arithmetic, computed
from normexp.claims.claim import REVISED, Cell, Claim, above, alike, below, opposite
from normexp.claims.evidence import Evidence, Sample, ratio_cell

MOMENTUM, BATCH, EPOCHS, RATE = (
    "norm.momentum",
    "train.batch_size",
    "train.epochs",
    "optim.lr",
)

MOMENTA = (0.01, 0.03, 0.1, 0.3, 0.9)
GRID = (0.01, 0.03, 0.1, 0.3, 0.5, 0.9)


def faster_and_noisier(evidence: Evidence) -> Sequence[Cell]:
    """The error of the running mean: after 8 steps, and after 2,000 with weights at rest."""
    few = {BATCH: 256, EPOCHS: 1}
    early, fast = (error(evidence, "steps", {**few, MOMENTUM: a}) for a in (0.01, 0.9))
    rest = {RATE: 1e-6}
    late, noisy = (error(evidence, "rest and drift", {**rest, MOMENTUM: a}) for a in (0.01, 0.3))
    return [
        ratio_cell("faster: 8 steps, 0.9 : 0.01", early, fast, below),
        ratio_cell("noisier: 2,000 steps at rest, 0.3 : 0.01", late, noisy, above),
    ]


def closer_in_the_end(evidence: Evidence) -> Sequence[Cell]:
    """The error of the running mean after 2,000 steps, 0.01 against 0.3, by learning rate."""
    cells = []
    for rate, where in ((0.01, "lr 0.01"), (0.001, "lr 0.001"), (1e-6, "weights at rest")):
        fast, slow = (
            error(evidence, "rest and drift", {RATE: rate, MOMENTUM: momentum})
            for momentum in (0.3, 0.01)
        )
        cells.append(ratio_cell(where, fast, slow, below))
    return cells


def error(evidence: Evidence, study: str, of: dict[str, object]) -> Sample:
    """The running means' error in σ at the end, mean over the layers."""

    def at_the_end(row: Row) -> float:
        layers = evidence.table(row, "layers")
        last = layers[layers["step"] == layers["step"].max()]
        return float(last["mean_error"].mean())

    return evidence.sample(study, at_the_end, of)


def any_start(evidence: Evidence) -> Sequence[Cell]:
    """The running means' error from an initial value of 10 against that from 0."""
    cells = []
    for epochs, momentum in ((1, 0.01), (1, 0.3), (16, 0.01), (16, 0.3)):
        of = {EPOCHS: epochs, MOMENTUM: momentum}
        before, after = (
            error(evidence, "starts", {**of, "norm.initial_mean": start}) for start in (0.0, 10.0)
        )
        left = (1 - momentum) ** (32 * epochs)
        told = f"{left:.1%}" if left > 1e-4 else "none"  # noqa: PLR2004  what a person can tell
        where = f"{32 * epochs} steps of {momentum} ({told} of the start left)"
        cells.append(ratio_cell(where, before, after, alike))
    return cells


def like_underfitting(evidence: Evidence) -> Sequence[Cell]:
    """After one epoch, momentum 0.01: test loss by running against population statistics."""
    cells = []
    for batch, steps in ((256, 8), (64, 32), (16, 125)):
        of = {BATCH: batch, EPOCHS: 1, MOMENTUM: 0.01}
        truth, shown = (
            evidence.sample("steps", metric, of) for metric in ("test_loss_population", "test_loss")
        )
        cells.append(ratio_cell(f"{steps} steps", truth, shown, above))
    return cells


def small_batches(evidence: Evidence) -> Sequence[Cell]:
    """By seed the momentum of the least test loss: batches of 16 against 256."""
    places: list[tuple[str, str, Sequence[float], dict[str, object]]] = [
        (f"lr {rate}, 12 epochs", "grid", GRID, {RATE: rate}) for rate in (0.03, 0.003)
    ]
    places += [
        (f"lr 0.01, {epochs} epochs", "steps", MOMENTA, {EPOCHS: epochs}) for epochs in (16, 4, 1)
    ]
    return [
        ratio_cell(
            where,
            best(evidence, study, momenta, {**of, BATCH: 256}),
            best(evidence, study, momenta, {**of, BATCH: 16}),
            below,
        )
        for where, study, momenta, of in places
    ]


def best(evidence: Evidence, study: str, momenta: Sequence[float], of: dict[str, object]) -> Sample:
    """By seed, the momentum of a grid with the least test loss."""
    losses = {a: evidence.sample(study, "test_loss", {**of, MOMENTUM: a}) for a in momenta}
    seeds = set.intersection(*(set(sample.values) for sample in losses.values()))
    values = {s: min(momenta, key=lambda a, s=s: losses[a].values[s]) for s in sorted(seeds)}  # type: ignore[misc]
    return Sample(values, tuple(each for sample in losses.values() for each in sample.run_ids))


def prediction_alone(evidence: Evidence) -> Sequence[Cell]:
    """Training to the bit, and the test loss of two momenta on the same weights."""
    training = computed.training_by_momentum(evidence)[0]
    before, after = (
        evidence.sample("momenta", "test_loss", {"norm": "batch", MOMENTUM: momentum})
        for momentum in (0.1, 0.5)
    )
    return [
        ratio_cell("prediction is affected, 0.5 : 0.1", before, after, _apart),
        Cell("training is not", opposite(training.holds), training.effect),
    ]


def _apart(found: Comparison) -> bool | None:
    """Whether a ratio surely differs from 1; fails where it is surely within the margin."""
    return True if found.decided else opposite(alike(found))


CLAIMS = (
    Claim(
        "S2.1",
        "moving ← moving·m + batch·(1−m)",
        "Written out in float64 over the stored batch statistics of runs: holds if the stored "
        "running means and (biased) variances agree to 1e-5 of their size.",
        "largest deviation",
        ("steps",),
        computed.update_rule,
        "holds",
        "right for TensorFlow and Keras, whose m is 1 − a",
    ),
    Claim(
        "S2.2",
        "in this formula Keras uses 0.99 and PyTorch 0.9",
        "Holds if 1 − torch.nn.BatchNorm1d(1).momentum is 0.9. Keras's half is by its source.",
        "1 − default",
        (),
        arithmetic.defaults,
        "holds",
        "right, but what you type in PyTorch is 0.1",
    ),
    Claim(
        "S2.3",
        "they start at (0, 1); in theory any value works",
        "Initial running mean 10 against 0: holds where the running means' errors in σ at the end "
        "are alike (ratio's interval within 1.1 either way), fails where it surely differs from 1.",
        "error from 10 : from 0",
        ("starts",),
        any_start,
        "holds only if",
        "asymptotically right; q^T of the start is left after T steps",
        revised=REVISED,
    ),
    Claim(
        "S2.4",
        "the incremental form, moving −= (moving − batch)·(1−m), is equivalent",
        "Both over 1,000 batches in float64: holds if they agree to 1e-12.",
        "largest deviation",
        (),
        arithmetic.incremental,
        "holds",
        "right algebraically",
    ),
    Claim(
        "S2.5",
        "a smaller m (larger a) is faster but noisier",
        "The error of the running means in σ. Faster: after 8 steps that of a = 0.9 is below that "
        "of 0.01. Noisier: after 2,000 steps with weights at rest (lr 1e-6) that of 0.3 is above "
        "that of 0.01. Holds if both do.",
        "mean error",
        ("steps", "rest and drift"),
        faster_and_noisier,
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
        closer_in_the_end,
        "holds only if",
        "only for stationary statistics, wrong under drift",
    ),
    Claim(
        "S2.7",
        "momentum does not affect training, only prediction",
        "Training: as S0.3, equal to the bit. Prediction: the test losses of 0.1 and 0.5 on the "
        "same weights differ (interval excludes 1); fails if they surely are within 1.1.",
        "loss of 0.5 : 0.1",
        ("momenta",),
        prediction_alone,
        "holds",
        "right, bit-exact",
        revised=REVISED,
    ),
    Claim(
        "S2.8",
        "a short training with a large m looks like underfitting in evaluation",
        "After one epoch with a = 0.01: holds if the test loss is above that of the same weights "
        "with population statistics (interval above 1), fails if below.",
        "running : population",
        ("steps",),
        like_underfitting,
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
        small_batches,
        "holds",
        "right direction",
    ),
    Claim(
        "S2.10",
        "its numpy code is batch norm as the frameworks have it",
        "Written out in NumPy: outputs in training and the running mean agree with PyTorch's to "
        "1e-5; the running variance agrees with PyTorch's (unbiased) and with Keras's (biased).",
        "variance, its : torch's",
        (),
        arithmetic.numpy_batch_norm,
        "holds only if",
        "correct; its running variance is biased, PyTorch's is not: (B − 1)/B",
    ),
)
"""In the order of the source."""
