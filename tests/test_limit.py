"""`sweep --limit` leaves some of the work for later, and `--rerun` does again what is done."""

import shutil
from pathlib import Path

import pytest
from conftest import SMALL, STORED, AsJson, Command, run_files
from test_code_change import times


def test_so_many_runs_are_made_and_the_next_command_goes_on(
    as_json: AsJson, command: Command, whole: Path
) -> None:
    """Two of six, then three, then the last: the same files as at once."""
    first = as_json("sweep", *STORED, "--limit", "2")
    assert "warning: " not in command("sweep", *STORED, "--limit", "1").stderr
    second = as_json("sweep", *STORED, "--limit", "2")
    last = as_json("sweep", *STORED, "--limit", "100")

    assert [(each["runs"], each["cached"], each["observed"]) for each in (first, second, last)] == [
        (2, 0, 2), (5, 3, 2), (6, 5, 1),
    ]  # fmt: skip
    assert any("leaves 4 of 6 runs" in note for note in first["notes"])
    assert not any("--limit" in note for note in last["notes"])
    assert run_files(Path("runs")) == run_files(whole)
    assert as_json("verify")["problems"] == []


def test_a_sweep_ends_in_time_and_the_next_command_goes_on(as_json: AsJson) -> None:
    """A short training is there, a long one left, and nothing has failed."""
    both = [*SMALL, "norm=none", "seed=0", "train.epochs=2,30000", "executor.workers=2"]
    swept = as_json("sweep", *both, "--limit", "3s")

    assert (swept["observed"], swept["failed"]) == (1, 0)
    assert any("--limit 3s left 1 of 2 runs" in each for each in swept["warnings"])
    assert [row["status"] for row in as_json("ls")] == ["interrupted"]
    assert as_json("sweep", *SMALL, "norm=none", "seed=0", "--limit", "2h")["cached"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "neither a number of runs nor a time"),
        (["--limit", "3 days"], "neither a number of runs nor a time"),
        (["--limit", "3", "--detach", "executor=slurm"], "--limit some of it to nobody"),
    ],
)
def test_what_is_no_limit_is_refused(words: list[str], message: str, command: Command) -> None:
    """One line and a hint; nothing is made."""
    done = command("sweep", *words)

    assert done.exit_code == 2
    assert message in done.stderr
    assert not Path("runs").exists()


def test_what_is_there_is_made_again_on_purpose(as_json: AsJson, whole: Path) -> None:
    """Runs and trainings, each once, with the same bits; another sweep uses them."""
    shutil.copytree(whole, "runs")
    store = Path("runs")
    before, files = times(store), run_files(store)
    planned = as_json("plan", *STORED, "--rerun")
    swept = as_json("sweep", *STORED, "--rerun")
    after = times(store)

    assert (planned["cached"], planned["to_train"], planned["to_observe"]) == (0, 4, 6)
    assert (swept["trained"], swept["observed"], swept["failed"]) == (4, 6, 0)
    assert all(after[path] > made for path, made in before.items())
    assert run_files(store) == files
    assert as_json("sweep", *STORED)["cached"] == 6
    assert as_json("sweep", *STORED, "--rerun", "--limit", "1")["observed"] == 1
    assert as_json("verify")["problems"] == []
