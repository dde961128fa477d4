"""The claims on what norms do to training and evaluation: sources S1, S3 and S4."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from normexp.claims.claim import MARGIN, Cell, Claim, above, below
from normexp.claims.evidence import (
    Contrast,
    Evidence,
    Of,
    Series,
    by_seed,
    compared,
    correlation,
    gap,
    in_test_batches,
    judge,
    over_epochs,
)

NONE, BATCH, GROUP = ({"norm": name} for name in ("none", "batch", "group"))

LEARNT = {"quadratic": 340.0, "digits": math.log(10) / 2}
"""Half the test loss of the best constant prediction: var(y) = 685, ln 10."""

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DIGITS_RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def faster_and_better(evidence: Evidence) -> Iterator[Cell]:
    """Compare the final test loss and its geometric mean over the epochs, by momentum."""
    for value in (0.5, 0.01, 0.1, 0.9, 0.99):
        final = Contrast(f"momentum {value}", "momenta", NONE, {**BATCH, "norm.momentum": value})
        cell, path = final.cell(evidence), replace(final, metric=over_epochs).cell(evidence)
        held = {cell.holds, path.holds}
        yield replace(cell, holds=False if False in held else None if None in held else True)


def higher_rates(evidence: Evidence) -> Iterator[Cell]:
    """Compare how far up the grid of learning rates a seed learns; 0 where it learns at none."""
    for where, study, rates in (
        ("digits, SGD", "digits rates", DIGITS_RATES),
        ("two hidden layers", "shallow rates", RATES),
        ("S1's network", "rates", RATES),
    ):
        runs = tuple(evidence.runs(study, norm) for norm in (NONE, BATCH))
        values = _highest(runs[0], rates), _highest(runs[1], rates)
        cell = compared(where, values, above, scale="difference", runs=runs)
        bounds = [
            f"norm={norm} learns at the largest rate with {count} seeds: a bound"
            for norm, highest in zip(("none", "batch"), values, strict=True)
            if (count := int((highest == len(rates)).sum()))
        ]
        yield replace(cell, note="; ".join(bounds))


def _highest(runs: pd.DataFrame, rates: Sequence[float]) -> Series:
    """Return the place of the largest rate at which a seed learns, from 1; 0 if there is none."""
    learns = {rate: _learnt(runs[runs["optim.lr"] == rate]) for rate in rates}
    places = {place: learns[rate] * place for place, rate in enumerate(sorted(rates), 1)}
    return pd.DataFrame(places).dropna().max(axis=1).astype(float)


def _learnt(runs: pd.DataFrame) -> Series:
    """Return 1 for seeds whose weights beat half of the best constant, else 0; diverged: 0."""
    bound = runs["data"].map(LEARNT)
    good = (runs["status"] == "complete") & (runs["test_loss_population"].astype(float) < bound)
    return pd.Series(good.to_numpy(dtype=float), index=runs["seed"])


def smaller_gap(evidence: Evidence) -> Iterator[Cell]:
    """Compare test minus training loss, where the plain network surely overfits."""
    for where, study, of in (
        ("100 digits, 64 units", "few digits", {"data.train_size": 100, "model.width": 64}),
        ("100 digits, 16 units", "few digits", {"data.train_size": 100, "model.width": 16}),
        ("300 digits, 64 units", "few digits", {"data.train_size": 300, "model.width": 64}),
        ("300 digits, 16 units", "few digits", {"data.train_size": 300, "model.width": 16}),
        ("50 random points", "few points", {"data.train_size": 50}),
        ("200 random points", "few points", {"data.train_size": 200}),
    ):
        plain: dict[str, Any] = {**of, **NONE}
        fitted, tested = "train_loss_population", "test_loss_population"
        apart = Contrast(where, study, plain, {}, fitted, tested, rule=above).cell(evidence)
        if apart.holds:
            yield Contrast(where, study, plain, BATCH, gap, scale="difference").cell(evidence)
        else:
            note = "no overfitting to prevent; test : training loss without norm"
            yield replace(apart, holds=None, note=note, posed=False)


def any_weights(evidence: Evidence) -> Iterator[Cell]:
    """Compare the share of five initial standard deviations from which a seed learns."""
    runs = evidence.runs("weights", NONE), evidence.runs("weights", BATCH)
    none, batch = (_learnt(each).groupby(level=0).mean() for each in runs)
    yield compared("", (none, batch), above, scale="difference", runs=runs)


def gradients(_: Evidence) -> Iterator[Cell]:
    """Compare a batch's gradient, and its noise, of batches of 256 against 16, over 8 seeds."""
    seen = {size: [_gradient(seed, size) for seed in range(8)] for size in (16, 256)}
    for place, where in ((0, "size of the gradient"), (1, "noise of the gradient")):
        small, large = (pd.Series([each[place] for each in seen[size]]) for size in (16, 256))
        yield compared(where, (small, large), below)


