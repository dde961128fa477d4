"""Reproduction: a run from its own directory, compared to the bit, with a certificate."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, run_files
from tamper import edit_manifest, tamper, write_manifest
from typer.testing import Result

from normexp.config.identity import run_id
from normexp.config.tree import from_tree, nest

Command = Callable[..., Result]
AsJson = Callable[..., Any]

LENET = ["data=digits", "model=lenet", "data.train_size=60", "data.test_size=20",
         "train.batch_size=16", "train.epochs=1"]  # fmt: skip
BATCH = ["norm=batch", "norm.momentum=0.1"]
FAMILIES = {
    "none": [*SMALL, "norm=none"],
    "batch": [*SMALL, *BATCH],
    "ghost": [*SMALL, "norm=ghost", "norm.size=4", "norm.momentum=0.3"],
    "batch_renorm": [*SMALL, "norm=batch_renorm", "norm.warmup_steps=2", "norm.momentum=0.1"],
    "layer": [*SMALL, "norm=layer"],
    "lenet": [*LENET, *BATCH],
}


def only_run(store: Path) -> Path:
    """The directory of the one run in a store."""
    (metrics,) = store.glob("*/*/metrics.parquet")
    return metrics.parent


def swept(normexp: Command, *overrides: str) -> Path:
    """The directory of the one run that a sweep leaves."""
    done = normexp("sweep", *overrides, "seed=1")
    assert done.exit_code == 0, done.stderr
    return only_run(Path("runs"))


def elsewhere(run: Path) -> None:
    """Make a run look as if it were of another processor."""
    edit_manifest(run, "environment", {"cpu": "Abacus"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_trained_alone_is_identical_to_the_bit(
    normexp: Command, as_json: AsJson, family: str
) -> None:
    """In company it was made, alone it is made again; the certificate names every file."""
    assert normexp("sweep", *FAMILIES[family], "seed=0,1,2").exit_code == 0
    run = min(Path("runs").glob("*/*-s1-*"))
    before = run_files(Path("runs"))
    certificate = as_json("reproduce", run.name)
    files = json.loads((run / "manifest.json").read_text())["files"]

    assert certificate["verdict"] == "identical"
    assert certificate["deviations"] == certificate["results"] == {}
    assert certificate["files"] == {
        name: {"recorded": about["sha256"], "found": about["sha256"]}
        for name, about in files.items()
    }
    assert json.loads((run / "certificate.json").read_text()) == certificate
    (run / "certificate.json").unlink()
    assert run_files(Path("runs")) == before


def test_a_copied_directory_is_enough(
    normexp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No study, no trajectory, no store: nothing else is left where it is made again."""
    run = swept(normexp, *SMALL, *BATCH)
    shutil.copytree(run, tmp_path / "far/copy")
    shutil.rmtree("runs")
    (tmp_path / "far/empty").mkdir()
    monkeypatch.chdir(tmp_path / "far/empty")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    done = normexp("reproduce", "../copy")

    assert done.exit_code == 0, done.stderr
    assert "identical: every file is equal to the bit" in done.stdout
    assert done.stdout.splitlines()[-1] == str(Path("../copy/certificate.json"))
    assert list(Path().iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_training_has_no_part_in_what_is_there(normexp: Command, as_json: AsJson) -> None:
    """A trajectory of other numbers, whole by its digests, is not what a run is made from."""
    swept(normexp, *SMALL, *BATCH)
    (trajectory,) = Path("runs").glob("*/trajectories/*")
    tamper(trajectory, "batch_stats", "batch_mean", 0, 5.0)

    assert as_json("reproduce", only_run(Path("runs")).name)["verdict"] == "identical"


@pytest.mark.parametrize("with_configs", [True, False])
def test_a_run_of_a_users_own_study_needs_no_study(
    normexp: Command, as_json: AsJson, *, with_configs: bool
) -> None:
    """Nor the preset that it was made from: names that nobody knows here stand in its files."""
    Path("own/study").mkdir(parents=True)
    Path("own/norm").mkdir()
    Path("own/norm/slow.yaml").write_text("kind: batch\nmomentum: 0.02\n")
    Path("own/study/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /norm: slow\n"
        "study:\n  about: my own\n  axes: {}\noptim:\n  lr: 0.02\nlog:\n  every: 2\n"
    )
    swept(normexp, "--config-dir", "own", "study=mine", *SMALL)
    if not with_configs:
        shutil.rmtree("own")
    certificate = as_json("reproduce", only_run(Path("runs")).name)

    assert (certificate["verdict"], certificate["study"]) == ("identical", "mine")


def test_data_in_a_file_are_found_by_their_place(normexp: Command, as_json: AsJson) -> None:
    """Their digest alone is in the run; a file of other numbers is refused, and so is none."""
    x = np.random.default_rng(0).normal(size=(40, 6))
    np.savez("mine.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    np.savez("other.npz", x=x + 1, y=(x[:, 0] > 0).astype(np.int64))
    run = swept(normexp, "data=arrays", "data.path=mine.npz", "norm=none", "train.epochs=1")
    Path("mine.npz").rename("moved.npz")
    missing = normexp("reproduce", run.name)
    wrong = normexp("reproduce", run.name, "data.path=other.npz")

    assert (missing.exit_code, wrong.exit_code) == (2, 2)
    assert "the data of a run are not in its directory" in missing.stderr
    assert "mine.npz" in missing.stderr.splitlines()[0]
    assert "add data.path=FILE to the command, where those of digest" in missing.stderr
    assert "not the same data" in wrong.stderr
    assert not (run / "certificate.json").exists()
    assert as_json("reproduce", run.name, "data.path=moved.npz")["verdict"] == "identical"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("seed=2", "taken as they are recorded"),
        ("norm.momentum=0.2", "taken as they are recorded"),
        ("data.path=here", "data=quadratic has no data.path"),
    ],
)
def test_only_places_can_be_given(normexp: Command, override: str, reason: str) -> None:
    """Anything else would be another run."""
    run = swept(normexp, *SMALL, "norm=none")
    done = normexp("reproduce", run.name, override)

    assert done.exit_code == 2
    assert reason in done.stderr


