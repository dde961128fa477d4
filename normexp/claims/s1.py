"""The claims of S1: batch norm against none on a noisy parabola."""

import math
from collections.abc import Sequence
from dataclasses import replace

from normexp.analysis.arms import Row
from normexp.analysis.comparison import FEWEST
from normexp.claims import computed
from normexp.claims.claim import MARGIN, REVISED, Cell, Claim, above, below, both
from normexp.claims.evidence import Evidence, Sample, compared, ratio_cell

MOMENTUM, RATE, STD, BIAS = "norm.momentum", "optim.lr", "model.weight_std", "model.bias_init"
SIZE, WIDTH = "data.train_size", "model.width"

LEARNT = {"quadratic": 340.0, "digits": math.log(10) / 2}
"""Half the test loss of the best constant prediction: var(y) = 685, ln 10."""

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DIGITS_RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def faster_and_better(evidence: Evidence) -> Sequence[Cell]:
    """By momentum: the final test loss, and the geometric mean over the epochs."""

    def over_epochs(row: Row) -> float:
        losses = evidence.table(row, "metrics")["test_loss"].to_numpy()[1:]
        return math.exp(sum(math.log(loss) for loss in losses) / len(losses))

    plain, plain_path = (
        evidence.sample("momenta", metric, {"norm": "none"})
        for metric in ("test_loss", over_epochs)
    )
    cells = []
    for momentum in (0.5, 0.01, 0.1, 0.9, 0.99):
        of = {"norm": "batch", MOMENTUM: momentum}
        cell = ratio_cell(
            f"momentum {momentum}", plain, evidence.sample("momenta", "test_loss", of), below
        )
        path = compared(plain_path, evidence.sample("momenta", over_epochs, of), "ratio")
        cells.append(replace(cell, holds=both(cell.holds, below(path))))
    return cells


def higher_rates(evidence: Evidence) -> Sequence[Cell]:
    """The largest learning rate at which a network learns, batch norm's against none's."""
    places = (
        ("digits, SGD", "digits rates", DIGITS_RATES),
        ("two hidden layers", "shallow rates", RATES),
        ("S1's network", "rates", RATES),
    )
    return [_rates_cell(evidence, *place) for place in places]


def _rates_cell(evidence: Evidence, where: str, study: str, rates: Sequence[float]) -> Cell:
    """Of the seeds that learn in both arms; too few of them pose no question."""
    arms = {norm: largest_rate(evidence, study, norm, rates) for norm in ("none", "batch")}
    cell = ratio_cell(where, arms["none"], arms["batch"], above)
    seeds = {int(row["seed"]) for row in evidence.rows(study, {})}
    told = []
    for norm, sample in arms.items():
        if never := len(seeds - sample.values.keys()):
            told.append(f"norm={norm} learns at no rate with {never} of {len(seeds)} seeds")
        if capped := sum(rate == max(rates) for rate in sample.values.values()):
            told.append(f"norm={norm} learns at the largest rate with {capped}: a bound")
    is_posed = not seeds or len(arms["none"].values.keys() & arms["batch"].values.keys()) >= FEWEST
    return replace(cell, note="; ".join(told), posed=is_posed)


def largest_rate(evidence: Evidence, study: str, norm: str, rates: Sequence[float]) -> Sample:
    """By seed, the largest rate with a loss below `LEARNT`; seeds that learn at none are not in."""
    by_rate = {rate: _learnt(evidence, study, {"norm": norm, RATE: rate}) for rate in rates}
    values: dict[int, float] = {}
    for rate in sorted(rates):
        values |= {seed: rate for seed, is_good in by_rate[rate].values.items() if is_good}
    return Sample(values, tuple(each for s in by_rate.values() for each in s.run_ids))