def _gradient(seed: int, batch_size: int) -> tuple[float, float]:
    """Return the mean norm of a batch's gradient, and the root of its variance over an epoch.

    Of S1's network at its initial weights, on S1's training points.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    rng = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.BatchNorm1d(1)]
    for place in range(8):
        layers += [nn.Linear(10 if place else 1, 10), nn.BatchNorm1d(10), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Linear(10, 1))
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1, generator=rng)
            nn.init.constant_(layer.bias, -0.2)
    x = torch.linspace(-7, 10, 2000)[:, None]
    y = x**2 - 5 + 2 * torch.randn(2000, 1, generator=rng)
    found = []
    whole = 2000 // batch_size * batch_size
    for chosen in torch.randperm(2000, generator=rng)[:whole].view(-1, batch_size):
        loss = functional.mse_loss(network(x[chosen]), y[chosen])
        parts = torch.autograd.grad(loss, list(network.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    stacked = torch.stack(found)
    return float(stacked.norm(dim=1).mean()), float(stacked.var(0).sum().sqrt())


def unrealistic(evidence: Evidence) -> Iterator[Cell]:
    """Compare test batches' own statistics with population statistics of the same weights."""
    regression: Of = {**BATCH, "norm.momentum": 0.1}
    lenet: Of = {**BATCH, "train.batch_size": 64}
    for name, study, of in (
        ("S1's regression", "momenta", regression),
        ("LeNet", "digits norms", lenet),
    ):
        for kind, metric in (
            ("batches of 4", in_test_batches(4, by_class=False)),
            ("batches of 16", in_test_batches(16, by_class=False)),
            ("sorted batches of 16", in_test_batches(16, by_class=True)),
            ("whole test set", "test_loss_test_batch"),
        ):
            yield Contrast(
                f"{name}, {kind}", study, of, {}, "test_loss_population", metric,
                rule=partial(above, bound=MARGIN),
            ).cell(evidence)  # fmt: skip


