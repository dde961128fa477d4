"""The claims on what norms do to training and evaluation: sources S1, S3 and S4."""

from functools import partial

from normexp.claims.criteria import (
    BATCH,
    GROUP,
    MARGIN,
    NONE,
    Claim,
    above,
    better_and_faster,
    contrast,
    highest_rate,
    share_learnt,
    smaller_gap,
    smaller_gradient,
    smaller_growth,
)
from normexp.claims.metrics import correlation, in_test_batches

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DIGITS_RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

CLAIMS = (
    Claim(
        "S1.1",
        "with batch norm the network converges faster and to a better loss",
        "Holds at a momentum if both the final test loss and its geometric mean over the epochs "
        "are below those without norm (intervals below 1); fails if one is above.",
        "loss, BN : none",
        ("momenta",),
        tuple(
            better_and_faster(
                f"momentum {value}", "momenta", NONE, {**BATCH, "norm.momentum": value}
            )
            for value in (0.5, 0.01, 0.1, 0.9, 0.99)
        ),
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
        (
            highest_rate("digits, SGD", "digits rates", DIGITS_RATES),
            highest_rate("two hidden layers", "shallow rates", RATES),
            highest_rate("S1's network", "rates", RATES),
        ),
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
        (
            *(
                smaller_gap(
                    f"{size} digits, {width} units",
                    "few digits",
                    {"data.train_size": size, "model.width": width},
                )
                for size in (100, 300)
                for width in (64, 16)
            ),
            smaller_gap("50 random points", "few points", {"data.train_size": 50}),
            smaller_gap("200 random points", "few points", {"data.train_size": 200}),
        ),
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
        (share_learnt("", "weights"),),
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
        (
            contrast("input as it is", "inputs", {**NONE, "model.input_norm": False}, BATCH),
            contrast("input normalised", "inputs", {**NONE, "model.input_norm": True}, BATCH),
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
        tuple(
            contrast(
                f"batch {size}, lr {rate}",
                "grid",
                {"train.batch_size": size, "optim.lr": rate, "norm.momentum": 0.1},
                {"norm.momentum": 0.5},
            )
            for rate in (0.03, 0.003)
            for size in (64, 16, 256)
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
        tuple(
            contrast(
                f"batches of {size}",
                "placements",
                {"norm.placement": "before", "train.batch_size": size},
                {"norm.placement": "after"},
                "test_loss_population",
            )
            for size in (8, 64)
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
        (
            smaller_gradient("size of the gradient", 0),
            smaller_gradient("noise of the gradient", 1),
        ),
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
        tuple(
            contrast(
                f"{name}, {kind}",
                study,
                {**BATCH, **of},
                {},
                "test_loss_population",
                metric,
                rule=partial(above, bound=MARGIN),
            )
            for name, study, of in (
                ("S1's regression", "momenta", {"norm.momentum": 0.1}),
                ("LeNet", "digits norms", {"train.batch_size": 64}),
            )
            for kind, metric in (
                ("batches of 4", in_test_batches(4, by_class=False)),
                ("batches of 16", in_test_batches(16, by_class=False)),
                ("sorted batches of 16", in_test_batches(16, by_class=True)),
                ("whole test set", "test_loss_test_batch"),
            )
        ),
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
        tuple(
            contrast(
                f"convolution {layer}",
                "digits norms",
                {**GROUP, "train.batch_size": 8},
                {},
                correlation(layer, is_after=False),
                correlation(layer, is_after=True),
            )
            for layer in (1, 2)
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
        tuple(
            smaller_growth(f"batches of {size}", f"200 updates by {size}", "203 updates by 64")
            for size in (2, 8)
        ),
        "holds",
        "right; it is batch norm that small batches hurt",
    ),
)
