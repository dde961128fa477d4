"""The store: directories that explain themselves, documented tables, reading back."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import SMALL, STORED, AsJson, Command, run_files, store_of

import normexp
from normexp.config.identity import run_id
from normexp.config.tree import from_tree
from normexp.store.columns import TABLES
from normexp.store.files import machine
from normexp.store.plain import check_files
from normexp.store.stored import read
from normexp.store.tables import read_trajectory

RUN_FILES = {".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml",
             "metrics.parquet", "stats.parquet", "layers.parquet"}  # fmt: skip
TRAJECTORY_FILES = {"config.yaml", "batch_stats.parquet", "steps.parquet", "points.parquet",
                    "population.parquet", "weights.safetensors"}  # fmt: skip
LABELS = ["data=digits", "data.train_size=40", "data.test_size=20", "norm=ghost", "seed=0",
          "norm.momentum=0.1", "train.epochs=1"]  # fmt: skip
"""A study whose tables have the optional columns too."""


def run_of(study: Path, label: str) -> Path:
    """The run of a label."""
    return next(study.glob(f"{label}-*"))


def test_the_layout_is_the_documented_one(study: Path) -> None:
    """Six runs, four trajectories, one sweep; every file in the manifest with its digest."""
    runs = {path.name for path in study.iterdir()} - {"sweeps", "trajectories", "study.lock"}
    labels = sorted(name.rpartition("-")[0] for name in runs)
    trajectories = list((study / "trajectories").iterdir())

    assert labels == ["batch-m0.1-s0", "batch-m0.1-s1", "batch-mnull-s0", "batch-mnull-s1",
                      "none-s0", "none-s1"]  # fmt: skip
    assert len(trajectories) == 4
    for names, directories in (
        (RUN_FILES, [study / name for name in runs]),
        (TRAJECTORY_FILES, trajectories),
    ):
        for directory in directories:
            files = json.loads((directory / "manifest.json").read_text())["files"]
            assert set(files) == names
            for name, about in files.items():
                content = (directory / name).read_bytes()
                assert hashlib.sha256(content).hexdigest() == about["sha256"]
                assert len(content) == about["bytes"]


@pytest.mark.parametrize("optional", [False, True])
def test_tables_have_the_documented_columns(whole: Path, *, optional: bool) -> None:
    """Names, units and meanings in the files, in the code and in runs/README.md are one."""
    store = store_of(Path("labels"), *LABELS) if optional else whole
    readme = (Path(normexp.__file__).parents[1] / "runs/README.md").read_text()
    sections = {each.partition("\n")[0]: each for each in readme.split("\n### ")}
    for table, columns in TABLES.items():
        schema = pq.read_schema(next(store.glob(f"*/batch-*/{table}.parquet"), None)
                                or next(store.rglob(f"{table}.parquet")))  # fmt: skip
        expected = [column for column in columns if optional or not column.optional]

        assert schema.names == [column.name for column in expected]
        for column in expected:
            about = schema.field(column.name).metadata
            assert about == {b"unit": column.unit.encode(), b"doc": column.doc.encode()}
            (row,) = re.findall(rf"^\| `{column.name}` \|.*$", sections[table], re.MULTILINE)
            _, _, _, unit, meaning, _ = re.split(r"\s*\|\s*", row)
            assert unit == (column.unit or "–")
            assert meaning == column.doc + " (where it applies)" * column.optional


def test_read_gives_a_row_a_run_with_the_documented_columns(study: Path) -> None:
    """Group choices, dotted configuration, final losses; a sweep's summary is the same."""
    frame = normexp.read(study)
    (sweep,) = (study / "sweeps").iterdir()
    described = yaml.safe_load((sweep / "sweep.yaml").read_text())

    assert len(frame) == 6
    assert set(frame["norm"]) == {"none", "batch"}
    assert set(frame["status"]) == {"complete"}
    assert {"run_id", "norm.momentum", "seed", "train.batch_size", "model.bias_init",
            "test_loss_test_batch"} <= set(frame.columns)  # fmt: skip
    assert not {"norm.kind", "store.dir", "executor.workers"} & set(frame.columns)
    assert (frame["model"] == "mlp").all()
    np.testing.assert_array_equal(
        frame["excess_loss"], frame["test_loss"] - frame["test_loss_population"]
    )
    pd.testing.assert_frame_equal(
        pd.read_parquet(sweep / "summary.parquet").drop(columns="directory"),
        normexp.read(sweep).drop(columns="directory"),
    )
    assert described["overrides"][: len(STORED)] == STORED
    assert described["plan"]["runs"] == 6
    assert json.loads((sweep / "environment.json").read_text())["torch"].startswith("2.")


