"""Reproduction: a run from its own directory, compared to the bit, with a certificate."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, AsJson, Command, run_files, store_of
from tamper import edit_manifest, tamper, write_manifest

from normexp.config.identity import run_id
from normexp.config.tree import from_tree, nest

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one run with batch norm, made once."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *SMALL, *BATCH, "seed=1")


@pytest.fixture
def run(whole: Path) -> Path:
    """The run, in this test's own store."""
    shutil.copytree(whole, "runs")
    return only_run()


def only_run() -> Path:
    """The directory of the one run in the store."""
    (metrics,) = Path("runs").glob("*/*/metrics.parquet")
    return metrics.parent


def swept(normexp: Command, *overrides: str) -> Path:
    """The directory of the one run that a sweep leaves."""
    done = normexp("sweep", *overrides, "seed=1")
    assert done.exit_code == 0, done.stderr
    return only_run()


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
    run: Path, normexp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No study, no trajectory, no store: nothing else is left where it is made again."""
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


def test_a_run_of_a_users_own_study_needs_no_study(normexp: Command, as_json: AsJson) -> None:
    """Nor the preset that it was made from: names that nobody knows here stand in its files."""
    Path("own/study").mkdir(parents=True)
    Path("own/norm").mkdir()
    Path("own/norm/slow.yaml").write_text("kind: batch\nmomentum: 0.02\n")
    Path("own/study/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /norm: slow\n"
        "study:\n  about: my own\n  axes: {}\noptim:\n  lr: 0.02\nlog:\n  every: 2\n"
    )
    run = swept(normexp, "--config-dir", "own", "study=mine", *SMALL)
    shutil.rmtree("own")
    certificate = as_json("reproduce", run.name)

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


def test_only_places_can_be_given(run: Path, normexp: Command) -> None:
    """Anything else would be another run."""
    for override, reason in (
        ("seed=2", "made again as it is recorded"),
        ("data.path=here", "data=quadratic has no data.path"),
    ):
        done = normexp("reproduce", run.name, override)
        assert done.exit_code == 2
        assert reason in done.stderr


def test_tables_made_denser_later_compare(normexp: Command, as_json: AsJson) -> None:
    """What is in the tables is what is made again, not what was first asked for."""
    swept(normexp, *SMALL, *BATCH, "log.every=4")
    run = swept(normexp, *SMALL, *BATCH, "log.every=3")

    assert json.loads((run / "manifest.json").read_text())["log_every"] == 1
    assert as_json("reproduce", run.name)["verdict"] == "identical"


@pytest.mark.parametrize(
    ("table", "column", "row"), [("metrics", "test_loss", 2), ("stats", "running_var", 10)]
)
def test_a_changed_number_is_found_though_all_digests_fit(
    run: Path, normexp: Command, table: str, column: str, row: int
) -> None:
    """Exit 4, and the table, the column, the step and how far; the training has no part in it."""
    (trajectory,) = Path("runs").glob("*/trajectories/*")
    tamper(trajectory, "batch_stats", "batch_mean", 0, 5.0)
    tamper(run, table, column, row, 1.5)
    step = int(pd.read_parquet(run / f"{table}.parquet")["step"][row])
    done = normexp("reproduce", run.name, "--json")
    certificate = json.loads(done.stdout)
    shown = normexp("reproduce", run.name)

    assert (done.exit_code, shown.exit_code) == (4, 4)
    assert certificate["verdict"] == "differs"
    assert list(certificate["deviations"]) == [table]
    assert list(certificate["deviations"][table]) == [column]
    assert certificate["deviations"][table][column]["first_step"] == step
    assert 0 < certificate["deviations"][table][column]["largest"] <= 1 / 3 + 1e-6
    assert any(line.split()[:3] == [table, column, str(step)] for line in shown.stdout.split("\n"))


def test_what_no_table_has_is_compared_too(run: Path, normexp: Command) -> None:
    """Results in the manifest, which `ls` shows, and Hydra's triple."""
    content = (run / ".hydra/overrides.yaml").read_bytes().replace(b"seed=1", b"seed=2")
    (run / ".hydra/overrides.yaml").write_bytes(content)
    about = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(run, "files", {".hydra/overrides.yaml": about})
    edit_manifest(run, "metrics", {"test_loss": 0.001})
    done = normexp("reproduce", run.name)

    assert done.exit_code == 4
    assert ".hydra/overrides.yaml has other bytes" in done.stdout
    assert any(line.split()[:2] == ["test_loss", "0.001"] for line in done.stdout.split("\n"))


