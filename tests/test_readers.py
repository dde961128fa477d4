"""Tables, manifests and summaries that are read: by their digests, or refused."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from conftest import STORED, AsJson, Command
from tamper import edit_manifest

import normexp as package
from normexp.errors import NormexpError

pytestmark = pytest.mark.usefixtures("undrawn")


def flipped(path: Path, bit: int) -> None:
    """Flip one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << bit
    path.write_bytes(content)


def another_of_its_size(study: Path) -> Path:
    """Return a run that has another's metrics, of the same size."""
    for one, other in combinations(sorted(study.glob("batch-*")), 2):
        mine, theirs = one / "metrics.parquet", other / "metrics.parquet"
        if mine.stat().st_size == theirs.stat().st_size:
            mine.write_bytes(theirs.read_bytes())
            return one
    raise AssertionError("no two are of one size")


@pytest.mark.parametrize("how", ["bit 0", "another's"])
def test_results_that_were_not_written_are_shown_by_nobody(
    study: Path, as_json: AsJson, normexp: Command, how: str
) -> None:
    """Size right, digest wrong: refused, listed as damaged, left out with a word; then mended."""
    if how == "another's":
        run = another_of_its_size(study)
    else:
        run = min(study.glob("batch-*"))
        flipped(run / "metrics.parquet", 0)
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}
    shown, report = normexp("show", run.name), normexp("report")

    for table in ("runs", "metrics"):
        with pytest.raises(NormexpError, match=r"metrics\.parquet cannot be read .*SHA-256"):
            package.read(study, table)
    assert listed.pop(run.name[-12:]) == "damaged"
    assert {*listed.values()} == {"complete"}
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "metrics.parquet cannot be read" in shown.stderr
    assert report.exit_code == 0
    assert "1 directory unfinished or damaged" in report.output
    for words in ("compare bn_regression norm", "budget bn_regression", "predict bn_regression"):
        answer = normexp(*words.split())
        assert answer.exit_code == 0, answer.output
        assert answer.stderr.startswith(f"warning: {run} is damaged")
    assert f"warning: {run} is damaged" in normexp("diff", run.name, "none-s1").stderr
    assert as_json("why", run.name)["reason"] == "damaged"
    assert as_json("sweep", *STORED)["observed"] == 1
    assert len(package.read(study)) == 6


def test_long_tables_that_were_not_written_are_refused(study: Path, normexp: Command) -> None:
    """One bit of each: `read` of a run and of the study, and what prints or draws them."""
    runs, tables = sorted(study.glob("batch-*")), ("stats", "layers")
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


def test_a_manifest_or_summary_that_was_not_written_is_believed_by_nobody(
    study: Path, as_json: AsJson, normexp: Command
) -> None:
    """A bit of a sweep's summary; a digit of a loss: JSON as before, and its seal broken."""
    (sweep,) = (study / "sweeps").iterdir()
    flipped(sweep / "summary.parquet", 2)
    with pytest.raises(NormexpError, match=r"summary\.parquet cannot be read .*SHA-256"):
        package.read(sweep)
    assert len(package.read(study)) == 6
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


def test_what_somebody_means_is_read(study: Path, as_json: AsJson) -> None:
    """A table taken along alone, of which nothing says what it was; a seal that fits."""
    run, alone = min(study.glob("batch-*")), Path("alone")
    alone.mkdir()
    shutil.copy(run / "metrics.parquet", alone)
    edit_manifest(run, "environment", {"cpu": "Abacus"})

    assert len(package.read(alone, "metrics")) == 3
    assert as_json("why", run.name)["changed"]["cpu"][0] == "Abacus"
    assert len(package.read(study)) == 6