def test_read_takes_a_run_a_sweep_a_study_and_a_store(study: Path, as_json: AsJson) -> None:
    """Each narrows the same rows; the long tables name their runs."""
    second = as_json("sweep", *STORED, "seed=1", "norm.momentum=0.1")["directory"]

    assert len(normexp.read(run_of(study, "batch-m0.1-s1"))) == 1
    assert len(normexp.read(second)) == 2
    assert len(normexp.read(study)) == len(normexp.read(study.parent)) == 6
    metrics = normexp.read(second, table="metrics")
    with chdir(second):
        assert len(normexp.read(".")) == 2
    assert metrics.groupby("run_id", observed=True).size().to_list() == [3, 3]
    assert set(metrics["run_id"]) == set(normexp.read(second)["run_id"])
    with pytest.raises(normexp.NormexpError, match="table 'metrix' is unknown"):
        normexp.read(study, table="metrix")
    with pytest.raises(normexp.NormexpError, match="no complete run in nowhere"):
        normexp.read("nowhere")


def test_metrics_and_stats_say_the_same(study: Path) -> None:
    """Evaluation points in both, which have population values; layers follow."""
    run = run_of(study, "batch-m0.1-s0")
    metrics, stats, layers = (normexp.read(run, table) for table in ("metrics", "stats", "layers"))
    channels = {"input": 1, "hidden1": 4, "hidden2": 4}

    assert list(metrics["step"]) == [0, 3, 6]
    assert list(metrics["epoch"]) == [0, 1, 2]
    assert metrics["train_loss"].isna().to_list() == [True, False, False]
    for step in (0, 3, 6):
        layers_there = stats["layer"][stats["step"] == step].astype(str)
        assert layers_there.value_counts(sort=False).to_dict() == channels
    assert stats["population_mean"].notna().all()
    assert set(stats["step"]) == {0, 3, 6}  # 6 steps, logged every 8
    start = stats[stats["step"] == 0]
    assert (start["running_mean"] == 0).all()
    assert (start["running_var"] == 1).all()
    last = stats[(stats["step"] == 6) & (stats["layer"] == "hidden1")]
    error = (last["running_mean"] - last["population_mean"]) / last["population_var"] ** 0.5
    row = layers[(layers["step"] == 6) & (layers["layer"] == "hidden1")]
    assert row["mean_error"].item() == pytest.approx((error**2).mean() ** 0.5, rel=1e-5)
    ratio = np.log(last["running_var"] / last["population_var"]).mean()
    assert row["log_var_ratio"].item() == pytest.approx(ratio, rel=1e-4)


def test_population_values_stand_at_evaluation_points_alone() -> None:
    """Of a run that logs every step."""
    store = store_of(Path("dense"), *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0",
                     "log.every=1")  # fmt: skip
    stats = normexp.read(store, "stats").set_index("step")

    assert set(stats.index) == set(range(7))
    for column in ("population_mean", "population_var"):
        assert set(stats.index[stats[column].notna()]) == {0, 3, 6}
        assert stats.loc[[0, 3, 6], column].notna().all()


def test_running_statistics_follow_from_the_stored_batch_statistics(study: Path) -> None:
    """By hand from the trajectory's table, for the cumulative mean: the mean of all batches."""
    run = run_of(study, "batch-mnull-s0")
    trajectory = json.loads((run / "manifest.json").read_text())["trajectory_id"]
    batches = pd.read_parquet(study / "trajectories" / trajectory / "batch_stats.parquet")
    expected = batches.groupby(["layer", "channel"], observed=True)[["batch_mean", "batch_var"]]
    stats = normexp.read(run, "stats")
    last = stats[stats["step"] == 6].set_index(["layer", "channel"])

    for of, column in (("mean", "running_mean"), ("var", "running_var")):
        mean = expected.mean()[f"batch_{of}"]
        np.testing.assert_allclose(last[column].loc[mean.index], mean, rtol=1e-5, atol=1e-7)


def test_a_trajectory_is_read_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes whose digests were compared are those that count, whatever stands there then."""
    place = next((study / "trajectories").iterdir())
    before = read_trajectory(place)

    def check_and_remove(directory: Path, files: Mapping[str, Any]) -> Any:  # noqa: ANN401
        checked = check_files(directory, files)
        shutil.rmtree(directory)
        return checked

    monkeypatch.setattr("normexp.store.tables.check_files", check_and_remove)
    after = read_trajectory(place)

    assert after.weights.keys() == before.weights.keys()
    assert all(after.weights[name].equal(values) for name, values in before.weights.items())
    assert after.train_loss.equal(before.train_loss)


def test_a_trajectory_too_large_for_memory_is_read_from_its_files(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same bits."""
    place = next((study / "trajectories").iterdir())
    before = read_trajectory(place)
    monkeypatch.setattr("normexp.store.plain.MOST_IN_MEMORY", 100)
    after = read_trajectory(place)

    assert all(after.weights[name].equal(values) for name, values in before.weights.items())
    assert after.batch_mean.equal(before.batch_mean)