def test_a_changed_configuration_is_another_run(run: Path, normexp: Command) -> None:
    """Its id says so before anything is trained; so does a field that nobody knows."""
    for field in ({"optim.lr": 0.5}, {"optim.speed": 1}):
        edit_manifest(run, "config", field)
        done = normexp("reproduce", run.name)
        assert done.exit_code == 4
        assert "is not that of run" in done.stderr


@pytest.mark.parametrize("how", ["other", "missing", "manifest"])
def test_a_damaged_run_is_not_trained(run: Path, normexp: Command, how: str) -> None:
    """One line names the file and leads to `verify`."""
    path = run / ("manifest.json" if how == "manifest" else "stats.parquet")
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content[:-9])
    done = normexp("reproduce", str(run))

    assert done.exit_code == 4
    assert ("manifest" if how == "manifest" else "stats.parquet") in done.stderr
    assert "type normexp verify" in done.stderr
    assert not (run / "certificate.json").exists()


def test_elsewhere_what_agrees_early_agrees(run: Path, normexp: Command) -> None:
    """Later numbers are not judged; the first evaluation and the losses of two batches are."""
    edit_manifest(run, "environment", {"cpu": "Abacus"})
    (trajectory,) = Path("runs").glob("*/trajectories/*")
    tamper(run, "metrics", "test_loss", 2, 1.5)
    late = normexp("reproduce", run.name, "--json")
    tamper(run, "metrics", "test_loss", 0, 1.01)
    tamper(trajectory, "steps", "train_loss", 1, 1.1)
    early = normexp("reproduce", run.name, "--json")
    certificate = json.loads(early.stdout)

    assert (late.exit_code, json.loads(late.stdout)["verdict"]) == (0, "agrees")
    assert (early.exit_code, certificate["verdict"]) == (4, "differs")
    assert certificate["beyond"] == ["metrics.test_loss", "steps.train_loss"]
    assert certificate["environment"]["changed"]["cpu"][0] == "Abacus"


@pytest.mark.parametrize("family", ["batch", "lenet"])
def test_other_kernels_agree(normexp: Command, family: str) -> None:
    """A new process with PyTorch's plain kernels: other last bits, the same evaluation at first."""
    if "ATEN_CPU_CAPABILITY" in os.environ:
        pytest.skip("ATEN_CPU_CAPABILITY is set: there may be no other kernels")
    run = swept(normexp, *FAMILIES[family])
    command = [sys.executable, "-m", "normexp", "reproduce", str(run), "--json"]
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    certificate = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert certificate["verdict"] in ("agrees", "identical")  # of a CPU without other kernels
    assert "aten_cpu_capability" in certificate["environment"]["changed"]
    assert certificate["beyond"] == []


def test_a_certificate_can_stand_elsewhere(run: Path, normexp: Command) -> None:
    """With --out nothing is written beside the run; without, the hint names --out."""
    (run / "certificate.json").mkdir()  # as good as read-only, for the superuser too
    refused = normexp("reproduce", run.name)
    (run / "certificate.json").rmdir()
    run.chmod(0o555)
    try:
        done, twice = (normexp("reproduce", run.name, "--out", "mine.json") for _ in range(2))
    finally:
        run.chmod(0o755)

    assert refused.exit_code == 2
    assert "--out FILE" in refused.stderr
    assert "trained" not in refused.stderr
    assert (done.exit_code, twice.exit_code) == (0, 0), done.stderr
    assert done.stdout.splitlines()[-1] == "mine.json"
    assert json.loads(Path("mine.json").read_text())["verdict"] == "identical"
    assert not (run / "certificate.json").exists()


@pytest.mark.parametrize("name", ["important.txt", "manifest.json"])
def test_nothing_is_overwritten_but_a_certificate(run: Path, normexp: Command, name: str) -> None:
    """A file of the user's, or of a run."""
    path = run / name
    before = path.read_bytes() if path.exists() else b"mine"
    path.write_bytes(before)
    refused = normexp("reproduce", str(run), "--out", str(path))

    assert refused.exit_code == 2
    assert "something else than a certificate is there" in refused.stderr
    assert path.read_bytes() == before


def test_a_killed_reproduction_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    """SIGTERM while it trains: exit code 143, no temporary place, no certificate."""
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
