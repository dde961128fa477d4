"""What a sweep shows while it runs: a picture on a terminal, plain lines elsewhere."""

import fcntl
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
from conftest import SMALL
from typer.testing import Result

from normexp.console.curves import Curves
from normexp.console.pace import Pace
from normexp.console.spark import scale_of, spark
from normexp.console.status import remaining
from normexp.insight.thinning import evenly
from normexp.sweeps import sweep as session
from normexp.sweeps.events import Done, Event, Relay, decode

Normexp = Callable[..., Result]
FRAMES = re.compile(r"\x1b\[\?2026h(.*?)\x1b\[\?2026l", re.DOTALL)
COMMANDS = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")
LONGER = [*SMALL[:-1], "train.epochs=100"]


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
    """The pictures that a terminal was shown, as lines of plain text."""
    return [COMMANDS.sub("", frame).replace("\r", "").split("\n") for frame in FRAMES.findall(got)]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 24), (40, 10), (80, 4)])
def test_no_picture_is_wider_or_higher_than_the_terminal(columns: int, rows: int) -> None:
    """Nor does its height change while it runs, and what is behind it is whole."""
    code, got = on_terminal(
        "sweep", *LONGER, "norm=none,batch", "seed=range(4)", columns=columns, rows=rows
    )
    shown = frames(got)

    assert code == 0
    assert shown
    assert max(len(line) for frame in shown for line in frame) < columns
    assert {len(frame) for frame in shown} <= {min(rows - 1, 2 + 1 + 6, len(shown[0]))}
    assert got.count("\x1b[?25l") == got.count("\x1b[?25h") == 1


def test_a_narrow_terminal_and_forty_arms_say_how_many_are_not_drawn() -> None:
    """Twelve at most."""
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


def test_without_colours_it_draws_all_the_same() -> None:
    """NO_COLOR takes the colours and nothing else."""
    slow = ["data.train_size=100000", "train.epochs=6"]  # long enough for a picture
    overrides = [*SMALL[:2], *slow, "norm=none", "seed=0"]
    _, got = on_terminal("sweep", *overrides, environment={"NO_COLOR": "1"})

    assert frames(got)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", got)


def test_a_file_gets_plain_lines(normexp: Normexp, monkeypatch: pytest.MonkeyPatch) -> None:
    """These, even where colour is forced."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = normexp("sweep", *SMALL, "norm=none", "seed=0,1")

    assert result.stderr.splitlines()[:2] == [
        "2 trajectories to train and 2 runs to observe in 1 stack",
        "stack 1/1: 2 trajectories trained, 2 runs stored",
    ]
    assert "\x1b[?" not in result.output


def test_an_interrupted_sweep_says_so_on_the_terminal_and_leaves_the_cursor() -> None:
    """The picture says what the second Ctrl-C does; the last lines are whole."""
    slow = ["data.train_size=100000", "train.epochs=400"]  # some seconds an epoch
    code, got = on_terminal(
        "sweep", *SMALL[:2], *slow, "norm=none", "seed=0", interrupt_at="steps/s"
    )

    assert code == 130
    assert any("stopping; Ctrl-C: at once" in frame[0] for frame in frames(got))
    assert "interrupted: 0 of 1 runs are stored" in COMMANDS.sub("", got)
    assert got.rindex("\x1b[?25h") > got.rindex("\x1b[?25l")


def test_what_failed_before_an_interruption_is_not_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture shows a number only; its end says what it was, once."""
    from normexp.console import progress as module

    monkeypatch.setattr(module, "is_drawable", lambda _: True)
    progress = module.LiveProgress()
    for _ in range(2):
        progress(Event("ended", done=Done(error=ValueError("no such thing"))))
    progress.close(told=False)

    assert capsys.readouterr().err == "failed: ValueError: no such thing\n"


