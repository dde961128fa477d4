"""`ls` and `show`: what differs, in 80 columns, a screen at a time."""

import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from typer.testing import Result

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]

STUDY = [*SMALL, "norm=batch,none", "norm.momentum=0.1,0.5", "seed=0,1"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


def on_terminal(*arguments: str, rows: int = 24) -> tuple[str, int]:
    """What the command shows on a terminal of this size, and its code."""
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    kept = {n: v for n, v in os.environ.items() if n not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-m", "normexp", *arguments],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**kept, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        with suppress(OSError):  # Linux's word for the end
            while part := os.read(master, 65536):
                shown += part
    os.close(master)
    return shown.decode(errors="replace").replace("\r\n", "\n"), process.returncode


def widest(text: str) -> int:
    """The longest line."""
    return max(map(len, text.splitlines()))


def test_sweeps_say_what_was_typed_beyond_what_all_have(
    normexp: Normexp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overrides of all sweeps of a study stand once, others with their sweep."""
    for momentum in ("0.1", "0.5"):
        normexp("sweep", *SMALL, "norm=batch", f"norm.momentum={momentum}", "seed=3")
    monkeypatch.setenv("COLUMNS", "80")
    listed = normexp("ls").stdout

    assert listed.count("data.train_size=40") == 1
    assert listed.count("norm.momentum=0.1") == listed.count("norm.momentum=0.5") == 1
    assert listed.splitlines()[0] == "2 sweeps of bn_regression, all complete"
    assert widest(listed) <= 80


def test_a_sweep_that_has_not_ended_is_told_from_the_others(normexp: Normexp) -> None:
    """Statuses have a column where they differ."""
    for seed in ("0", "1"):
        normexp("sweep", *SMALL, "norm=none", f"seed={seed}")
    before = normexp("ls").stdout
    next(Path("runs/bn_regression/sweeps").iterdir()).joinpath("manifest.json").unlink()
    after = normexp("ls").stdout

    assert "status" not in before
    assert "unfinished" in after
    assert "complete" in after


def test_no_line_is_wider_than_the_screen_and_no_figure_is_cut(
    normexp: Normexp, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name gives way, a loss never."""
    long = "this_is_a_study_with_a_name_that_is_longer_than_any_screen_" * 2
    Path("mine/study").mkdir(parents=True)
    packaged = Path(__file__).parents[1] / "configs/study/bn_regression.yaml"
    Path(f"mine/study/{long}.yaml").write_text(packaged.read_text())
    assert normexp("sweep", "--config-dir", "mine", f"study={long}", *STUDY,
                   "train.shuffle=true,false", "norm.eps=1e-5,1e-4").exit_code == 0  # fmt: skip
    for columns in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        rows, listed = as_json("ls", long), normexp("ls", long).stdout

        tables = [line for line in listed.splitlines() if line.startswith(" ")]
        assert widest("\n".join(tables)) <= columns
        for row in rows:
            line = next(line for line in tables if row["run"] in line)
            loss = float(line.split()[-2])
            assert loss == pytest.approx(row["test_loss"], rel=1e-3)


def test_runs_say_what_differs_and_once_what_all_are(normexp: Normexp, as_json: AsJson) -> None:
    """Norm, momentum and seed are columns; the batch size stands above, once."""
    normexp("sweep", *STUDY)
    listed, rows = normexp("ls", "bn_regression").stdout, as_json("ls", "bn_regression")
    titles = next(line for line in listed.splitlines() if line.startswith(" run")).split()

    assert titles == ["run", "norm", "momentum", "seed", "test", "loss", "excess"]
    assert listed.count("train.batch_size=16") == listed.count("model=mlp") == 1
    assert {"run", "label", "status", "test_loss", "directory"} <= set(rows[0])
    assert [row["values"] for row in rows if row["values"]["norm.kind"] == "none"] == [
        {"norm.kind": "none", "seed": 0},
        {"norm.kind": "none", "seed": 1},
    ]


def test_runs_have_their_labels_where_there_is_too_much_to_tell(
    normexp: Normexp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty columns are too few for seven fields."""
    normexp("sweep", *SMALL, "norm=batch", "norm.momentum=0.1,0.5", "norm.eps=1e-5,1e-4",
            "norm.affine=true,false", "norm.initial_mean=0,1", "norm.initial_var=1,2",
            "optim.lr=0.1,0.2", "seed=0")  # fmt: skip
    wide = normexp("ls", "bn_regression").stdout
    monkeypatch.setenv("COLUMNS", "60")
    narrow = normexp("ls", "bn_regression").stdout

    assert "affine" in wide
    assert "label" not in wide
    assert "label" in narrow
    assert "batch-m0.1" in narrow
    assert widest(narrow) <= 60


def test_show_says_what_is_not_as_by_default(normexp: Normexp, as_json: AsJson) -> None:
    """And everything on demand."""
    normexp("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")
    run = as_json("ls", "bn_regression")[0]["run"]
    before = normexp("show", run).stdout.partition("reproduce:")[0]
    whole = normexp("show", run, "--all").stdout.partition("reproduce:")[0]

    assert "model.depth=2" in before
    assert "norm.momentum=0.1" in before
    assert "beta1" not in before
    assert "beta1=0.9" in whole


def test_many_evaluation_points_are_thinned_visibly(normexp: Normexp, as_json: AsJson) -> None:
    """The first and the last are there, and how many are left out; all on demand."""
    normexp("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=100")
    run = as_json("ls", "bn_regression")[0]["run"]
    short, whole = normexp("show", run).stdout, normexp("show", run, "--all").stdout
    steps = [[int(n) for n in re.findall(r"(?m)^ +(\d+) +[\d–]", text)] for text in (short, whole)]

    assert steps[0][0] == 0
    assert steps[0][-1] == 300
    assert len(steps[0]) == 16
    assert "… 85 more evaluation points: --all" in short
    assert steps[1] == list(range(0, 301, 3))


@pytest.mark.parametrize("columns", [60, 80])
def test_show_fits_the_screen_but_for_commands_and_paths(
    normexp: Normexp, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Of a classification, which has the most columns."""
    normexp("sweep", "study=momentum_convention", "seed=0", "train.epochs=1", "norm.momentum=0.1")
    run = as_json("ls", "momentum_convention")[0]["run"]
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = normexp("show", run).stdout.partition("reproduce:")[0]

    assert "accuracy" in shown
    assert widest(shown) <= columns


def test_long_output_on_a_terminal_is_printed_whole(normexp: Normexp) -> None:
    """In colours, and waits for no key: `| less` is there for who wants it."""
    normexp("sweep", *STUDY)
    shown, code = on_terminal("ls", "bn_regression", rows=6)

    assert code == 0
    assert "\x1b[1m" in shown
    assert len(re.findall(r"[0-9a-f]{12} ", shown)) == 6
