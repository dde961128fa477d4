"""`normexp search`: what is proposed, what it is worth, and that it goes on after a kill."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import SMALL, AsJson, Command
from running import SWEEP, until

import normexp
from normexp.store.stored import Row
from normexp.study.study import Study
from normexp.sweeps.search import search
from normexp.sweeps.sweep import sweep

SEARCH = [*SMALL, "norm=batch", "optim.lr=interval(1e-4,1)", "norm.momentum=0.01,0.1,0.5",
          "seed=range(3)"]  # fmt: skip
EIGHT = ["--trials", "8", "--parallel", "3"]
STUDY = "bn_regression-search"
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A store with a search that nobody interrupted, and its answer; no test changes it."""
    place = tmp_path_factory.mktemp("done")
    return place / "runs", answer_of(place / "runs")


def swept(study: Study) -> list[Row]:
    """The rows of a study, once they are there."""
    return sweep(study).rows


def answer_of(store: Path, sweep: Callable[[Study], list[Row]] = swept) -> Answer:
    """The answer of the search in a store, by the function."""
    return search([*SEARCH, f"store.dir={store}"], sweep, trials=8, parallel=3)


def test_a_trial_is_worth_what_its_runs_say(done: tuple[Path, Answer]) -> None:
    """By pandas: least over momenta of the median over seeds, one training a seed."""
    store, answer = done
    frame = normexp.read(store)

    assert len(frame) == 8 * 3 * 3
    assert frame["trajectory_id"].nunique() == 8 * 3
    assert sorted(each["trial"] for each in answer["trials"]) == list(range(8))
    for each in answer["trials"]:
        rows = frame[frame["optim.lr"] == each["values"]["optim.lr"]]
        medians = rows.groupby("norm.momentum")["test_loss"].median()
        assert each["value"] == medians.min()
        assert each["observed"] == {"norm.momentum": medians.idxmin()}
    assert answer["trials"] == sorted(answer["trials"], key=lambda each: float(each["value"]))


def test_the_command_line_says_the_same_and_trains_nothing_twice(
    normexp: Command, as_json: AsJson, done: tuple[Path, Answer]
) -> None:
    """Its table begins with the best, and the command it prints finds that run in the store."""
    store, answer = done
    shutil.copytree(store, "runs")
    shown = normexp("search", *SEARCH, *EIGHT)
    *_, typed, record = shown.stdout.splitlines()
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip()[:1].isdigit()]
    best = answer["trials"][0]
    _, verb, *words = shlex.split(typed)
    swept = as_json(verb, *words)

    assert shown.exit_code == 0
    assert "over optim.lr (0.0001 to 1, log)" in shown.stdout
    assert (int(rows[0][0]), float(rows[0][1])) == (best["trial"], best["values"]["optim.lr"])
    assert len(rows) == 5
    assert record == f"runs/{STUDY}/search.db"
    assert (swept["cached"], swept["trained"], len(swept["arms"])) == (3, 0, 1)
    assert swept["arms"][0]["estimates"]["test_loss"]["median"] == best["value"]
    assert as_json("search", *SEARCH, *EIGHT)["trials"] == answer["trials"]
    assert len(as_json("ls")) == 3 + 1


