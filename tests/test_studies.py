"""The five source systems as studies: each in a smaller size shows what its table is for."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import AsJson, run_files, store_of

import normexp
from normexp.config.schema import packaged_configs

STUDIES = sorted(path.stem for path in (packaged_configs() / "study").glob("*.yaml"))


def swept(as_json: AsJson, *arguments: str) -> pd.DataFrame:
    """The rows of a sweep without failures."""
    answer = as_json("sweep", *arguments)
    assert answer["failed"] == answer["diverged"] == 0
    return normexp.read(answer["directory"])


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_planned_by_one_command_and_in_the_readme(as_json: AsJson, study: str) -> None:
    """With a line that says what it shows."""
    plan = as_json("plan", f"study={study}")
    readme = (Path(normexp.__file__).parents[1] / "README.md").read_text()

    assert plan["runs"] > plan["trajectories"] or study == "norm_batch_size"
    assert plan["estimate_seconds"] < 600
    assert f"| `normexp sweep study={study}` |" in readme


def test_s0_momenta_share_one_training_and_the_last_batch_alone_is_worst(as_json: AsJson) -> None:
    """One training loss for all momenta of a seed; evaluation differs, 0.99 is the worst."""
    rows = swept(as_json, "study=momentum_convention")
    metrics = normexp.read("runs/momentum_convention", table="metrics")
    last = metrics[metrics["epoch"] == 10].set_index("run_id").loc[rows["run_id"]]
    training = last["train_loss"].groupby(rows["seed"].to_numpy()).nunique()
    by_momentum = rows.groupby("norm.momentum")[["test_loss", "test_accuracy"]].mean()

    assert len(rows) == 96
    assert (training == 1).all()
    assert by_momentum["test_loss"].idxmax() == 0.99
    assert by_momentum["test_loss"].idxmin() == 0.1
    assert by_momentum["test_accuracy"].idxmin() == 0.99
    assert rows["test_loss_population"].nunique() == 32


def test_s2_the_best_momentum_depends_on_steps_and_batch_size(as_json: AsJson) -> None:
    """Few steps: a slow average still sits at its start. Small batches want a slower one."""
    rows = swept(as_json, "study=moving_average", "train.batch_size=16,256", "train.epochs=1,8",
                 "norm.momentum=0.01,0.3,0.9", "seed=range(4)")  # fmt: skip
    keys = ["train.batch_size", "train.epochs", "norm.momentum"]
    loss = rows.groupby(keys)["test_loss"].mean()

    assert set(rows["norm.running_variance"]) == {"biased"}
    assert loss[16, 1].idxmax() == loss[16, 8].idxmax() == loss[256, 8].idxmax() == 0.01
    assert loss[16, 8, 0.3] < loss[16, 8, 0.9]
    assert loss[256, 1, 0.9] < loss[256, 1, 0.3]


def test_s3_both_placements_are_evaluated_three_ways(as_json: AsJson) -> None:
    """With few steps the weights are fine, and running statistics of momentum 0.01 are not."""
    rows = swept(as_json, "study=placement", "norm=batch,group", "train.batch_size=128",
                 "norm.momentum=0.01,0.3", "seed=0,1", "train.epochs=4")  # fmt: skip
    accuracy = rows[rows["norm"] == "batch"].groupby(["norm.placement", "norm.momentum"])[
        ["test_accuracy", "test_accuracy_population", "test_accuracy_test_batch"]
    ].mean()  # fmt: skip

    assert set(rows["norm.placement"]) == {"before", "after"}
    for placement in ("before", "after"):
        slow, fast = (accuracy.xs(placement).loc[momentum] for momentum in (0.01, 0.3))
        assert slow["test_accuracy_population"] > 0.85
        assert slow["test_accuracy_population"] == fast["test_accuracy_population"]
        assert abs(slow["test_accuracy_test_batch"] - slow["test_accuracy_population"]) < 0.05
        assert slow["test_accuracy"] < fast["test_accuracy"] - 0.1


def test_s4_batches_of_two_hurt_batch_norm_in_training(as_json: AsJson) -> None:
    """Its population accuracy falls behind layer norm's: the weights, not the statistics."""
    rows = swept(as_json, "study=norm_batch_size", "norm=batch,layer", "train.batch_size=2,32",
                 "seed=0,1", "data.train_size=200", "train.epochs=4")  # fmt: skip
    accuracy = rows.groupby(["norm", "train.batch_size"])["test_accuracy_population"].mean()

    assert accuracy["batch", 2] < accuracy["layer", 2] - 0.1
    assert accuracy["batch", 32] > accuracy["batch", 2] + 0.1


CONVOLUTIONS = ["study=placement", "norm=batch,layer", "norm.placement=before", "seed=0,1",
                "norm.momentum=0.1,0.5", "train.batch_size=13", "train.epochs=2",
                "data.train_size=60", "data.test_size=21"]  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of the runs of convolutions, trained in threads."""
    store = tmp_path_factory.mktemp("first") / "runs"
    return run_files(store_of(store, *CONVOLUTIONS, "executor.processes=false"))


@pytest.mark.parametrize(
    "way",
    [
        ["executor.processes=true"],
        ["executor.processes=true", "seed=0", "norm=batch"],
        ["executor.workers=3", "seed=1,0", "norm=layer,batch", "norm.momentum=0.5,0.9,0.1"],
    ],
    ids=" ".join,
)
def test_nothing_of_the_way_changes_a_bit_of_a_convolution(
    as_json: AsJson, first: dict[str, bytes], way: list[str]
) -> None:
    """Threads, processes (of one training too), company and order."""
    answer = as_json("sweep", *CONVOLUTIONS, *way)
    other = run_files(Path("runs"))
    common = first.keys() & other.keys()

    assert (answer["trained"], answer["failed"]) == (answer["trajectories"], 0)
    assert len(common) >= 2 * 6
    assert {name for name in common if first[name] != other[name]} == set()


def test_processes_make_a_damaged_training_again_before_they_observe_it(as_json: AsJson) -> None:
    """Of the right size, yet rubbish: that one alone is trained, and its bits are as before."""
    swept = as_json("sweep", *CONVOLUTIONS, "seed=0")
    (trajectory,) = normexp.read(swept["directory"]).query("norm == 'layer'")["trajectory_id"]
    weights = Path("runs/placement/trajectories", trajectory, "weights.safetensors")
    before = weights.read_bytes()
    weights.write_bytes(bytes(len(before)))
    result = normexp.sweep(*CONVOLUTIONS, "seed=0", "log.every=1", "executor.processes=true")

    assert (result.trained, result.failed, len(result.rows)) == (1, [], swept["runs"])
    assert weights.read_bytes() == before
