"""Why: what a run is to a sweep, and where it differs from a described one."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, AsJson, Command, store_of
from tamper import edit_manifest

BATCH = ["norm=batch", "norm.momentum=0.1", "seed=0"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch norm at two momenta, and none, of one seed; swept once."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0"]
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *study)


@pytest.fixture
def stored(whole: Path) -> Path:
    """The run with momentum 0.1, in this test's own store."""
    shutil.copytree(whole, "runs")
    return one("*/batch-m0.1-s0-*")


def one(pattern: str) -> Path:
    """The one directory in the store that fits."""
    (found,) = Path("runs").glob(pattern)
    return found


def keys(report: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, by key, left and right; `absent` where a side has no such field."""
    return {
        row["key"]: (row.get("left", "absent"), row.get("right", "absent"))
        for row in report["differences"]
    }


def test_a_whole_run_is_kept(stored: Path, as_json: AsJson, normexp: Command) -> None:
    """Stored, with its trajectory, nothing changed: every policy keeps it; --dir says where."""
    report = as_json("why", stored.name)
    shown = normexp("why", str(stored)).stdout
    shutil.move("runs", "elsewhere")
    (described,) = as_json("why", *SMALL, *BATCH, "--dir", "elsewhere")["details"]

    assert (report["kind"], report["reason"], report["damaged"]) == ("run", "cached", {})
    assert report["run_id"] == stored.name[-12:]
    assert report["trajectory"]["state"] == "whole"
    assert report["changed"] == {}
    assert set(report["on_code_change"].values()) == {"keeps it"}
    assert "stored and whole" in shown
    assert normexp("why", stored.name).exit_code == 3
    assert as_json("why", stored.name, "--dir", "elsewhere")["reason"] == "cached"
    assert described["reason"] == "cached"


def test_what_has_changed_since_is_said_key_by_key(
    stored: Path, as_json: AsJson, normexp: Command
) -> None:
    """And what each policy would do with it."""
    edit_manifest(stored, "environment", {"cpu": "Abacus", "torch": "1.0"})
    report = as_json("why", stored.name)
    shown = normexp("why", stored.name).stdout

    assert report["reason"] == "changed"
    assert {name: pair[0] for name, pair in report["changed"].items()} == {
        "cpu": "Abacus",
        "torch": "1.0",
    }
    assert report["on_code_change"] == {
        "warn": "keeps it and warns",
        "rerun": "trains it again",
        "ignore": "keeps it",
    }
    assert any(line.split()[:2] == ["cpu", "Abacus"] for line in shown.split("\n"))


@pytest.mark.parametrize(
    ("file", "content", "noticed"),
    [
        ("stats.parquet", b"", True),
        ("stats.parquet", None, False),
        ("manifest.json", b"{", True),
        ("manifest.json", b"[]", True),
        ("damage.json", b"{}", True),
    ],
    ids=["truncated", "other content", "no JSON", "no manifest", "marked by verify"],
)
def test_damage_is_named_and_no_error(
    stored: Path, as_json: AsJson, file: str, content: bytes | None, *, noticed: bool
) -> None:
    """Which file it is, and whether a sweep would see it by itself."""
    if content is None:
        content = b"x" * (stored / file).stat().st_size
    (stored / file).write_bytes(content)
    report = as_json("why", str(stored))

    assert as_json("why", f"bn_regression/{stored.name}")["damaged"] == report["damaged"]
    assert report["reason"] == "damaged"
    assert list(report["damaged"]) == [file]
    assert report["noticed"] is noticed
    assert (report["on_code_change"]["warn"] != "keeps it") is noticed


def test_a_run_and_a_described_one(stored: Path, as_json: AsJson, normexp: Command) -> None:
    """Each field with its role in words; of many described ones, the nearest."""
    other = as_json("why", stored.name, *SMALL, *BATCH, "optim.lr=0.5")
    many = as_json(
        "why", stored.name, *SMALL, "norm=batch", "norm.momentum=0.1", "optim.lr=0.7", "seed=2,0"
    )
    none = as_json("why", stored.name, *SMALL, "norm=none", "seed=0")
    shown = normexp("why", stored.name, *SMALL, "norm=batch", "norm.momentum=0.3", "seed=0").stdout

    assert keys(other) == {"optim.lr": (0.03, 0.5)}
    assert (other["same_run"], other["same_trajectory"], other["same_structure"]) == (
        False, False, True
    )  # fmt: skip
    assert keys(many) == {"optim.lr": (0.03, 0.7)}
    assert many["described"] == 2
    assert not none["same_structure"]
    assert keys(none)["norm.kind"] == ("batch", "none")
    assert keys(none)["norm.momentum"] == (0.1, "absent")
    assert "share one training" in shown
    assert "two runs of the same trajectory" in shown


def test_a_field_that_a_stored_run_cannot_have_is_no_difference(
    stored: Path, as_json: AsJson
) -> None:
    """A stranger's manifest gives a run without a norm a momentum."""
    for run in stored.parent.glob("batch-*"):
        shutil.rmtree(run)
    edit_manifest(one("*/none-*"), "config", {"norm.momentum": 0.1})
    (described,) = as_json("why", *SMALL, "norm=layer", "seed=0")["details"]
    names = [row["key"] for near in described["nearest"] for row in near["differences"]]

    assert "norm.kind" in names
    assert "norm.momentum" not in names


def test_a_run_that_is_not_stored_names_the_nearest(
    stored: Path, as_json: AsJson, normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewest differing fields first, with both values, at 80 columns; none in an empty store."""
    wanted = [*SMALL, *BATCH, "norm.momentum=0.5", "optim.lr=0.5"]
    (detail,) = as_json("why", *wanted)["details"]
    monkeypatch.setenv("COLUMNS", "80")
    lines = normexp("why", *wanted).stdout.split("\n")
    shutil.rmtree(stored.parents[1])
    nothing = normexp("why", *wanted)

    assert detail["reason"] == "train"
    assert detail["trajectory"]["state"] == "missing"
    assert [near["label"] for near in detail["nearest"]][:2] == ["batch-m0.5-s0", "batch-m0.1-s0"]
    assert keys(detail["nearest"][0]) == {"optim.lr": (0.5, 0.03)}
    assert keys(detail["nearest"][1]) == {"norm.momentum": (0.5, 0.1), "optim.lr": (0.5, 0.03)}
    assert any(line.split() == ["optim.lr", "0.5", "0.03", "stackable"] for line in lines)
    assert max(map(len, lines)) <= 80
    assert nothing.exit_code == 0, nothing.stderr
    assert "no run is stored" in nothing.stdout


def test_many_runs_are_counted_by_reason(stored: Path, as_json: AsJson, normexp: Command) -> None:
    """Every reason at once, and each as the sweep then finds it."""
    (one("*/none-s0-*") / "stats.parquet").write_bytes(b"")
    edit_manifest(one("*/batch-m0.5-s0-*"), "environment", {"cpu": "Abacus"})
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5,0.7", "seed=0,1"]
    report, plan = as_json("why", *study), as_json("plan", *study)
    counts = {reason: found["runs"] for reason, found in report["reasons"].items()}
    (sparse,) = as_json("why", *SMALL, *BATCH, "log.every=1")["details"]

    assert counts == {
        "cached": 1, "changed": 1, "sparse": 0, "damaged": 1, "observe": 1, "train": 4,
    }  # fmt: skip
    assert plan["cached"] == counts["cached"] + counts["changed"]
    assert plan["runs"] == report["runs"] == 8
    assert [run["label"] for run in report["reasons"]["observe"]["first"]] == ["batch-m0.7-s0"]
    assert "stored and damaged" in normexp("why", *study).stdout
    assert (sparse["run_id"], sparse["reason"]) == (stored.name[-12:], "sparse")
