"""The command line: what each command prints, as a person and as a program reads it."""

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, AsJson, Command, store_of

import normexp as package
from normexp.cli import app

MANY_KEYS = ["train.batch_size=4,64", "norm=batch,group", "train.epochs=1", "optim.lr=0.01"]
PLAIN = partial(re.sub, r"\x1b\[[0-9;]*m", "")
STUDY = [*SMALL, "norm=none,batch", "norm.momentum=0.1,null", "seed=0,1,2"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the runs of the study."""
    return str(store_of(tmp_path_factory.mktemp("store"), *STUDY))


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def test_every_command_has_help_with_an_example(normexp: Command) -> None:
    """A command line that could be typed, on a line of its own."""
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        shown = normexp(name, "--help")

        assert shown.exit_code == 0
        assert re.search(rf"Example:\n +normexp {name}", shown.stdout), name


def test_summaries_are_whole_at_80_columns(normexp: Command) -> None:
    """Every command has one line, by what it is for."""
    lines = normexp("--help").stdout.splitlines()
    summaries = {line.split()[0]: line for line in lines if line.startswith("  ")}

    names = [each.name or each.callback.__name__ for each in app.registered_commands]  # type: ignore[union-attr]
    assert {*names} <= summaries.keys()
    assert not [line for line in lines if "..." in line.replace("[ARGS]...", "") or len(line) > 80]


def test_usage_has_each_bracket_once(normexp: Command) -> None:
    """One pair around what may be left out, one `...` behind what repeats; no type of Python."""
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        shown = normexp(name, "--help").stdout
        usage = shown.partition("\n\n")[0]

        assert not re.search(r"<(path|str|int|float|list)\b", shown), shown
        assert not re.search(r"\[\[|\{\[|\.\.\.\]|\.\.\.\}", usage), usage


@pytest.mark.parametrize("typed", [["norm=bacth"], ["study=norm_batch_size", *MANY_KEYS]])
def test_a_terminal_breaks_lines_between_words(
    normexp: Command, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    """Errors and notes, and what was typed; elsewhere an error is one line."""
    whole = normexp("plan", *typed)
    monkeypatch.setenv("FORCE_COLOR", "1")
    broken = normexp("plan", *typed)

    assert max(map(len, PLAIN(broken.stdout + broken.stderr).splitlines())) <= 80
    for before, after in ((whole.stdout, broken.stdout), (whole.stderr, broken.stderr)):
        assert PLAIN(after).split() == before.split()


def test_a_sweep_prints_a_row_an_arm_and_its_directory_last(normexp: Command) -> None:
    """Mean and interval over seeds, half-life; data on stdout, narration on stderr."""
    result = normexp("sweep", *STUDY)
    lines = result.stdout.splitlines()
    rows = [line.split() for line in lines if line.strip().startswith(("none", "batch"))]

    assert result.exit_code == 0
    assert Path(lines[-1]).is_dir()
    assert [row[:5] for row in rows] == [
        ["none", "–", "–", "–", "3"],
        ["batch", "0.1", "0.9", "6.58", "3"],
        ["batch", "cumulative", "–", "–", "3"],
    ]
    assert all("±" in row for row in rows)
    assert max(map(len, lines)) <= 80
    assert "stack 2/2" in result.stderr
    assert "norm.momentum applies to norm=batch only" in result.stderr


MANY = ["data=digits", "data.train_size=60", "data.test_size=20", "train.epochs=1", "norm=batch",
        "norm.momentum=0.01,0.02,0.05,0.1,0.2,0.5,0.9,null", "norm.placement=before,after",
        "train.batch_size=12,60", "seed=0,1"]  # fmt: skip
"""Thirty-two arms: a column a momentum."""


def test_tables_fit_the_terminal(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut: a narrow terminal gets fewer columns, or one table below another."""
    for columns, parts in ((60, 3), (80, 2), (120, 1)):
        monkeypatch.setenv("COLUMNS", str(columns))
        many = normexp("sweep", *MANY).stdout
        few = normexp("sweep", *MANY, "norm.momentum=0.1,0.5").stdout
        tables = [line for line in (many + few).splitlines() if line.startswith(" ")]

        assert max(map(len, tables)) <= columns
        assert "…" not in many + few
        assert many.count("population") - many.count("population:") == parts
        assert many.count("*") == 5  # the best of each of four rows, and what that means
        assert "0.5" in few
        assert ("no room for" in few) == (columns < 120)


def test_labels_and_targets_have_a_table_each(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accuracy where there are labels, no such column where there are targets."""
    monkeypatch.setenv("COLUMNS", "160")
    shown = normexp("sweep", "data=random_labels,quadratic", "norm=none", "seed=0,1",
                    "train.epochs=1", "optim.lr=0.001")  # fmt: skip
    _, *tables = shown.stdout.split("data=")
    texts = {table.split()[0]: table.partition("mean ±")[0] for table in tables}

    assert shown.exit_code == 0
    assert "accuracy" not in texts["quadratic"]
    assert texts["random_labels"].count("accuracy") == 2
    assert all("±" in text for text in texts.values())


def test_one_training_a_momentum_has_no_population_for_all(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where momentum enters training the weights differ, and so do their population losses."""
    monkeypatch.setenv("COLUMNS", "160")
    momenta = "norm.momentum=" + ",".join(f"{number / 20:g}" for number in range(1, 14))
    shown = normexp("sweep", *SMALL, "norm=batch,ema_train", momenta, "seed=0").stdout
    (batch,) = (line.split() for line in shown.splitlines() if line.startswith(" batch"))
    (average,) = (line.split() for line in shown.splitlines() if line.startswith(" ema_train"))

    assert batch[2] != "–"
    assert average[2] == "–"


def test_the_table_is_the_mean_and_t_interval_of_the_runs(as_json: AsJson, store: str) -> None:
    """Recomputed with pandas and SciPy from what read gives."""
    from scipy import stats

    answer = as_json("sweep", *STUDY, f"store.dir={store}")
    frame = package.read(answer["directory"])

    assert answer["failed"] == 0
    assert len(answer["arms"]) == 3
    for arm in answer["arms"]:
        rows = frame[frame["norm"] == arm["values"]["norm.kind"]]
        if "norm.momentum" in arm["values"]:
            momentum = arm["values"]["norm.momentum"]
            rows = rows[rows["norm.momentum"].isna() == (momentum is None)]
        low, high = stats.t.interval(0.95, 2, rows["test_loss"].mean(), rows["test_loss"].sem())
        found = arm["estimates"]["test_loss"]

        assert (found["n"], found["mean"]) == (3, pytest.approx(rows["test_loss"].mean()))
        assert found["half_width"] == pytest.approx((high - low) / 2)


def test_json_answers_have_the_promised_keys(as_json: AsJson, store: str) -> None:
    """The keys that programs may rely on."""
    plan = as_json("plan", *STUDY, f"store.dir={store}")
    swept = as_json("sweep", *STUDY, f"store.dir={store}")
    run = as_json("ls", "bn_regression", "--dir", store)[0]["run"]
    shown = as_json("show", run, "--dir", store)

    assert {"runs", "cached", "trajectories", "to_train", "stacks"} <= set(plan)
    assert set(plan) | {"directory", "failed"} <= set(swept)
    assert swept["directory"] in [each["directory"] for each in as_json("ls", "--dir", store)]
    assert len(as_json("ls", "bn_regression", "--dir", store)) == 9
    assert shown["run_id"] == run
    assert [point["step"] for point in shown["points"]] == [0, 3, 6]


def test_commands_that_are_named_can_be_typed(normexp: Command) -> None:
    """With a store whose name has a blank: as a shell reads them, they are about the same run."""
    store_of(Path("my runs"), *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")
    (run,) = Path("my runs/bn_regression").glob("*/metrics.parquet")
    shown = normexp("show", str(run.parent)).stdout.splitlines()
    command = next(line for line in shown if line.startswith("normexp reproduce"))
    two = normexp("why", str(run.parent), str(run.parent)).stderr
    numbers = normexp("predict", str(run.parent), "--steps", "5").stderr
    for damaged in Path("my runs/bn_regression/trajectories").glob("*/points.parquet"):
        damaged.write_bytes(b"")
    lost = normexp("budget", str(run.parent)).stderr

    assert shlex.split(command) == ["normexp", "reproduce", str(run.parent)]
    assert f"normexp diff '{run.parent}' '{run.parent}'" in two
    assert f"normexp predict '{run.parent}'" in numbers
    assert f"normexp verify '{Path.cwd()}/my runs/bn_regression'" in lost


def test_ls_and_show_print_what_is_stored(normexp: Command, as_json: AsJson, store: str) -> None:
    """At 80 columns, without a wrapped name; a run by id, its beginning, or its path."""
    place = ("--dir", store)
    sweeps, runs = normexp("ls", *place).stdout, normexp("ls", "bn_regression", *place).stdout
    found = as_json("ls", "bn_regression", *place)
    run = next(each for each in found if each["label"] == "batch-m0.1-s2")
    names = (run["run"], run["run"][:8], run["directory"])
    shown = [normexp("show", name, *place).stdout for name in names]
    several = normexp("show", "batch-m0.1", *place)

    assert as_json("ls", *place)[0]["sweep"] in sweeps
    assert any(line.split()[1:4] == ["batch", "cumulative", "2"] for line in runs.splitlines())
    assert max(map(len, (sweeps + runs).splitlines())) <= 80
    assert shown[0] == shown[1] == shown[2]
    for part in ("momentum=0.1", "excess", "stats.parquet", "reproduce:", "normexp sweep study="):
        assert part in shown[0]
    assert several.exit_code == 3
    assert "'batch-m0.1' names 3 runs" in several.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls"], "no sweep in runs"),
        (["ls", "nothing"], "no study 'nothing' in runs"),
        (["show", "123456"], "no run '123456' in runs"),
    ],
)
def test_what_is_not_there_is_exit_code_3(
    normexp: Command, arguments: list[str], message: str
) -> None:
    """One line, and what to type next."""
    result = normexp(*arguments)

    assert result.exit_code == 3
    assert result.stderr.startswith(f"error: {message}")
    assert re.search("hint: type normexp (ls|sweep)", result.stderr)


def test_a_stack_that_fails_is_named_and_the_others_are_kept(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; the arm that could be trained is in the table; the next sweep mends it."""
    from normexp.sweeps.worker import Worker

    train = Worker._train  # noqa: SLF001  the failure of a machine has no public door

    def fail(self: Worker, some: Any, *rest: Any) -> Any:  # noqa: ANN401
        if some[0].config.norm.kind == "batch":
            raise MemoryError("out of memory")
        return train(self, some, *rest)

    monkeypatch.setattr(Worker, "_train", fail)
    broken = normexp("sweep", *STUDY, "--json")
    answer = json.loads(broken.stdout)
    shown = normexp("show", answer["failed_runs"][0][:8])
    sound = normexp("verify").exit_code == 0
    monkeypatch.undo()

    assert broken.exit_code == 1
    assert answer["failed"] == 6
    assert "MemoryError: out of memory" in answer["errors"][0]
    assert shown.exit_code == 0
    assert 'raise MemoryError("out of memory")' in shown.stdout
    assert answer["directory"] in shown.stdout
    assert sound
    assert [arm["values"]["norm.kind"] for arm in answer["arms"]] == ["none"]