def smaller_gap(evidence: Evidence) -> Sequence[Cell]:
    """Test minus training loss by population statistics, batch norm's minus none's.

    Only where there is overfitting to prevent: where the plain network's losses are surely apart.
    """

    def gap(row: Row) -> float:
        return float(row["test_loss_population"]) - float(row["train_loss_population"])

    cells = []
    for where, study, of in (
        ("100 digits, 64 units", "few digits", {SIZE: 100, WIDTH: 64}),
        ("100 digits, 16 units", "few digits", {SIZE: 100, WIDTH: 16}),
        ("300 digits, 64 units", "few digits", {SIZE: 300, WIDTH: 64}),
        ("300 digits, 16 units", "few digits", {SIZE: 300, WIDTH: 16}),
        ("50 random points", "few points", {SIZE: 50}),
        ("200 random points", "few points", {SIZE: 200}),
    ):
        plain = {"norm": "none", **of}
        fitted, tested = (
            evidence.sample(study, f"{part}_loss_population", plain) for part in ("train", "test")
        )
        apart = ratio_cell(where, fitted, tested, above)
        if apart.holds:
            before = evidence.sample(study, gap, plain)
            after = evidence.sample(study, gap, {**of, "norm": "batch"})
            cells.append(ratio_cell(where, before, after, below, scale="difference"))
        else:
            told = "no overfitting to prevent; test : training loss without norm"
            cells.append(replace(apart, holds=None, note=told, posed=False))
    return cells


def any_weights(evidence: Evidence) -> Sequence[Cell]:
    """The share of initial weights that learn, batch norm's minus none's."""
    stds = (0.01, 0.03, 0.1, 0.3, 1.0)
    shares = []
    for norm in ("none", "batch"):
        learnt = [_learnt(evidence, "weights", {"norm": norm, STD: std}) for std in stds]
        total = learnt[0]
        for each in learnt[1:]:
            total = total.with_other(each, lambda a, b: a + b)
        shares.append(total.map(lambda count: count / len(stds)))
    without, with_norm = shares
    return [ratio_cell("", without, with_norm, above, scale="difference")]


def bad_bias(evidence: Evidence) -> Sequence[Cell]:
    """Without norm: the loss from biases of −0.2 against that from 0."""
    before, after = (
        evidence.sample("biases", "test_loss", {"norm": "none", BIAS: bias}) for bias in (0.0, -0.2)
    )
    return [ratio_cell("", before, after, lambda found: above(found, MARGIN))]


def own_gain(evidence: Evidence) -> Sequence[Cell]:
    """Hidden norms against none, the input alike."""
    return [
        ratio_cell(
            where,
            evidence.sample("inputs", "test_loss", {"norm": "none", "model.input_norm": given}),
            evidence.sample("inputs", "test_loss", {"norm": "batch", "model.input_norm": given}),
            below,
        )
        for where, given in (("input as it is", False), ("input normalised", True))
    ]


def half(evidence: Evidence) -> Sequence[Cell]:
    """Momentum 0.5 against PyTorch's default of 0.1."""
    cells = []
    for batch, rate in ((64, 0.03), (16, 0.03), (256, 0.03), (16, 0.003), (64, 0.003),
                        (256, 0.003)):  # fmt: skip
        of = {"train.batch_size": batch, RATE: rate}
        before, after = (
            evidence.sample("grid", "test_loss", {**of, MOMENTUM: momentum})
            for momentum in (0.1, 0.5)
        )
        cells.append(ratio_cell(f"batch {batch}, lr {rate}", before, after, below))
    return cells


def _learnt(evidence: Evidence, study: str, of: dict[str, object]) -> Sample:
    """1 where the weights are better than half of the best constant, else 0; diverged: 0."""
    rows = evidence.rows(study, of)
    values = {}
    for row in rows:
        loss = row["test_loss_population"]
        is_good = row["status"] == "complete" and loss is not None and loss < LEARNT[row["data"]]
        values[int(row["seed"])] = float(is_good)
    return Sample(values, tuple(str(row["run_id"]) for row in rows))