class Kill(Exception):  # noqa: N818  it is none of normexp's errors
    """In the place of SIGKILL."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("batch", [0, 1])
def test_an_interrupted_search_goes_on_as_it_would_have(
    done: tuple[Path, Answer], batch: int, when: str
) -> None:
    """Killed before the trainings of a batch, or when they are stored and nothing is told."""
    calls = []

    def dying(study: Study) -> list[Row]:
        calls.append(study)
        if len(calls) > batch and when == "before":
            raise Kill
        rows = swept(study)
        if len(calls) > batch:
            raise Kill
        return rows

    with pytest.raises(Kill):
        answer_of(Path("runs"), dying)

    assert answer_of(Path("runs"))["trials"] == done[1]["trials"]


def test_a_search_that_sigkill_ended_goes_on_as_it_would_have(
    as_json: AsJson, done: tuple[Path, Answer]
) -> None:
    """In the middle of a batch's trainings or a little later; no training is lost."""
    command = [SWEEP[0], "search", *SEARCH, *EIGHT]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: len([*Path("runs").glob("*/trajectories/*/manifest.json")]) > 9, process)
    process.kill()
    process.wait()
    answer = as_json("search", *SEARCH, *EIGHT)

    assert answer["trials"] == done[1]["trials"]
    assert as_json("verify")["problems"] == []


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_record_that_lacks_trials_gets_them_again(done: tuple[Path, Answer], kept: int) -> None:
    """Killed between two trials of a batch, or the file is gone; nothing trains."""
    shutil.copytree(done[0], "runs")
    record = Path(f"runs/{STUDY}/search.db")
    there = optuna.load_study(study_name=None, storage=f"sqlite:///{record}")
    record.unlink()
    again = optuna.create_study(storage=f"sqlite:///{record}", study_name=there.study_name)
    again.add_trials(there.trials[:kept])
    before = {*Path("runs").rglob("weights.safetensors")}
    found = answer_of(Path("runs"))
    mended = optuna.load_study(study_name=None, storage=f"sqlite:///{record}")

    assert found["trials"] == done[1]["trials"]
    assert {*Path("runs").rglob("weights.safetensors")} == before
    assert [each.value for each in mended.trials] == [each.value for each in there.trials]


def test_more_trials_go_on_with_the_same_search(done: tuple[Path, Answer]) -> None:
    """Four, in batches of three, and then eight: the last batch of the four was not whole."""
    search([*SEARCH, "store.dir=runs"], swept, trials=4, parallel=3)

    assert answer_of(Path("runs"))["trials"] == done[1]["trials"]


def test_another_seed_proposes_others(as_json: AsJson) -> None:
    """And the same file has both searches."""
    small = [*SEARCH, "--trials", "2", "--parallel", "2"]
    both = [as_json("search", *small, "--seed", seed)["trials"] for seed in ("0", "1")]
    names = optuna.get_all_study_names(f"sqlite:///runs/{STUDY}/search.db")

    assert not {str(each["values"]) for each in both[0]} & {str(e["values"]) for e in both[1]}
    assert len(names) == 2


def test_intervals_ranges_and_choices(as_json: AsJson) -> None:
    """Each trial has a value of each; scales are as the ends, or a tag, say."""
    answer = as_json("search", *SMALL, "seed=0", "norm=none,batch", "norm.momentum=0.1,0.5",
                     "optim.lr=interval(0.01,0.1)", "model.width=range(2,9,3)", "optim=sgd,adam",
                     "model.depth=interval(1,2)", "optim.momentum=tag(log,interval(0.1,0.5))",
                     "--trials", "12", "--parallel", "6")  # fmt: skip
    values = [each["values"] for each in answer["trials"]]

    assert answer["space"] == {
        "norm": "none, batch", "optim": "sgd, adam", "model.width": "2 to 8",
        "optim.lr": "0.01 to 0.1, log", "model.depth": "1 to 2",
        "optim.momentum": "0.1 to 0.5, log",
    }  # fmt: skip
    assert {each["model.width"] for each in values} == {2, 5, 8}
    assert {each["model.depth"] for each in values} == {1, 2}
    assert {each["norm"] for each in values} == {"none", "batch"}
    assert all(0.01 <= each["optim.lr"] <= 0.1 for each in values)
    for each in answer["trials"]:
        has_momentum = each["values"]["norm"] == "batch"
        assert set(each["observed"]) == ({"norm.momentum"} if has_momentum else set())


def test_what_diverges_is_worth_nothing(normexp: Command, as_json: AsJson) -> None:
    """The search goes on, and puts it last."""
    wild = [*SMALL, "norm=none", "seed=0", "optim=sgd", "optim.lr=interval(1e-4,1e30)",
            "--trials", "6"]  # fmt: skip
    diverged = as_json("search", *wild)["trials"]

    assert diverged[0]["value"] > 0
    assert diverged[-1]["value"] is None
    assert "  inf" in normexp("search", *wild).stdout