def test_a_picture_shows_the_means_of_the_runs_in_the_store(as_json: Callable[..., Any]) -> None:
    """The last value of an arm is its mean test loss in the table of the sweep."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.9", "seed=range(4)"]
    curves = Curves(session.plan(*study))
    session.sweep(*study, progress=_Watching(curves))
    arms = as_json("sweep", *study)["arms"]
    lines = [line.plain for line in curves.lines(80, 12)]

    assert [float(line.split()[-1]) for line in lines[1:]] == pytest.approx(
        [arm["estimates"]["test_loss"]["mean"] for arm in arms], rel=1e-3
    )
    assert all("4/4" in line for line in lines[1:])


def test_a_diverged_run_is_counted_and_left_out_of_the_curve() -> None:
    """As it is left out of the table's means."""
    study = [*SMALL, "norm=none", "seed=0,1", "optim.lr=1e6"]
    curves = Curves(session.plan(*study))
    session.sweep(*study, progress=_Watching(curves))

    assert curves.lines(80, 12)[1].plain.split() == ["2/2", "2", "diverged"]


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


def test_processes_tell_every_step_and_the_losses_of_every_run() -> None:
    """Three networks of 2 epochs: what threads tell, to the digits that a line has."""
    study = ["data=digits", "model=lenet", "norm=batch", "norm.momentum=0.1", "seed=range(3)",
             "train.epochs=2"]  # fmt: skip
    said = []
    for processes in ("true", "false"):
        place = [f"executor.processes={processes}", f"store.dir=processes-{processes}"]
        watching = _Watching(Curves(session.plan(*study, *place)))
        result = session.sweep(*study, *place, progress=watching)
        assert not result.failed
        said.append((watching.steps, [line.plain for line in watching.curves.lines(80, 12)]))

    assert said[0] == said[1]
    assert said[0][0] > 0


def test_a_relay_says_again_what_it_heard() -> None:
    """Steps are summed, losses have four digits, a diverged run has none."""
    lines: list[str] = []

    def send(line: str) -> bool:
        lines.append(line)
        return True

    relay = Relay(send)
    relay(Event("resumed", 7))
    for _ in range(1000):
        relay(Event("stepped", 3))
    relay(Event("observed", name="a", losses=(1.23456, float("inf"))))
    relay(Event("observed", name="b"))
    events = [event for event in map(decode, lines) if event is not None]

    assert events[0] == Event("resumed", 7)
    assert sum(event.count for event in events if event.kind == "stepped") == 3000
    assert events[-2:] == [
        Event("observed", name="a", losses=(1.235, float("inf"))),
        Event("observed", name="b"),
    ]


def test_a_sparkline_is_logarithmic() -> None:
    """Equal ratios are equal steps; the ends are the lowest and the highest block."""
    values = [10.0**i for i in range(8)]

    assert spark(values, scale_of(values), 8) == "▁▂▃▄▅▆▇█"
    assert spark([1.0, 1.0], scale_of([1.0, 1.0]), 8) == "▁▁"
    assert spark([float("nan"), 0.0, 1.0, 10.0], scale_of([0.0, 1.0, 10.0]), 8) == " ▁▁█"
    assert spark([], None, 8) == ""


def test_points_that_do_not_fit_are_left_out_evenly() -> None:
    """The first and the last never."""
    assert evenly(101, 5) == [0, 25, 50, 75, 100]
    assert evenly(2, 5) == [0, 1]


def test_the_time_left_follows_from_the_work_done_and_forgets_what_was_done_before() -> None:
    """Half of what there is to do in 10 s: 10 s more."""
    made = session.plan(*SMALL, "norm=none", "seed=range(4)")
    now = [0.0]
    pace = Pace(made, lambda: now[0])
    pace.resumed(12)  # of 4 networks with 6 steps each
    for _ in range(6):
        pace.stepped(1)
    assert pace.seconds_left is None
    for _ in range(2):
        pace.observed()
    now[0] = 10.0

    assert pace.share == pytest.approx(0.5)
    assert pace.seconds_left == pytest.approx(10.0)
    assert pace.steps_per_second() == pytest.approx(0.6)
    assert pace.networks_per_second(12.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "1 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_the_time_left_is_said_as_a_person_would(seconds: float, said: str) -> None:
    """No decimals, and no seconds beside hours."""
    assert remaining(seconds) == said


def test_the_picture_says_why_a_cluster_s_tasks_all_wait(cluster: Path) -> None:
    """In Slurm's word, instead of a time that nobody knows."""
    code, got = on_terminal(
        "sweep", *SMALL, "norm=batch", "executor=slurm", "executor.options='begin=now+1hour'",
        interrupt_at="in Slurm's queue: BeginTime", environment={"SLURM_CONF": str(cluster)},
    )  # fmt: skip

    assert code == 130
    assert "in Slurm's queue: BeginTime" in got