def test_a_run_directory_can_be_copied_away(study: Path, normexp: Command) -> None:
    """It can be read and shown, and its configuration names the same run, without the study."""
    run, away = run_of(study, "batch-m0.1-s1"), Path("elsewhere/renamed")
    shutil.copytree(run, away)
    config = yaml.safe_load((away / ".hydra/config.yaml").read_text())
    (row,) = read(away).to_dict("records")

    assert run_id(from_tree(config)) == row["run_id"] == run.name[-12:]
    assert normexp("show", str(away)).exit_code == 0


def test_half_written_directories_are_ignored_and_removed(study: Path, as_json: AsJson) -> None:
    """What a killed process left is no run, and the next sweep cleans it up."""
    partial = study / f".batch-m0.1-s9-aaaaaaaaaaaa.999999999-1-new-{machine()}.partial"
    partial.mkdir()
    (partial / "metrics.parquet").write_bytes(b"half")

    assert len(normexp.read(study)) == 6
    as_json("sweep", *STORED)
    assert not partial.exists()


@pytest.mark.parametrize("file", ["manifest.json", "metrics.parquet", ".hydra/config.yaml"])
def test_a_damaged_run_is_listed_as_such_and_mended(
    study: Path, as_json: AsJson, file: str
) -> None:
    """A file that is missing or short: the run counts as not there, and is observed again."""
    cut, gone = run_of(study, "batch-m0.1-s1"), run_of(study, "none-s0")
    whole = run_files(study.parent)
    (cut / file).write_bytes((cut / file).read_bytes()[:10])
    (gone / file).unlink()
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}
    mended = as_json("sweep", *STORED)

    assert listed[cut.name[-12:]] == listed[gone.name[-12:]] == "damaged"
    assert (mended["cached"], mended["to_train"], mended["failed"]) == (4, 0, 0)
    assert run_files(study.parent) == whole


@pytest.mark.parametrize(("overrides", "to_observe"), [([], 0), (["log.every=1"], 6)])
def test_a_damaged_trajectory_is_trained_again(
    study: Path, as_json: AsJson, overrides: list[str], to_observe: int
) -> None:
    """Bit for bit the same, and only that one, though its runs may be whole."""
    (trajectory, *_) = (study / "trajectories").iterdir()
    whole = (trajectory / "weights.safetensors").read_bytes()
    (trajectory / "weights.safetensors").write_bytes(whole[:100])
    planned = as_json("plan", *STORED, *overrides)
    mended = as_json("sweep", *STORED, *overrides)

    assert (planned["to_train"], planned["to_observe"]) == (1, to_observe)
    assert (mended["trained"], mended["observed"], mended["failed"]) == (1, to_observe, 0)
    assert (trajectory / "weights.safetensors").read_bytes() == whole


def test_a_flipped_bit_of_a_trajectory_goes_into_no_run(study: Path, as_json: AsJson) -> None:
    """Its size is right, its digest is not: it is trained again before anything is observed."""
    more = [*STORED, "norm=batch", "norm.momentum=0.7"]
    for trajectory in (study / "trajectories").iterdir():
        content = bytearray((trajectory / "batch_stats.parquet").read_bytes())
        content[len(content) // 2] ^= 1
        (trajectory / "batch_stats.parquet").write_bytes(content)
    answer = as_json("sweep", *more)
    fresh = run_files(store_of(Path("fresh"), *more))
    found = run_files(study.parent)

    assert (answer["to_train"], answer["trained"], answer["failed"]) == (0, 2, 0)
    assert {name: found[name] for name in fresh} == fresh


def test_a_trajectory_is_not_trusted_by_its_name(
    study: Path, as_json: AsJson, normexp: Command
) -> None:
    """Another seed's, whole, in its place: nothing is read from it, and a sweep trains it anew."""
    runs = [run_of(study, f"batch-m0.1-s{seed}") for seed in (0, 1)]
    mine, other = (json.loads((run / "manifest.json").read_text()) for run in runs)
    place = study / "trajectories" / mine["trajectory_id"]
    shutil.rmtree(place)
    shutil.copytree(place.with_name(other["trajectory_id"]), place)
    asked = normexp("budget", runs[0].name)
    answer = as_json("sweep", *STORED, "log.every=1")

    assert asked.exit_code == 1
    assert "cannot be read" in asked.stderr
    assert "type normexp verify" in asked.stderr
    assert (answer["to_train"], answer["failed"]) == (1, 0)
    assert normexp("budget", runs[0].name).exit_code == 0
