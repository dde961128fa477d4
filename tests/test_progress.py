"""Progress of a running sweep: a live display on a terminal, plain lines elsewhere."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Command
from rich.console import Console

from normexp.console import progress as module
from normexp.console.curves import Curves, scale_of, spark
from normexp.console.words import duration, evenly
from normexp.sweeps import sweep as session
from normexp.sweeps.events import Done, Event, decode, relay

FRAME = re.compile(r"\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)*|\r(?:\x1b\[1A\x1b\[2K)+")
"""Goes back to where a display begins."""

COMMANDS = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")
LONGER = [*SMALL[:-1], "train.epochs=100"]
SLOW = [*SMALL[:2], "data.train_size=100000", "train.epochs=400"]  # some seconds an epoch


def on_terminal(
    *arguments: str,
    columns: int = 80,
    rows: int = 24,
    interrupt_at: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """The exit code of the command on a terminal of its own, and all that the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "normexp", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**known, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(environment or {})},
    )  # fmt: skip
    os.close(theirs)
    got = b""
    while True:
        try:
            got += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if interrupt_at and interrupt_at.encode() in got:
            process.send_signal(signal.SIGINT)
            interrupt_at = ""
    os.close(ours)
    return process.wait(), got.decode()


def frames(got: str) -> list[list[str]]:
    """The displays that a terminal was shown, as lines of plain text."""
    shown = [COMMANDS.sub("", frame).replace("\r", "") for frame in FRAME.split(got)]
    return [frame.rstrip("\n").split("\n") for frame in shown if frame.startswith("stacks")]


def drawn(curves: Curves) -> list[list[str]]:
    """The words of every line of the arms, the heading first."""
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as got:
        console.print(curves.table(100, 12))
    return [line.split() for line in got.get().splitlines()]


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 4)])
def test_no_display_is_wider_or_higher_than_the_terminal(columns: int, rows: int) -> None:
    """Nor does its height change while it runs, and the cursor is there afterwards."""
    code, got = on_terminal(
        "sweep", *LONGER, "norm=none,batch", "seed=range(4)", columns=columns, rows=rows
    )
    shown = frames(got)

    assert code == 0
    assert shown
    assert max(len(line) for frame in shown for line in frame) <= columns
    assert {len(frame) for frame in shown} == {min(rows, 2 + (1 + 6) * (rows > 5))}
    assert got.count("\x1b[?25l") == got.count("\x1b[?25h") == 1


def test_a_sweep_says_at_once_what_it_does() -> None:
    """What Python has to import before a plan takes longer than a person waits for a sign."""
    reading = "reading configurations …"
    _, got = on_terminal("sweep", *SMALL, "norm=none", "seed=0")
    code, refused = on_terminal("sweep", "norm=bat")

    assert got.startswith(reading)
    assert refused.startswith(reading)
    assert code == 2
    for shown in (got, refused):  # and nothing of it stays
        assert shown.count(reading) == shown.count(f"{reading}\r\x1b[2K")


def test_of_forty_arms_twelve_are_drawn() -> None:
    """The last line says how many more there are."""
    momenta = ",".join(str(i / 50) for i in range(1, 41))
    _, got = on_terminal("sweep", *LONGER, "norm=batch", f"norm.momentum={momenta}", "seed=0")

    assert all(frame[-1].strip() == "and 28 more arms" for frame in frames(got))
    assert {len(frame) for frame in frames(got)} == {2 + 1 + 12 + 1}


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_cannot_draw_gets_plain_lines(environment: dict[str, str]) -> None:
    """No command to the terminal at all among them."""
    _, got = on_terminal("sweep", *SMALL, "norm=none", "seed=0", environment=environment)

    assert "1 trajectory to train and 1 run to observe in 1 stack\r\n" in got
    assert "stack 1/1: 1 trajectory trained, 1 run stored\r\n" in got
    assert not frames(got)
    assert "\x1b[?25" not in got