def test_accuracies_are_better_the_larger(as_json: AsJson) -> None:
    """Of digits."""
    found = as_json("search", *SMALL, "data=digits", "norm=batch", "norm.momentum=0.1,0.9",
                    "seed=0", "optim.lr=interval(1e-4,1)", "--trials", "4", "--metric",
                    "test_accuracy")["trials"]  # fmt: skip
    values = [each["value"] for each in found]

    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_a_store_with_a_search_is_kept_as_any_other(
    normexp: Command, as_json: AsJson, done: tuple[Path, Answer]
) -> None:
    """Listed, verified, mended by the command that `verify` says, removed with its record."""
    shutil.copytree(done[0], "runs")
    assert as_json("verify")["problems"] == []
    assert "search" in normexp("ls").stdout
    next(Path("runs").glob("*/trajectories/*/points.parquet")).write_bytes(b"")
    checked = normexp("verify", "--json")
    (damaged,) = json.loads(checked.stdout)["problems"]
    _, verb, *words = shlex.split(damaged["to_do"])

    assert normexp(verb, *words).exit_code == 0
    assert as_json("verify")["problems"] == []
    assert as_json("gc", "--dry-run")["bytes"] == 0
    assert as_json("du")[0]["else"] >= Path(f"runs/{STUDY}/search.db").stat().st_size
    assert normexp("rm", STUDY, "--yes").exit_code == 0
    assert not [*Path("runs").iterdir()]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("norm=batch seed=0", "nothing is to be searched", "'optim.lr=interval(1e-4,1e-1)'"),
        ("optim.lr=interval(1,0.1)", "second end is not above", "interval(LOW,HIGH)"),
        ("optim.lr=interval(0,1)", "optim.lr=0: a number above 0", "type"),
        ("optim.lr=interval(1)", "interval", "type key=value"),
        ("optm.lr=interval(0.1,1)", "unknown key 'optm.lr'", "optim.lr"),
        ("norm.momentum=interval(0.1,1)", "all of a list is tried", "type norm.momentum=A,B,C"),
        ("seed=interval(0,9)", "all of a list is tried", "type seed=A,B,C"),
        (
            "norm=batch,batch_renorm optim.lr=interval(0.1,1)",
            "with some of the norms only",
            "VALUE",
        ),
        ("norm=group norm.groups=2 model.width=range(8,12)", "does not divide", "norm.groups="),
        ("model.width=interval(2.5,8)", "model.width=2.5: a whole number", "type"),
        ("executor.workers=interval(1,4)", "no part of what a run is", "executor.workers=1"),
        ("optim.lr=interval(0.1,1) --metric loss", "--metric 'loss' is unknown", "test_loss"),
        ("optim.lr=interval(0.1,1) --trials 0", "--trials", "normexp search --help"),
        ("optim.lr=interval(0.1,1) --as reports", "a directory of that name", "my_reports"),
    ],
)
def test_wrong_input_is_refused_in_a_line(
    normexp: Command, words: str, message: str, hint: str
) -> None:
    """What was given, what to type; nothing is made."""
    result = normexp("search", *words.split())
    error, advice = result.stderr.splitlines()

    assert result.exit_code == 2
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert not Path("runs").exists()


def test_a_file_that_is_no_record_is_not_lost(normexp: Command) -> None:
    """It is named, and left as it is."""
    record = Path(f"runs/{STUDY}/search.db")
    record.parent.mkdir(parents=True)
    record.write_bytes(b"something else" * 100)
    result = normexp("search", *SEARCH, *EIGHT)

    assert result.exit_code == 1
    assert f"error: runs/{STUDY}/search.db cannot be used" in result.stderr
    assert record.read_bytes() == b"something else" * 100
