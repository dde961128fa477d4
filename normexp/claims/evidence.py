"""What claims are judged by: the runs of the studies as frames, and metrics of a run."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from normexp.claims.claim import Cell, Rule, below
from normexp.insight.comparison import Scale, compare_paired
from normexp.store.stored import read_run

if TYPE_CHECKING:
    import torch

    from normexp.config.schema import RunConfig

Of = Mapping[str, Any]
"""Which runs: values of fields, by dotted name; kinds by the name of their group."""

Run = Mapping[str, Any]
"""A row of `normexp.read`."""

Metric = str | Callable[[Run], float]
"""A column of the runs' frame, or a function of a run."""

Series: TypeAlias = "pd.Series[float]"
"""Values by seed."""


@dataclass(frozen=True)
class Evidence:
    """The runs of the studies by the studies' names, a frame each with one row a run."""

    studies: Mapping[str, pd.DataFrame]

    def runs(self, study: str, of: Of) -> pd.DataFrame:
        """Return the runs of a study with these values, diverged ones too."""
        frame = self.studies[study]
        kept = pd.Series(data=True, index=frame.index)
        for name, value in of.items():
            kept &= frame[name] == value
        return frame[kept]


@dataclass(frozen=True)
class Contrast:
    """Two sets of runs, compared seed by seed.

    Attributes:
        where: the condition, in words.
        study: the runs' study.
        baseline: which runs.
        other: which runs; those of the baseline with these values changed.
        metric: of both.
        metric_of_other: where the other's is another one.
        scale: of the comparison.
        rule: by which the claim holds.
    """

    where: str
    study: str
    baseline: Of
    other: Of
    metric: Metric = "test_loss"
    metric_of_other: Metric | None = None
    scale: Scale = "ratio"
    rule: Rule = below

    def cell(self, evidence: Evidence) -> Cell:
        """Return the cell that the runs give."""
        before = evidence.runs(self.study, self.baseline)
        after = evidence.runs(self.study, {**self.baseline, **self.other})
        return compared(
            self.where,
            (by_seed(before, self.metric), by_seed(after, self.metric_of_other or self.metric)),
            self.rule,
            scale=self.scale,
            runs=(before, after),
        )


def judge(*contrasts: Contrast) -> Callable[[Evidence], Iterator[Cell]]:
    """Return the judge of a claim that holds if each of these contrasts confirms it."""
    return lambda evidence: (each.cell(evidence) for each in contrasts)


def by_seed(runs: pd.DataFrame, metric: Metric) -> Series:
    """Return a metric of the complete runs, by seed."""
    complete = runs[runs["status"] == "complete"]
    if isinstance(metric, str):
        return complete.set_index("seed")[metric].astype(float)
    values = [metric({str(k): v for k, v in row.items()}) for row in complete.to_dict("records")]
    return pd.Series(values, index=complete["seed"], dtype=float)


def compared(
    where: str,
    values: tuple[Series, Series],
    rule: Rule,
    *,
    scale: Scale = "ratio",
    runs: tuple[pd.DataFrame, ...] = (),
) -> Cell:
    """Return the cell of two series compared by seed: the baseline's and the other's.

    Args:
        where: the condition, in words.
        values: by seed; seeds that one of them lacks are left out.
        rule: by which the claim holds.
        scale: of the comparison.
        runs: behind the values; those that diverged are counted in the note.
    """
    both = pd.concat(values, axis=1, join="inner").sort_index()
    found = compare_paired(both.iloc[:, 0].tolist(), both.iloc[:, 1].tolist(), scale)
    ids = tuple(str(each) for frame in runs for each in frame["run_id"])
    lost = {seed for frame in runs for seed in frame["seed"][frame["status"] != "complete"]}
    note = f"{len(lost)} seeds left out: a run of theirs diverged" if lost else ""
    return Cell(where, rule(found), found, tuple(dict.fromkeys(ids)), note)