CLAIMS = (
    Claim(
        "S1.1",
        "with batch norm the network converges faster and to a better loss",
        "Holds at a momentum if both the final test loss and its geometric mean over the epochs "
        "are below those without norm (intervals below 1); fails if one is above.",
        "loss, BN : none",
        ("momenta",),
        faster_and_better,
        "holds only if",
        "right here if the running statistics are good; a = 0.01 hides it",
    ),
    Claim(
        "S1.2",
        "batch norm allows higher learning rates",
        "Learnt: population test loss below half that of the best constant. Holds if the largest "
        "rate of the grid at which a seed learns is larger with batch norm (interval above 1), "
        "fails if smaller. Seeds that learn at no rate in one arm have no ratio; with fewer than "
        "six others the question is not posed.",
        "largest rate, BN : none",
        ("rates", "shallow rates", "digits rates"),
        higher_rates,
        None,
        "plausible, to be tested",
        revised=REVISED,
    ),
    Claim(
        "S1.3",
        "batch norm regularises and prevents overfitting",
        "Training and test set of one distribution. Counts only where the plain network overfits: "
        "its test loss surely above its training loss. Gap: test minus training loss, both by "
        "population statistics, after equal epochs. Holds if batch norm's is smaller (interval "
        "below 0), fails if larger.",
        "gap, BN − none",
        ("few digits", "few points"),
        smaller_gap,
        None,
        "not shown by its experiment, 2,000 points and underfitting",
        revised=REVISED,
    ),
    Claim(
        "S1.4",
        "batch norm makes the network less dependent on its initial weights",
        "Of five stds of the initial weights from 0.01 to 1: the share at which a seed learns "
        "(as in S1.2). Holds if larger with batch norm (interval above 0), fails if smaller.",
        "share, BN − none",
        ("weights",),
        any_weights,
        "holds",
        "right direction; the bias does not show it (S1.5)",
    ),
    Claim(
        "S1.5",
        "the 'bad' initial bias −0.2 shows the plain network's weakness",
        "Holds if without norm the test loss from −0.2 is more than 1.1 times that from 0 "
        "(interval above 1.1), fails if the interval is below 1.1.",
        "loss of −0.2 : 0, none",
        ("biases",),
        bad_bias,
        "fails",
        "not a fair test of robustness: the network without norm is stuck anyway",
    ),
    Claim(
        "S1.6",
        "batch norm does not care for the initial bias (in training)",
        "S1's network in PyTorch: holds if the training loss of a batch is the same to 1e-4 "
        "whether all hidden biases are −0.2, 0 or 1, with each of five seeds. The output layer's "
        "bias, which no norm follows, stays.",
        "largest change",
        (),
        computed.hidden_bias,
        "holds",
        "a bias before the norm is cancelled exactly",
        revised=REVISED,
    ),
    Claim(
        "S1.7",
        "the difference between the two networks is the batch norm of the layers",
        "The plain network gets raw input, the other normalised input. Holds if hidden norms lower "
        "the test loss with the input alike, normalised or not (intervals below 1).",
        "loss, BN : none",
        ("inputs",),
        own_gain,
        "holds",
        "confounded as given; a 2×2 can tell",
    ),
    Claim(
        "S1.8",
        "momentum 0.5 is a good choice (no reason given)",
        "Holds if its test loss is below that of PyTorch's default 0.1 (interval below 1), fails "
        "if above.",
        "loss of 0.5 : 0.1",
        ("grid",),
        half,
        "holds only if",
        "near-optimal for this task and rate: fast drift",
    ),
    Claim(
        "S1.9",
        "evaluation mode fixes the moving mean and variance",
        "A trained torch.nn.BatchNorm1d in evaluation mode: holds if buffers and predictions of an "
        "example are equal to the bit before and after other batches go through.",
        "change",
        (),
        computed.frozen_in_evaluation,
        "holds",
        "right",
    ),
)
"""In the order of the source."""
