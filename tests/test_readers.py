"""Tables, manifests and summaries that are read: by their digests, or refused."""

import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, store_of
from tamper import edit_manifest
from typer.testing import Result

import normexp as package
from normexp.errors import NormexpError

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]
STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5,0.9", "seed=0,1"]
HERE = Path("runs/bn_regression")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six runs, made once."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *STUDY)


@pytest.fixture
def study(whole: Path) -> Path:
    """The study, in this test's own store."""
    shutil.copytree(whole, "runs")
    return HERE


def flipped(path: Path, bit: int) -> None:
    """Flip one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << bit
    path.write_bytes(content)


def spoilt(study: Path, table: str, how: str) -> Path:
    """Return a run of which a table is another's of the same size, or has a flipped bit."""
    runs = sorted(study.glob("batch-*"))
    if how.startswith("bit"):
        flipped(runs[0] / f"{table}.parquet", int(how[-1]))
        return runs[0]
    for one, other in combinations(runs, 2):
        mine, theirs = (run / f"{table}.parquet" for run in (one, other))
        if mine.stat().st_size == theirs.stat().st_size:
            mine.write_bytes(theirs.read_bytes())
            return one
    raise AssertionError("no two are of one size")


@pytest.mark.parametrize("how", ["bit 0", "another's"])
def test_results_that_were_not_written_are_shown_by_nobody(
    study: Path, as_json: AsJson, normexp: Normexp, how: str
) -> None:
    """Size right, digest wrong: refused, listed as damaged, left out with a word; then mended."""
    run = spoilt(study, "metrics", how)
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}
    shown, report = normexp("show", run.name), normexp("report")
    commands = (
        "compare bn_regression norm.momentum",
        "budget bn_regression",
        "predict bn_regression",
    )
    left_out = [normexp(*words.split()) for words in commands]

    for table in ("runs", "metrics"):
        with pytest.raises(NormexpError, match=r"metrics\.parquet cannot be read .*SHA-256"):
            package.read(study, table)
    assert listed.pop(run.name[-12:]) == "damaged"
    assert {*listed.values()} == {"complete"}
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "metrics.parquet cannot be read" in shown.stderr
    assert report.exit_code == 0
    assert "1 directory unfinished or damaged" in report.output
    for answer in left_out:
        assert answer.exit_code == 0, answer.output
        assert answer.stderr.startswith(f"warning: {run} is damaged")
    assert f"warning: {run} is damaged" in normexp("diff", run.name, "batch-m0.9-s1").stderr
    assert as_json("why", run.name)["reason"] == "damaged"
    assert as_json("sweep", *STUDY)["observed"] == 1
    assert len(package.read(study)) == 6


def test_long_tables_that_were_not_written_are_refused(study: Path, normexp: Normexp) -> None:
    """One bit of each: `read` of a run and of the study, and what prints or draws them."""
    runs = sorted(study.glob("batch-*"))
    tables = ("stats", "layers")
    for path in (run / f"{table}.parquet" for run in runs for table in tables):
        flipped(path, 3)
    differ = normexp("diff", runs[0].name, runs[-1].name)
    report = normexp("report", "bn_regression")

    for path in (runs[0], study):
        for table in tables:
            with pytest.raises(NormexpError, match=rf"{table}\.parquet cannot be read .*SHA-256"):
                package.read(path, table)
    assert differ.exit_code == 1
    assert "layers.parquet cannot be read" in differ.stderr
    assert "layers.parquet cannot be read (it is not what was written" in report.stderr


def test_a_manifest_that_was_not_written_is_believed_by_nobody(
    study: Path, as_json: AsJson, normexp: Normexp
) -> None:
    """A digit of a loss: JSON as good as before, and its seal broken."""
    run = min(study.glob("batch-*"))
    text = (run / "manifest.json").read_text()
    loss = str(json.loads(text)["metrics"]["test_loss"])
    (run / "manifest.json").write_text(text.replace(loss, "1" + loss[1:-1] + "7"))
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}
    shown = normexp("show", run.name)

    with pytest.raises(NormexpError, match="SHA-256"):
        package.read(study)
    assert listed[run.name[-12:]] == "damaged"
    assert shown.exit_code == 1
    assert "SHA-256 differs" in shown.stderr


def test_a_summary_that_was_not_written_is_refused(study: Path) -> None:
    """One bit of a sweep's list of its runs."""
    (sweep,) = (study / "sweeps").iterdir()
    flipped(sweep / "summary.parquet", 2)

    with pytest.raises(NormexpError, match=r"summary\.parquet cannot be read .*SHA-256"):
        package.read(sweep)
    assert len(package.read(study)) == 6


def test_tables_without_a_manifest_are_read_as_they_are(study: Path) -> None:
    """Somebody has taken them along alone: nothing says what they were."""
    run = min(study.glob("batch-*"))
    alone = Path("alone")
    alone.mkdir()
    shutil.copy(run / "metrics.parquet", alone)

    assert len(package.read(alone, "metrics")) == 3


def test_a_run_made_again_elsewhere_is_believed_by_its_new_seal(
    study: Path, as_json: AsJson
) -> None:
    """What somebody means is read: another origin under a seal that fits."""
    run = min(study.glob("batch-*"))
    edit_manifest(run, "environment", {"cpu": "Abacus"})

    assert as_json("why", run.name)["changed"]["cpu"][0] == "Abacus"
    assert len(package.read(study)) == 6