def test_a_file_gets_plain_lines(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """These, even where colour is forced."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = normexp("sweep", *SMALL, "norm=none", "seed=0,1")

    assert result.stderr.splitlines()[:2] == [
        "2 trajectories to train and 2 runs to observe in 1 stack",
        "stack 1/1: 2 trajectories trained, 2 runs stored",
    ]
    assert "\x1b[?" not in result.output


def test_an_interrupted_sweep_says_so_without_colours_too_and_leaves_the_cursor() -> None:
    """The display says what the second Ctrl-C does; NO_COLOR takes the colours and nothing else."""
    code, got = on_terminal(
        "sweep", *SLOW, "norm=none", "seed=0", interrupt_at="steps/s",
        environment={"NO_COLOR": "1"},
    )  # fmt: skip

    assert code == 130
    assert any("stopping; Ctrl-C: at once" in frame[0] for frame in frames(got))
    assert "interrupted: 0 of 1 runs are stored" in COMMANDS.sub("", got)
    assert got.rindex("\x1b[?25h") > got.rindex("\x1b[?25l")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", got)


def test_what_failed_before_an_interruption_is_not_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A display shows a number only; its end says what it was, once."""
    monkeypatch.setattr(module, "is_drawable", lambda _: True)
    progress = module.LiveProgress()
    for _ in range(2):
        progress(Event("ended", done=Done(error=ValueError("no such thing"))))
    progress.__exit__(KeyboardInterrupt)

    assert capsys.readouterr().err == "failed: ValueError: no such thing\n"


class _Watching:
    """Hands on what was observed."""

    def __init__(self, curves: Curves) -> None:
        self.curves, self.steps = curves, 0

    def __call__(self, event: Event) -> None:
        """Count steps."""
        if event.kind == "stepped":
            self.steps += event.count
        if event.kind == "observed":
            self.curves.add(event.name, event.losses)


def watched(*study: str) -> _Watching:
    """A sweep, and what came in of it."""
    watching = _Watching(Curves(session.plan(*study)))
    assert not session.sweep(*study, progress=watching).failed
    return watching


def test_the_curves_end_at_the_means_of_the_table(as_json: Callable[..., Any]) -> None:
    """The last value of an arm is its mean test loss in the table of the sweep."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.9", "seed=range(4)"]
    _, *lines = drawn(watched(*study).curves)
    arms = as_json("sweep", *study)["arms"]

    assert [float(line[-1]) for line in lines] == pytest.approx(
        [arm["estimates"]["test_loss"]["mean"] for arm in arms], rel=1e-3
    )
    assert all("4/4" in line for line in lines)


def test_a_diverged_run_is_counted_and_left_out_of_the_curve() -> None:
    """As it is left out of the table's means."""
    watching = watched(*SMALL, "norm=none", "seed=0,1", "optim.lr=1e6")

    assert drawn(watching.curves)[1] == ["2/2", "2", "diverged"]


def test_processes_report_every_step_and_the_losses_of_every_run() -> None:
    """Three networks of 2 epochs: what threads report, to the digits that a line has."""
    study = ["data=digits", "model=lenet", "norm=batch", "norm.momentum=0.1", "seed=range(3)",
             "train.epochs=2"]  # fmt: skip
    found = [
        watched(*study, f"executor.processes={processes}", f"store.dir=processes-{processes}")
        for processes in ("true", "false")
    ]

    assert found[0].steps == found[1].steps > 0
    assert drawn(found[0].curves) == drawn(found[1].curves)


def test_a_relay_says_again_what_it_heard() -> None:
    """Steps are summed, losses have four digits, a diverged run has none."""
    lines: list[str] = []

    def send(line: str) -> bool:
        lines.append(line)
        return True

    listen = relay(send)
    listen(Event("resumed", 7))
    for _ in range(1000):
        listen(Event("stepped", 3))
    listen(Event("observed", name="a", losses=(1.23456, float("inf"))))
    listen(Event("observed", name="b"))
    events = [event for event in map(decode, lines) if event is not None]

    assert events[0] == Event("resumed", 7)
    assert sum(event.count for event in events if event.kind == "stepped") == 3000
    assert events[-2:] == [
        Event("observed", name="a", losses=(1.235, float("inf"))),
        Event("observed", name="b"),
    ]


def test_a_sparkline_is_logarithmic_and_keeps_both_ends() -> None:
    """Equal ratios are equal steps; points that do not fit are left out evenly."""
    values = [10.0**i for i in range(8)]

    assert spark(values, scale_of(values), 8) == "▁▂▃▄▅▆▇█"
    assert spark([1.0, 1.0], scale_of([1.0, 1.0]), 8) == "▁▁"
    assert spark([float("nan"), 0.0, 1.0, 10.0], scale_of([0.0, 1.0, 10.0]), 8) == " ▁▁█"
    assert spark([], None, 8) == ""
    assert evenly(101, 5) == [0, 25, 50, 75, 100]
    assert evenly(2, 5) == [0, 1]


def test_the_time_left_follows_from_the_work_done_and_forgets_what_was_done_before() -> None:
    """A quarter of what there is to do in 10 s: as much again, and twice that for the rest."""
    plan = session.plan(*SMALL, "norm=none", "seed=range(4)")
    now = [0.0]
    console = Console(file=io.StringIO(), width=100)
    display = module.Display(plan, console, Curves(plan), clock=lambda: now[0])

    def shown() -> str:
        with console.capture() as got:
            console.print(display)
        return got.get()

    display.add(Event("resumed", 12))  # of 4 networks with 6 steps each
    for _ in range(3):
        display.add(Event("stepped", 1))
    display.add(Event("observed", name=plan.study.runs[0].id))
    before = shown()
    now[0] = 10.0
    for _ in range(3):
        display.add(Event("stepped", 1))
    display.add(Event("observed", name=plan.study.runs[1].id))
    after = shown()

    assert "left" not in before
    assert "25%" in before
    assert "50%" in after
    assert "about 20 s left" in after
    assert "0 steps/s" in after
    assert "2/4 runs stored" in after


def test_a_duration_is_written_as_a_person_would() -> None:
    """No decimals from ten seconds on, and no seconds beside hours."""
    found = [duration(seconds) for seconds in (0.02, 4.66, 12, 59.4, 200, 7500)]

    assert found == ["0 s", "4.7 s", "12 s", "59 s", "3 min 20 s", "2 h 5 min"]


def test_the_display_says_why_a_cluster_s_tasks_all_wait(cluster: Path) -> None:
    """In Slurm's word, instead of a time that nobody knows."""
    code, got = on_terminal(
        "sweep", *SMALL, "norm=batch", "executor=slurm", "executor.options='begin=now+1hour'",
        interrupt_at="in Slurm's queue: BeginTime", environment={"SLURM_CONF": str(cluster)},
    )  # fmt: skip

    assert code == 130
    assert "in Slurm's queue: BeginTime" in got
