"""Every column of every table: name, type, unit and meaning, in this one place.

`runs/README.md` shows the same to people; a test keeps the two equal.
"""

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["int", "loss", "statistic", "text"]


@dataclass(frozen=True)
class Column:
    """One column. A `statistic` is stored in the dtype of the training, a `loss` in float64.

    An optional one is there where it says something: accuracies of labels, parts of ghost norms.
    """

    name: str
    kind: Kind
    unit: str
    doc: str
    optional: bool = False


STEP = Column("step", "int", "steps", "optimizer steps taken")
EPOCH = Column("epoch", "int", "epochs", "passes over the training set begun or, at a point, ended")
LAYER = Column("layer", "text", "", "input, hidden1, hidden2, ..., or conv1, ..., as in the model")
CHANNEL = Column("channel", "int", "", "feature within the layer, from 0")
TRAIN_POPULATION = Column(
    "train_loss_population", "loss", "loss", "training set as one batch, normalised by itself"
)
TEST_POPULATION = Column(
    "test_loss_population", "loss", "loss", "test set, population statistics of these weights"
)
TEST_BATCH = Column("test_loss_test_batch", "loss", "loss", "test set, normalised by itself")
REFERENCE_LOSSES = (TRAIN_POPULATION, TEST_POPULATION, TEST_BATCH)
REFERENCE_ACCURACIES = tuple(
    Column(column.name.replace("loss", "accuracy"), "loss", "share", column.doc, optional=True)
    for column in REFERENCE_LOSSES
)
REFERENCE_COLUMNS = (*REFERENCE_LOSSES, *REFERENCE_ACCURACIES)
POPULATION_MEAN = Column(
    "population_mean", "statistic", "activation", "over the training set as one batch"
)
POPULATION_VAR = Column(
    "population_var", "statistic", "activation²", "the same, unbiased (divided by n − 1)"
)

TABLES: dict[str, tuple[Column, ...]] = {
    "metrics": (
        STEP,
        EPOCH,
        Column("train_loss", "loss", "loss", "training mode, mean over the epoch that ends here"),
        TRAIN_POPULATION,
        Column("test_loss", "loss", "loss", "test set, running statistics"),
        TEST_POPULATION,
        TEST_BATCH,
        Column("excess_loss", "loss", "loss", "test_loss − test_loss_population"),
        Column("test_accuracy", "loss", "share", "test set, running statistics", optional=True),
        *REFERENCE_ACCURACIES,
    ),
    "stats": (
        STEP,
        LAYER,
        CHANNEL,
        Column("running_mean", "statistic", "activation", "as the run's estimator has it"),
        Column("running_var", "statistic", "activation²", "the same, by norm.running_variance"),
        POPULATION_MEAN,
        POPULATION_VAR,
    ),
    "layers": (
        STEP,
        LAYER,
        Column(
            "mean_error", "loss", "σ", "RMS of (running − population mean) / σ, of varying channels"
        ),
        Column(
            "log_var_ratio",
            "loss",
            "ln",
            "mean of ln(running / population var), of varying channels",
        ),
    ),
    "batch_stats": (
        STEP,
        Column("part", "int", "", "virtual batch of ghost norms, from 0", optional=True),
        LAYER,
        CHANNEL,
        Column("batch_mean", "statistic", "activation", "of the batch of this step"),
        Column("batch_var", "statistic", "activation²", "the same, unbiased"),
    ),
    "steps": (
        STEP,
        EPOCH,
        Column("batch_size", "int", "examples", "of this step's batch"),
        Column("train_loss", "statistic", "loss", "of this batch, before its update"),
    ),
    "points": (
        STEP,
        EPOCH,
        *(replace(column, kind="statistic") for column in REFERENCE_COLUMNS),
    ),
    "population": (STEP, LAYER, CHANNEL, POPULATION_MEAN, POPULATION_VAR),
}
"""By table: three of a run, four of a trajectory."""

RUN_TABLES = ("metrics", "stats", "layers")
"""Those of a run."""

TRAJECTORY_TABLES = tuple(name for name in TABLES if name not in RUN_TABLES)
"""Those of a trajectory."""
