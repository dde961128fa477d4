"""Why: what a run is to a sweep, and where two runs differ, key by key."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from tamper import edit_manifest
from typer.testing import Result

Command = Callable[..., Result]
AsJson = Callable[..., Any]

BATCH = ["norm=batch", "norm.momentum=0.1", "seed=0"]


def one(pattern: str) -> Path:
    """The one directory in the store that fits."""
    (found,) = Path("runs").glob(pattern)
    return found


def record_another(directory: Path, **entries: str) -> None:
    """Make a directory look as if it were made elsewhere."""
    edit_manifest(directory, "environment", entries)


def keys(report: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, by key, left and right; `absent` where a side has no such field."""
    return {
        row["key"]: (row.get("left", "absent"), row.get("right", "absent"))
        for row in report["differences"]
    }


@pytest.fixture
def stored(normexp: Command) -> None:
    """Batch norm at two momenta, and none, of one seed."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0"]
    assert normexp("sweep", *study).exit_code == 0


@pytest.mark.usefixtures("stored")
def test_a_whole_run_is_kept(as_json: AsJson, normexp: Command) -> None:
    """Stored, with its trajectory, nothing changed: every policy keeps it."""
    run = one("*/batch-m0.1-s0-*")
    report = as_json("why", run.name)

    assert (report["kind"], report["reason"], report["damaged"]) == ("run", "cached", {})
    assert report["run_id"] == run.name[-12:]
    assert report["trajectory"]["state"] == "whole"
    assert report["changed"] == {}
    assert set(report["on_code_change"].values()) == {"keeps it"}
    assert "stored and whole" in normexp("why", str(run)).stdout


@pytest.mark.usefixtures("stored")
def test_what_has_changed_since_is_said_key_by_key(as_json: AsJson, normexp: Command) -> None:
    """And what each policy would do with it."""
    run = one("*/batch-m0.1-s0-*")
    record_another(run, cpu="Abacus", torch="1.0")
    report = as_json("why", run.name)
    shown = normexp("why", run.name).stdout

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
@pytest.mark.usefixtures("stored")
def test_damage_is_named_and_no_error(
    as_json: AsJson, file: str, content: bytes | None, *, noticed: bool
) -> None:
    """Which file it is, and whether a sweep would see it by itself."""
    run = one("*/batch-m0.1-s0-*")
    if content is None:
        content = b"x" * (run / file).stat().st_size
    (run / file).write_bytes(content)
    report = as_json("why", str(run))

    assert report["reason"] == "damaged"
    assert list(report["damaged"]) == [file]
    assert report["noticed"] is noticed
    assert (report["on_code_change"]["warn"] != "keeps it") is noticed


@pytest.mark.usefixtures("stored")
def test_two_runs_of_one_trajectory_differ_in_what_is_observed(
    as_json: AsJson, normexp: Command
) -> None:
    """One training, two momenta; and the role in words."""
    names = [one(f"*/batch-m{momentum}-s0-*").name for momentum in (0.1, 0.5)]
    report = as_json("why", *names)
    shown = normexp("why", *names).stdout

    assert (report["same_run"], report["same_trajectory"], report["same_structure"]) == (
        False, True, True
    )  # fmt: skip
    assert keys(report) == {"norm.momentum": (0.1, 0.5)}
    assert report["differences"][0]["role"] == "observed"
    assert "the same training, observed otherwise" in shown
    assert as_json("why", names[0], names[0])["same_run"]


@pytest.mark.usefixtures("stored")
def test_two_runs_of_other_structures_name_every_field(as_json: AsJson) -> None:
    """Those that only one of them has included."""
    report = as_json("why", one("*/none-s0-*").name, one("*/batch-m0.1-s0-*").name)
    found = keys(report)

    assert not report["same_structure"]
    assert found["norm.kind"] == ("none", "batch")
    assert found["norm.momentum"] == ("absent", 0.1)
    assert "optim.lr" not in found


@pytest.mark.usefixtures("stored")
def test_a_run_and_a_described_one(as_json: AsJson) -> None:
    """Of many described ones, the nearest."""
    run = one("*/batch-m0.1-s0-*").name
    other = as_json("why", run, *SMALL, *BATCH, "optim.lr=0.5")
    many = as_json(
        "why", run, *SMALL, "norm=batch", "norm.momentum=0.1", "optim.lr=0.7", "seed=2,0"
    )

    assert keys(other) == {"optim.lr": (0.03, 0.5)}
    assert (other["same_trajectory"], other["same_structure"]) == (False, True)
    assert keys(many) == {"optim.lr": (0.03, 0.7)}
    assert many["described"] == 2


@pytest.mark.usefixtures("stored")
def test_a_run_that_is_not_stored_names_the_nearest(as_json: AsJson, normexp: Command) -> None:
    """Fewest differing fields first, with both values."""
    wanted = [*SMALL, *BATCH, "norm.momentum=0.5", "optim.lr=0.5"]
    (detail,) = as_json("why", *wanted)["details"]
    shown = normexp("why", *wanted).stdout

    assert detail["reason"] == "train"
    assert detail["trajectory"]["state"] == "missing"
    assert [near["label"] for near in detail["nearest"]][:2] == ["batch-m0.5-s0", "batch-m0.1-s0"]
    assert keys(detail["nearest"][0]) == {"optim.lr": (0.5, 0.03)}
    assert keys(detail["nearest"][1]) == {
        "norm.momentum": (0.5, 0.1),
        "optim.lr": (0.5, 0.03),
    }
    assert any(
        line.split() == ["optim.lr", "0.5", "0.03", "stackable"] for line in shown.split("\n")
    )
    assert max(map(len, normexp_lines(wanted))) <= 80


def normexp_lines(arguments: list[str]) -> list[str]:
    """What a terminal of 80 columns shows."""
    import os

    command = [sys.executable, "-m", "normexp", "why", *arguments]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()


def test_an_empty_store_has_no_nearest(normexp: Command) -> None:
    """Said in words, without an error."""
    done = normexp("why", *SMALL, *BATCH)

    assert done.exit_code == 0, done.stderr
    assert "no run is stored" in done.stdout


@pytest.mark.usefixtures("stored")
def test_many_runs_are_counted_by_reason(as_json: AsJson, normexp: Command) -> None:
    """Every reason at once, and each as the sweep then finds it."""
    truncated, elsewhere = one("*/none-s0-*"), one("*/batch-m0.5-s0-*")
    (truncated / "stats.parquet").write_bytes(b"")
    record_another(elsewhere, cpu="Abacus")
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5,0.7", "seed=0,1"]
    report = as_json("why", *study)
    counts = {reason: found["runs"] for reason, found in report["reasons"].items()}
    plan = as_json("plan", *study)
    shown = normexp("why", *study).stdout

    assert counts == {
        "cached": 1,
        "changed": 1,
        "sparse": 0,
        "damaged": 1,
        "observe": 1,
        "train": 4,
    }
    assert plan["cached"] == counts["cached"] + counts["changed"]
    assert plan["runs"] == report["runs"] == 8
    assert [run["label"] for run in report["reasons"]["observe"]["first"]] == ["batch-m0.7-s0"]
    assert "stored and damaged" in shown


@pytest.mark.usefixtures("stored")
def test_tables_that_lack_what_is_asked_are_a_reason(as_json: AsJson) -> None:
    """The run is there, every step is not."""
    (detail,) = as_json("why", *SMALL, *BATCH, "log.every=1")["details"]

    assert (detail["kind"], detail["reason"], detail["log"]["every"]) == ("run", "sparse", 8)


@pytest.mark.usefixtures("stored")
def test_a_store_elsewhere_is_named_by_dir(as_json: AsJson, normexp: Command) -> None:
    """For runs and for overrides."""
    shutil.move("runs", "elsewhere")
    (name,) = (path.name for path in Path("elsewhere").glob("*/batch-m0.1-s0-*"))

    assert normexp("why", name).exit_code == 3
    assert as_json("why", name, "--dir", "elsewhere")["reason"] == "cached"
    (detail,) = as_json("why", *SMALL, *BATCH, "--dir", "elsewhere")["details"]
    assert detail["reason"] == "cached"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("nothing", 3), ("a b c", 2), ("a b seed=0", 2), ("optim.speed=1", 2), ("", 2)],
)
def test_what_makes_no_sense_is_one_line(normexp: Command, arguments: str, code: int) -> None:
    """Not there, too many, unknown, nothing."""
    assert normexp("why", *arguments.split()).exit_code == code


@pytest.mark.usefixtures("stored")
def test_why_imports_neither_torch_nor_pandas() -> None:
    """Nor pyarrow: manifests tell all of it."""
    run = one("*/batch-m0.1-s0-*")
    for arguments in ([str(run)], [*SMALL, *BATCH], [str(run), *SMALL, *BATCH]):
        command = [sys.executable, "-X", "importtime", "-m", "normexp", "why", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "typer" in modules
        assert not {"torch", "pandas", "pyarrow"} & modules