def test_tables_made_denser_later_compare(normexp: Command, as_json: AsJson) -> None:
    """What is in the tables is what is made again, not what was first asked for."""
    swept(normexp, *SMALL, *BATCH, "log.every=4")
    run = swept(normexp, *SMALL, *BATCH, "log.every=3")
    certificate = as_json("reproduce", run.name)

    assert json.loads((run / "manifest.json").read_text())["log_every"] == 1
    assert certificate["verdict"] == "identical"


@pytest.mark.parametrize(
    ("table", "column", "row", "step"),
    [("metrics", "test_loss", 2, 6), ("stats", "running_var", 10, 3)],
)
def test_a_changed_number_is_found_though_all_digests_fit(
    normexp: Command, table: str, column: str, row: int, step: int
) -> None:
    """Exit 4, and the table, the column, the step and how far."""
    run = swept(normexp, *SMALL, *BATCH)
    tamper(run, table, column, row, 1.5)
    recorded = pd.read_parquet(run / f"{table}.parquet")
    done = normexp("reproduce", run.name, "--json")
    certificate = json.loads(done.stdout)
    (found,) = certificate["deviations"].items()

    assert done.exit_code == 4
    assert recorded["step"][row] == step
    assert certificate["verdict"] == "differs"
    assert (found[0], list(found[1])) == (table, [column])
    assert found[1][column]["first_step"] == step
    assert 0 < found[1][column]["largest"] <= 1 / 3 + 1e-6
    shown = normexp("reproduce", run.name)
    assert shown.exit_code == 4
    assert any(line.split()[:3] == [table, column, str(step)] for line in shown.stdout.split("\n"))


def test_a_changed_result_in_the_manifest_is_found(normexp: Command) -> None:
    """`ls` and summaries show it, no table has it."""
    run = swept(normexp, *SMALL, *BATCH)
    edit_manifest(run, "metrics", {"test_loss": 0.001})
    done = normexp("reproduce", run.name)

    assert done.exit_code == 4
    assert any(line.split()[:2] == ["test_loss", "0.001"] for line in done.stdout.split("\n"))


def test_a_file_without_numbers_is_compared_too(normexp: Command) -> None:
    """Hydra's triple is part of a run: other words in it are named."""
    run = swept(normexp, *SMALL, *BATCH)
    content = (run / ".hydra/overrides.yaml").read_bytes().replace(b"seed=1", b"seed=2")
    (run / ".hydra/overrides.yaml").write_bytes(content)
    about = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(run, "files", {".hydra/overrides.yaml": about})
    done = normexp("reproduce", run.name)

    assert done.exit_code == 4
    assert ".hydra/overrides.yaml has other bytes" in done.stdout


def test_a_changed_configuration_is_another_run(normexp: Command) -> None:
    """Its id says so before anything is trained; so does a field that nobody knows."""
    run = swept(normexp, *SMALL, *BATCH)
    for field in ({"optim.lr": 0.5}, {"optim.speed": 1}):
        edit_manifest(run, "config", field)
        done = normexp("reproduce", run.name)
        assert done.exit_code == 4
        assert "is not that of run" in done.stderr


