"""Runs that other code has made: mentioned, made again or left, as the user wants."""

from pathlib import Path

import pytest
from conftest import SMALL, AsJson, Command, run_files

from normexp.sweeps.environment import environment

STUDY = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0,1"]


@pytest.fixture
def made_otherwise(as_json: AsJson, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose runs another version of the code has made."""
    other = {**environment(), "code": "0123456789ab"}
    with monkeypatch.context() as patch:
        patch.setattr("normexp.sweeps.sweep.environment", lambda: other)
        as_json("sweep", *STUDY)
    return Path("runs")


def times(store: Path) -> dict[str, int]:
    """When each run and trajectory was made."""
    found = [*store.glob("*/*/manifest.json"), *store.glob("*/trajectories/*/manifest.json")]
    return {str(path.parent): path.stat().st_mtime_ns for path in found}


def test_runs_of_other_code_are_kept_with_a_warning_or_in_silence(
    made_otherwise: Path, normexp: Command
) -> None:
    """By `plan` as a note, by `sweep` as a warning, with what to type."""
    before = times(made_otherwise)
    planned, swept = normexp("plan", *STUDY), normexp("sweep", *STUDY)
    ignored = normexp("sweep", *STUDY, "--on-code-change", "ignore")

    for said in (planned.stdout, swept.stderr):
        assert "6 of these runs, or their trainings, were made with other code" in said
        assert "--on-code-change rerun makes them again" in said
    assert "6 cached, 0 observed; 0 trajectories trained" in swept.stdout
    assert "other code" not in ignored.stderr
    assert times(made_otherwise) == before


def test_runs_of_other_code_can_be_made_again(
    made_otherwise: Path, as_json: AsJson, normexp: Command
) -> None:
    """All of them and their trajectories, once: then they are of this code."""
    before, files = times(made_otherwise), run_files(made_otherwise)
    planned = as_json("plan", *STUDY, "--on-code-change", "rerun")
    assert not planned["notes"][1:]
    swept = as_json("sweep", *STUDY, "--on-code-change", "rerun")
    after = times(made_otherwise)

    assert (planned["cached"], planned["to_train"], planned["to_observe"]) == (0, 4, 6)
    assert (swept["trained"], swept["observed"], swept["failed"]) == (4, 6, 0)
    assert after.keys() == before.keys()
    assert all(after[path] > made for path, made in before.items())
    assert run_files(made_otherwise) == files
    assert "other code" not in normexp("sweep", *STUDY).stderr
    assert as_json("sweep", *STUDY, "--on-code-change", "rerun")["cached"] == 6


def test_new_momenta_of_old_trainings_are_observed_with_a_warning(
    made_otherwise: Path, as_json: AsJson
) -> None:
    """The trajectory is of other code, so the new runs are too: only rerun makes them anew."""
    kept = as_json("sweep", *STUDY, "norm.momentum=0.7")
    assert (kept["trained"], kept["observed"]) == (0, 2)
    assert any("other code" in warning for warning in kept["warnings"])
    run = next(made_otherwise.glob("*/batch-m0.7-s0-*"))
    assert as_json("why", str(run))["changed"].keys() == {"code"}
    again = as_json("sweep", *STUDY, "norm.momentum=0.8", "--on-code-change", "rerun")

    assert again["trained"] == 4
    assert run_files(made_otherwise)
