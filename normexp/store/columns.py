"""Every column of every table: name, type, unit and meaning, in this one place.

`runs/README.md` shows the same to people; a test keeps the two equal.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["int", "loss", "statistic", "text"]


@dataclass(frozen=True)
class Column:
    """One column. A `statistic` is stored in the dtype of the training, a `loss` in float64."""

    name: str
    kind: Kind
    unit: str
    doc: str


STEP = Column("step", "int", "steps", "optimizer steps taken")
EPOCH = Column("epoch", "int", "epochs", "passes over the training set begun or, at a point, ended")
LAYER = Column("layer", "text", "", "norm site: input, hidden1, hidden2, ...")
CHANNEL = Column("channel", "int", "", "feature within the layer, from 0")
TRAIN_POPULATION = Column(
    "train_loss_population", "loss", "loss", "training set, normalised by itself as one batch"
)
TEST_POPULATION = Column(
    "test_loss_population", "loss", "loss", "test set, population statistics of these weights"
)
TEST_BATCH = Column("test_loss_test_batch", "loss", "loss", "test set, normalised by itself")
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
    ),
    "stats": (
        STEP,
        LAYER,
        CHANNEL,
        Column("running_mean", "statistic", "activation", "as the run's momentum has it"),
        Column("running_var", "statistic", "activation²", "the same, of unbiased batch variances"),
        POPULATION_MEAN,
        POPULATION_VAR,
    ),
    "layers": (
        STEP,
        LAYER,
        Column("mean_error", "loss", "σ", "RMS over channels of (running − population mean) / σ"),
        Column("log_var_ratio", "loss", "ln", "mean over channels of ln(running / population var)"),
    ),
    "batch_stats": (
        STEP,
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
        *(
            Column(column.name, "statistic", column.unit, column.doc)
            for column in (TRAIN_POPULATION, TEST_POPULATION, TEST_BATCH)
        ),
    ),
    "population": (STEP, LAYER, CHANNEL, POPULATION_MEAN, POPULATION_VAR),
}
"""By table: three of a run (metrics, stats, layers), four of a trajectory."""

RUN_TABLES = ("metrics", "stats", "layers")