@pytest.mark.parametrize("how", ["other", "missing", "manifest"])
def test_a_damaged_run_is_not_trained(normexp: Command, how: str) -> None:
    """One line names the file and leads to `verify`."""
    run = swept(normexp, *SMALL, *BATCH)
    if how == "missing":
        (run / "stats.parquet").unlink()
    else:
        path = run / ("manifest.json" if how == "manifest" else "stats.parquet")
        path.write_bytes(path.read_bytes()[:-9])
    done = normexp("reproduce", str(run))

    assert done.exit_code == 4
    assert ("manifest" if how == "manifest" else "stats.parquet") in done.stderr
    assert "type normexp verify" in done.stderr
    assert not (run / "certificate.json").exists()


def test_elsewhere_what_agrees_early_agrees(normexp: Command) -> None:
    """A number of the last point is reported and not judged; one of the first point is."""
    run = swept(normexp, *SMALL, *BATCH)
    elsewhere(run)
    tamper(run, "metrics", "test_loss", 2, 1.5)
    late = normexp("reproduce", run.name, "--json")
    tamper(run, "metrics", "test_loss", 0, 1.01)
    early = normexp("reproduce", run.name, "--json")
    certificate = json.loads(early.stdout)

    assert (late.exit_code, json.loads(late.stdout)["verdict"]) == (0, "agrees")
    assert (early.exit_code, certificate["verdict"]) == (4, "differs")
    assert certificate["beyond"] == ["metrics.test_loss"]
    assert certificate["environment"]["changed"]["cpu"][0] == "Abacus"


def test_elsewhere_the_losses_of_the_first_batches_are_judged(normexp: Command) -> None:
    """Where the trajectory stands beside the run: it shows what the first update did."""
    run = swept(normexp, *SMALL, *BATCH)
    elsewhere(run)
    (trajectory,) = Path("runs").glob("*/trajectories/*")
    tamper(run, "metrics", "test_loss", 2, 1.5)
    tamper(trajectory, "steps", "train_loss", 1, 1.1)
    done = normexp("reproduce", run.name, "--json")

    assert done.exit_code == 4
    assert json.loads(done.stdout)["beyond"] == ["steps.train_loss"]


@pytest.mark.parametrize("family", ["batch", "lenet"])
def test_other_kernels_agree(normexp: Command, family: str) -> None:
    """A new process with PyTorch's plain kernels: other last bits, the same evaluation at first."""
    run = swept(normexp, *FAMILIES[family])
    if "ATEN_CPU_CAPABILITY" in os.environ:
        pytest.skip("ATEN_CPU_CAPABILITY is set: there may be no other kernels")
    done = in_process({"ATEN_CPU_CAPABILITY": "default"}, "reproduce", str(run), "--json")
    certificate = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert certificate["verdict"] in ("agrees", "identical")  # of a CPU without other kernels
    assert "aten_cpu_capability" in certificate["environment"]["changed"]
    assert certificate["beyond"] == []


def in_process(
    environment: Mapping[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """The command line in a new process, with these variables set."""
    command = [sys.executable, "-m", "normexp", *arguments]
    whole = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=whole)


def test_a_certificate_can_stand_elsewhere(normexp: Command) -> None:
    """With --out nothing is written beside the run; without, the hint names --out."""
    run = swept(normexp, *SMALL, "norm=none")
    (run / "certificate.json").mkdir()  # as good as read-only, for the superuser too
    refused = normexp("reproduce", run.name)
    (run / "certificate.json").rmdir()
    run.chmod(0o555)
    try:
        done = normexp("reproduce", run.name, "--out", "mine.json")
    finally:
        run.chmod(0o755)

    assert refused.exit_code == 2
    assert "--out FILE" in refused.stderr
    assert "trained" not in refused.stderr
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "mine.json"
    assert json.loads(Path("mine.json").read_text())["verdict"] == "identical"
    assert not (run / "certificate.json").exists()


def test_a_killed_reproduction_leaves_nothing_behind(normexp: Command, tmp_path: Path) -> None:
    """SIGTERM while it trains: exit code 143, no temporary place, no certificate."""
    run = swept(normexp, *SMALL, "norm=none")
    edit_manifest(run, "config", {"train.epochs": 4000})
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["run_id"] = run_id(from_tree(nest(manifest["config"])))  # another run, a long one
    write_manifest(run, manifest)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "normexp", "reproduce", str(run)]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(temporary)})
    while process.poll() is None and not any(temporary.glob("normexp-*")):
        time.sleep(0.05)
    process.terminate()

    assert process.wait() == 143
    assert list(temporary.iterdir()) == []
    assert not (run / "certificate.json").exists()


def test_a_run_that_is_not_there_is_not_found(normexp: Command) -> None:
    """Exit code 3."""
    assert normexp("reproduce", "nothing").exit_code == 3
