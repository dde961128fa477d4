"""`ls` and `show`: what differs, in 80 columns."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import SMALL, AsJson, Command, store_of
from test_progress import COMMANDS, on_terminal


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six runs of a study, a long training, and one run of a classification."""
    place = tmp_path_factory.mktemp("listed") / "runs"
    store_of(place, *SMALL, "norm=batch,none", "norm.momentum=0.1,0.5", "seed=0,1")
    one = ["norm=batch", "norm.momentum=0.1", "seed=0"]
    store_of(place, *SMALL, *one, "train.epochs=100", "--as", "long")
    store_of(place, "study=momentum_convention", "train.epochs=1", *one[1:])
    return str(place)


def widest(text: str) -> int:
    """The longest line."""
    return max(map(len, text.splitlines()))


def test_sweeps_say_what_was_typed_and_how_they_ended(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overrides of all sweeps of a study stand once; statuses have a column where they differ."""
    for momentum in ("0.1", "0.5"):
        normexp("sweep", *SMALL, "norm=batch", f"norm.momentum={momentum}", "seed=3")
    monkeypatch.setenv("COLUMNS", "80")
    listed = normexp("ls").stdout
    next(Path("runs/bn_regression/sweeps").iterdir()).joinpath("manifest.json").unlink()
    after = normexp("ls").stdout

    assert listed.count("data.train_size=40") == 1
    assert listed.count("norm.momentum=0.1") == listed.count("norm.momentum=0.5") == 1
    assert listed.splitlines()[0] == "2 sweeps of bn_regression, all complete"
    assert widest(listed) <= 80
    assert "status" not in listed
    assert "unfinished" in after
    assert "complete" in after


def test_no_line_is_wider_than_the_screen_and_no_figure_is_cut(
    normexp: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name gives way, and labels stand for fields that do not fit; a loss never."""
    long = "this_is_a_study_with_a_name_that_is_longer_than_any_screen_" * 2
    Path("mine/study").mkdir(parents=True)
    packaged = Path(__file__).parents[1] / "configs/study/bn_regression.yaml"
    Path(f"mine/study/{long}.yaml").write_text(packaged.read_text())
    assert normexp("sweep", "--config-dir", "mine", f"study={long}", *SMALL, "norm=batch",
                   "norm.momentum=0.1,0.5", "norm.eps=1e-5,1e-4", "norm.affine=true,false",
                   "norm.initial_mean=0,1", "norm.initial_var=1,2", "optim.lr=0.1,0.2",
                   "seed=0").exit_code == 0  # fmt: skip
    for columns in (60, 80, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        rows, listed = as_json("ls", long), normexp("ls", long).stdout

        tables = [line for line in listed.splitlines() if line.startswith(" ")]
        assert widest("\n".join(tables)) <= columns
        assert ("label" in listed) == (columns < 160)
        for row in rows:
            line = next(line for line in tables if row["run"] in line)
            loss = float(line.split()[-2])
            assert loss == pytest.approx(row["test_loss"], rel=1e-3)


def test_runs_say_what_differs_and_once_what_all_are(
    store: str, normexp: Command, as_json: AsJson
) -> None:
    """Norm, momentum and seed are columns; the batch size stands above, once."""
    at = ["bn_regression", "--dir", store]
    listed, rows = normexp("ls", *at).stdout, as_json("ls", *at)
    titles = next(line for line in listed.splitlines() if line.startswith(" run")).split()

    assert titles == ["run", "norm", "momentum", "seed", "test", "loss", "excess"]
    assert listed.count("train.batch_size=16") == listed.count("model=mlp") == 1
    assert {"run", "label", "status", "test_loss", "directory"} <= set(rows[0])
    assert [row["values"] for row in rows if row["values"]["norm.kind"] == "none"] == [
        {"norm.kind": "none", "seed": 0},
        {"norm.kind": "none", "seed": 1},
    ]


def test_show_says_what_is_not_as_by_default_and_thins_points_visibly(
    store: str, normexp: Command, as_json: AsJson
) -> None:
    """The first and the last point are there, and how many are left out; everything on demand."""
    run = as_json("ls", "long", "--dir", store)[0]["run"]
    short, whole = (normexp("show", run, "--dir", store, *all_).stdout for all_ in ([], ["--all"]))
    steps = [[int(n) for n in re.findall(r"(?m)^ +(\d+) +[\d–]", text)] for text in (short, whole)]
    before = short.partition("reproduce:")[0]

    assert "model.depth=2" in before
    assert "norm.momentum=0.1" in before
    assert "beta1" not in before
    assert "beta1=0.9" in whole.partition("reproduce:")[0]
    assert steps[0][0] == 0
    assert steps[0][-1] == 300
    assert len(steps[0]) == 16
    assert "… 85 more evaluation points: --all" in short
    assert steps[1] == list(range(0, 301, 3))


@pytest.mark.parametrize("columns", [60, 80])
def test_show_fits_the_screen_but_for_commands_and_paths(
    store: str, normexp: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Of a classification, which has the most columns."""
    run = as_json("ls", "momentum_convention", "--dir", store)[0]["run"]
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = normexp("show", run, "--dir", store).stdout.partition("reproduce:")[0]

    assert "accuracy" in shown
    assert widest(shown) <= columns


def test_commands_can_be_copied_from_a_terminal(store: str, as_json: AsJson) -> None:
    """No line is broken but by a backslash between two words; what a shell makes of it is it."""
    run = as_json("ls", "long", "--dir", store)[0]["run"]
    _, got = on_terminal("show", run, "--dir", store)
    shown = COMMANDS.sub("", got).replace("\r", "").partition("alone:\n")[2]
    lines = shown.partition(f"\n{store}")[0].splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
    joined = "".join(line.removesuffix("\\") for line in lines)
    assert shlex.split(joined) == shlex.split(as_json("show", run, "--dir", store)["command"])