def table(run: Run, name: str) -> pd.DataFrame:
    """Return one of a run's tables."""
    from normexp.store import parquet

    directory = Path(run["directory"])
    files = read_run(directory)["files"]
    frame: pd.DataFrame = parquet.read(directory / f"{name}.parquet", files).to_pandas()
    return frame


def over_epochs(run: Run) -> float:
    """Return the geometric mean of the test loss over the epochs."""
    losses = table(run, "metrics")["test_loss"].tolist()[1:]
    return math.exp(sum(map(math.log, losses)) / len(losses))


def final_error(run: Run) -> float:
    """Return the running means' error in σ at the end, mean over the layers."""
    layers = table(run, "layers")
    return float(layers[layers["step"] == layers["step"].max()]["mean_error"].mean())


def gap(run: Run) -> float:
    """Return test minus training loss, both by population statistics."""
    return float(run["test_loss_population"]) - float(run["train_loss_population"])


def in_test_batches(size: int, *, by_class: bool) -> Metric:
    """Return the metric: test loss where every test batch is normalised by itself.

    Args:
        size: examples of a test batch; what is left over makes some batches larger by one.
        by_class: whether examples are sorted by class, or by the first feature where y is a number;
            else they are in random order.
    """

    def loss_of(run: Run) -> float:
        import torch

        from normexp.data.examples import Examples
        from normexp.engine.losses import is_labels, loss
        from normexp.nets.network import Network

        config = config_of(run)
        examples, network, one = Examples([config], tests_only=True), Network(config), range(1)
        weights = {name: each[None] for name, each in last_weights(run).items()}
        x, y = examples.test(one, torch.arange(examples.tests), 0)
        if by_class:
            order = torch.argsort(y[0] if is_labels(y) else x[0, 0], stable=True)
        else:
            rng = torch.Generator().manual_seed(config.seed)
            order = torch.randperm(examples.tests, generator=rng)
        total = 0.0
        with torch.no_grad():
            for chosen in torch.tensor_split(order, max(1, examples.tests // size)):
                x, y = examples.test(one, chosen, 0)
                total += float(loss(network.by_itself(weights, x)[0], y)) * len(chosen)
        return total / examples.tests

    return loss_of


def correlation(layer: int, *, is_after: bool) -> Metric:
    """Return the metric: mean |correlation| of a convolution's channels before or after its norm.

    Args:
        layer: 1 or 2.
        is_after: whether after group norm.
    """

    def correlation_of(run: Run) -> float:
        from torch.nn import functional

        from normexp.data.draw import draw

        weights, x = last_weights(run), draw(config_of(run)).test_x
        y = z = x
        for name in ("conv1", "conv2")[:layer]:
            y = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            scale, shift = (weights[f"{name}.norm.{part}"] for part in ("weight", "bias"))
            z = functional.group_norm(y, int(run["norm.groups"]), scale, shift, run["norm.eps"])
            x = functional.max_pool2d(functional.relu(z), 2)
        return mean_correlation(z if is_after else y)

    return correlation_of


def mean_correlation(x: "torch.Tensor") -> float:
    """Return the mean |correlation| of two different channels of [examples, channels, h, w]."""
    import torch

    channels = x.shape[1]
    matrix = torch.corrcoef(x.transpose(0, 1).reshape(channels, -1).double()).abs()
    return float((matrix.sum() - matrix.trace()) / (channels * (channels - 1)))


def config_of(run: Run) -> "RunConfig":
    """Return a run's configuration, its data where they stood."""
    from normexp.store.places import located

    return located(read_run(Path(run["directory"])))


def last_weights(run: Run) -> "dict[str, torch.Tensor]":
    """Return the weights at the last evaluation point of a run's training."""
    from safetensors.torch import load_file

    trajectory = Path(run["directory"]).parent / "trajectories" / str(run["trajectory_id"])
    stored = load_file(trajectory / "weights.safetensors")
    return {name: values[-1] for name, values in stored.items()}
