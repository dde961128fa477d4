"""The claims of S1: batch norm against none on a noisy parabola."""

import math
from collections.abc import Sequence

from normexp.analysis.arms import Row
from normexp.claims import computed
from normexp.claims.claim import MARGIN, Cell, Claim, above, below, both
from normexp.claims.evidence import Evidence, Sample, compared, ratio_cell

MOMENTUM, RATE, STD, BIAS = "norm.momentum", "optim.lr", "model.weight_std", "model.bias_init"

LEARNT = {"quadratic": 340.0, "digits": math.log(10) / 2}
"""Half the test loss of the best constant prediction: var(y) = 685, ln 10."""

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
DIGITS_RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


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
        cells.append(
            Cell(cell.where, both(cell.holds, below(path)), "", cell.comparison, cell.run_ids)
        )
    return cells


def higher_rates(evidence: Evidence) -> Sequence[Cell]:
    """The largest learning rate at which a network learns, batch norm's against none's."""
    places = (
        ("digits, SGD", "digits rates", DIGITS_RATES),
        ("two hidden layers", "shallow rates", RATES),
        ("S1's network", "rates", RATES),
    )
    return [
        ratio_cell(
            where,
            largest_rate(evidence, study, "none", rates),
            largest_rate(evidence, study, "batch", rates),
            above,
        )
        for where, study, rates in places
    ]


def largest_rate(evidence: Evidence, study: str, norm: str, rates: Sequence[float]) -> Sample:
    """By seed, the largest rate with a loss below `LEARNT`; a tenth of the smallest if none is."""
    by_rate = {rate: _learnt(evidence, study, {"norm": norm, RATE: rate}) for rate in rates}
    seeds = sorted({int(row["seed"]) for row in evidence.rows(study, {"norm": norm})})
    values = {
        seed: max((r for r in rates if by_rate[r].values.get(seed)), default=min(rates) / 10)
        for seed in seeds
    }
    return Sample(values, tuple(each for s in by_rate.values() for each in s.run_ids))


def smaller_gap(evidence: Evidence) -> Sequence[Cell]:
    """Test minus training loss by population statistics, batch norm's minus none's."""

    def gap(row: Row) -> float:
        return float(row["test_loss_population"]) - float(row["train_loss_population"])

    return [
        ratio_cell(
            where,
            evidence.sample(study, gap, {"norm": "none"}),
            evidence.sample(study, gap, {"norm": "batch", MOMENTUM: momentum}),
            below,
            scale="difference",
        )
        for where, study, momentum in (
            ("S1, 2,000 points", "momenta", 0.5),
            ("50 points, 2×40 units", "few points", 0.5),
            ("100 digits", "few digits", 0.1),
        )
    ]


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


def cancelled_bias(evidence: Evidence) -> Sequence[Cell]:
    """The training loss of the first batch from every bias, relative to that from 0."""
    rows = evidence.rows("biases", {"norm": "batch"})
    first = {
        (int(row["seed"]), float(row[BIAS])): float(evidence.table(row, "steps")["train_loss"][0])
        for row in rows
    }
    # The output layer has no norm: its bias shifts the prediction, so it is the start that counts.
    largest = max(
        (abs(loss / first[seed, 0.0] - 1) for (seed, _), loss in first.items()), default=math.nan
    )
    ids = tuple(str(row["run_id"]) for row in rows)
    return [Cell("", largest < 0.05 if rows else None, f"{largest:.2g} of the loss", None, ids)]  # noqa: PLR2004


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
        "rate of the grid at which a seed learns is larger with batch norm (interval above 1); "
        "no rate at all counts as a tenth of the smallest. Fails if smaller.",
        "largest rate, BN : none",
        ("rates", "shallow rates", "digits rates"),
        higher_rates,
        None,
        "plausible, to be tested",
    ),
    Claim(
        "S1.3",
        "batch norm regularises and prevents overfitting",
        "Gap: test minus training loss, both by population statistics, after equal epochs. Holds "
        "if batch norm's is smaller (interval below 0), fails if larger.",
        "gap, BN − none",
        ("momenta", "few points", "few digits"),
        smaller_gap,
        None,
        "not shown by its experiment, 2,000 points and underfitting",
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
        "Holds if with batch norm the training loss of the first batch changes by less than 5 % "
        "whatever the bias: what is left is the output layer's own, which has no norm.",
        "largest change",
        ("biases",),
        cancelled_bias,
        "holds",
        "a bias before the norm is cancelled exactly",
        afterthought="ill-posed: the output layer's bias of 1, which no norm follows, moves the "
        "loss of some first batches by a little more than 5 %; S1.10 leaves that bias alone",
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
    Claim(
        "S1.10",
        "the same of the hidden layers' biases alone",
        "S1's network in PyTorch: holds if the training loss of a batch is the same to 1e-4 "
        "whether all hidden biases are −0.2, 0 or 1, with each of five seeds.",
        "largest change",
        (),
        computed.hidden_bias,
        "holds",
        "a bias before the norm is cancelled exactly",
        afterthought="written after S1.6 had been seen",
    ),
)
"""In the order of the source."""