def batch_dependence(evidence: Evidence) -> Iterator[Cell]:
    """Compare how the test loss grows from batches of 64 to small ones, at equal updates."""
    for size in (2, 8):
        studies = f"200 updates by {size}", "203 updates by 64"
        runs = {norm: [evidence.runs(s, {"norm": norm}) for s in studies]
                for norm in ("batch", "group")}  # fmt: skip
        batch, group = (
            by_seed(few, "test_loss") / by_seed(many, "test_loss") for few, many in runs.values()
        )
        frames = (*runs["batch"], *runs["group"])
        yield compared(f"batches of {size}", (batch.dropna(), group.dropna()), below, runs=frames)


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
        "Learnt: population test loss below half that of the best constant. By seed, the place in "
        "the grid of the largest rate at which it learns, 0 where it learns at none. Holds if that "
        "is higher with batch norm (interval of the difference above 0), fails if lower.",
        "places in the grid, BN − none",
        ("rates", "shallow rates", "digits rates"),
        higher_rates,
        "holds",
        "plausible, to be tested",
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
        "right direction",
    ),
    Claim(
        "S1.7",
        "the difference between the two networks is the batch norm of the layers",
        "The plain network gets raw input, the other normalised input. Holds if hidden norms lower "
        "the test loss with the input alike, normalised or not (intervals below 1).",
        "loss, BN : none",
        ("inputs",),
        judge(
            *(
                Contrast(where, "inputs", {**NONE, "model.input_norm": given}, BATCH)
                for where, given in (("input as it is", False), ("input normalised", True))
            )
        ),
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
        judge(
            *(
                Contrast(
                    f"batch {size}, lr {rate}",
                    "grid",
                    {"train.batch_size": size, "optim.lr": rate, "norm.momentum": 0.1},
                    {"norm.momentum": 0.5},
                )
                for rate in (0.03, 0.003)
                for size in (64, 16, 256)
            )
        ),
        "holds only if",
        "near-optimal for this task and rate: fast drift",
    ),
    Claim(
        "S3.1",
        "put batch norm after the input, not before the activation",
        "Test loss of the weights (population statistics), norm after the activation against "
        "before. Holds if after is lower (interval below 1), fails if higher.",
        "loss, after : before",
        ("placements",),
        judge(
            *(
                Contrast(
                    f"batches of {size}",
                    "placements",
                    {"norm.placement": "before", "train.batch_size": size},
                    {"norm.placement": "after"},
                    "test_loss_population",
                )
                for size in (8, 64)
            )
        ),
        None,
        "contradicts its own code; the order is an empirical question",
    ),
    Claim(
        "S3.4",
        "larger batches: smaller parameter changes; smaller batches: noisier",
        "Gradients of S1's network at its initial weights over an epoch, batches of 256 against "
        "16. Two cells: the norm of a batch's gradient is smaller (a step of SGD is lr times it); "
        "their standard deviation over the batches is smaller (intervals below 1).",
        "batch 256 : 16",
        (),
        gradients,
        None,
        "the noise part is right",
    ),
    Claim(
        "S3.5",
        "statistics recomputed at test time give unrealistic errors",
        "The realistic error is that of the same weights by population statistics. Test batches of "
        "4 and 16 at random, of 16 sorted by class (of the regression: by x), and the whole test "
        "set as one. Holds if the test loss by the test batches' own statistics is more than 1.1 "
        "times the realistic one (interval above 1.1), fails if it surely is not.",
        "test batch : population",
        ("momenta", "digits norms"),
        unrealistic,
        "holds only if",
        "test batches that are tiny or sorted; a whole test set is as good as the training set",
    ),
    Claim(
        "S4.2",
        "group norm reduces the correlation between features",
        "Trained LeNets of all seeds, test images: the mean |correlation| of a convolution's "
        "channels after group norm over that before, holds if below 1 (interval), fails if above; "
        "both convolutions.",
        "|correlation|, after : before",
        ("digits norms",),
        judge(
            *(
                Contrast(
                    f"convolution {layer}",
                    "digits norms",
                    {**GROUP, "train.batch_size": 8},
                    {},
                    correlation(layer, is_after=False),
                    correlation(layer, is_after=True),
                )
                for layer in (1, 2)
            )
        ),
        "fails",
        "no whitening",
    ),
    Claim(
        "S4.4",
        "group norm depends less on the batch size than batch norm",
        "LeNet on digits, 200 updates whatever the batch size: growth of the test loss (running "
        "statistics of momentum 0.1) from batches of 64 to small ones. Holds if group norm's is "
        "below batch norm's (interval below 1), fails if above.",
        "growth, GN : BN",
        ("200 updates by 2", "200 updates by 8", "203 updates by 64"),
        batch_dependence,
        "holds",
        "right; it is batch norm that small batches hurt",
    ),
)
