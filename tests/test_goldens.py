"""A store of 26 November 2026: what was stored stays readable, keeps its ids, and is made again.

`goldens/store.tar.xz` has six sweeps: batch and no norm, ghost, two estimators, a diverged
training, float64, LeNet on digits. `goldens/runs.json` has their ids and last rows; it was written
once, with the store.
"""

import json
import math
import shlex
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import AsJson, Command

import normexp

GOLDENS = Path(__file__).parent / "goldens"
RUNS: dict[str, dict[str, Any]] = json.loads((GOLDENS / "runs.json").read_text())


@pytest.fixture
def store() -> Path:
    """The stored store, unpacked where the command line looks for it."""
    with tarfile.open(GOLDENS / "store.tar.xz") as archive:
        archive.extraction_filter = lambda member, _: member  # 3.11.2 has no `filter=`
        archive.extractall("runs")  # noqa: S202, ours
    return Path("runs")


@pytest.mark.usefixtures("store")
def test_a_stored_store_is_sound_and_listed(command: Command, as_json: AsJson) -> None:
    """Digests, tables and identities hold; every run is shown with its id and status."""
    assert command("verify").exit_code == 0
    assert len(as_json("ls")) == 6
    for run_id, run in RUNS.items():
        shown = as_json("show", run_id)
        assert shown["run_id"] == run_id
        assert (shown["status"], shown["label"]) == (run["status"], run["label"])


def test_stored_numbers_are_read_as_they_were_written(store: Path) -> None:
    """To the last bit, as JSON keeps a double."""
    last = normexp.read(store, table="metrics").groupby("run_id", observed=True).tail(1)
    found = last.set_index("run_id").to_dict("index")

    assert set(found) == set(RUNS)
    for run_id, row in found.items():
        for name, value in RUNS[str(run_id)]["final"].items():
            assert row[name] == value or (value is None and math.isnan(row[name]))


@pytest.mark.usefixtures("store")
def test_what_is_stored_is_not_made_again(as_json: AsJson) -> None:
    """Each run's own command names the same run and trajectory: ids are what they were."""
    for run_id, run in RUNS.items():
        words = shlex.split(run["command"].replace("normexp sweep", "plan"))
        plan = as_json(*(word for word in words if not word.startswith("log.pictures=")))
        assert (plan["runs"], plan["cached"]) == (1, 1), run_id


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("run_id", [each for each in RUNS if RUNS[each]["status"] == "complete"])
def test_a_stored_run_is_reproduced(command: Command, run_id: str) -> None:
    """By today's code, on this machine: its numbers agree with those of that day."""
    done = command("reproduce", run_id)

    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("study", ["bn_regression", "placement"])
@pytest.mark.parametrize("reader", ["report", "budget", "predict"])
def test_the_readers_read_a_stored_study(command: Command, study: str, reader: str) -> None:
    """The report, the budget and the prediction."""
    done = command(reader, study)

    assert done.exit_code == 0, done.output
