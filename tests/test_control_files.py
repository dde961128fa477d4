"""Control files, YAML and news that are read: bounded, and no link or pipe; time by the store."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import mutations
import pytest
from conftest import SMALL, store_of
from typer.testing import Result

import normexp as package
from normexp.store.process import machine

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]
STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5,0.9", "seed=0,1"]
HERE = Path("runs/bn_regression")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six runs, made once."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *STUDY)


@pytest.fixture
def study(whole: Path) -> Path:
    """The study, in this test's own store."""
    shutil.copytree(whole, "runs")
    return HERE


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """A minute and a half a test: whoever waits for a pipe is woken, and fails."""

    def wake(_: int, __: FrameType | None) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(90)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


CONTROLS = ("alive.json", ".slurm-1_0.alive.json", ".slurm/job.json", "stop")
"""Of an unfinished sweep."""

ODD: dict[str, bytes | None] = {
    "pipe": None,
    "link": None,
    "directory": None,
    "deep": b"[" * 10**5,
    "deep inside": b'{"machine": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "a process of thirty digits": json.dumps(
        {"machine": machine(), "process": 10**30, "started": ""}
    ).encode(),
    "a large process": json.dumps(
        {"machine": machine(), "process": 2**40, "started": ""}
    ).encode(),
    "all processes": json.dumps({"machine": machine(), "process": -1, "started": ""}).encode(),
    "our own group": json.dumps({"machine": machine(), "process": 0, "started": ""}).encode(),
    "text for a process": b'{"machine": "' + machine().encode() + b'", "process": "1"}',
    "a number without end": b'{"machine": ' + b"9" * 10**6 + b"}",
    "a real without end": b"1e999",
    "no Unicode": b"\xff\xfe{",
    "a list": b"[]",
    "nothing": b"",
}  # fmt: skip


def put(path: Path, what: str) -> None:
    """Put something odd in the place of a file."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    content = ODD[what]
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "link":
        path.symlink_to("/dev/zero")
    elif content is not None:
        path.write_bytes(content)


def unfinished(study: Path) -> Path:
    """Make the sweep one that was killed, before it had observed its last run."""
    (sweep,) = (study / "sweeps").iterdir()
    (sweep / "manifest.json").unlink()
    (sweep / "summary.parquet").unlink()
    shutil.rmtree(max(study.glob("batch-*")))
    return sweep


@pytest.mark.parametrize("what", ODD)
def test_control_files_of_any_kind_stop_nobody(study: Path, as_json: AsJson, what: str) -> None:
    """Whoever it says is at work is dead: `ls` says so, and the same command goes on."""
    sweep = unfinished(study)
    for control in CONTROLS:
        put(sweep / control, what)
    (listed,) = as_json("ls")
    swept = as_json("sweep", *STUDY)

    assert (listed["status"], listed["job"]) == ("unfinished", None)
    assert (swept["trained"], swept["observed"], swept["failed"]) == (0, 1, 0)
    assert len(package.read(study)) == 6


@pytest.mark.parametrize("what", ODD)
def test_a_lock_of_any_kind_is_nobodys(study: Path, normexp: Normexp, what: str) -> None:
    """On a training of which there is more to observe; a directory alone is left to its owner."""
    unfinished(study)
    for trajectory in list((study / "trajectories").iterdir()):
        put(study / "trajectories" / f".{trajectory.name}.lock", what)
    result = normexp("sweep", *STUDY, "norm.momentum=0.1,0.7")

    if what == "directory":
        assert result.exit_code == 1
        assert result.stderr.startswith("error: cannot work in runs/bn_regression: Is a directory")
    else:
        assert result.exit_code == 0, result.stderr
        assert len(package.read(study)) == 7


@pytest.mark.parametrize("what", ["pipe", "directory", "deep"])
def test_a_lock_that_is_no_file_is_not_waited_for(
    study: Path, normexp: Normexp, as_json: AsJson, what: str
) -> None:
    """A lock needs no content; what cannot be locked is told in a line."""
    unfinished(study)
    put(study / "study.lock", what)
    (listed,) = as_json("ls")
    result = normexp("sweep", *STUDY)

    assert listed["status"] == "unfinished"
    assert result.exit_code == (1 if what == "directory" else 0), result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 0 or result.stderr.startswith("error: ")


@pytest.mark.parametrize("what", ["pipe", "link", "no Unicode"])
def test_an_older_report_of_any_kind_is_written_over(
    study: Path, normexp: Normexp, what: str
) -> None:
    """Its Markdown says which pictures it had, if it is one."""
    put(Path("here/report.md"), what)
    result = normexp("report", str(min(study.glob("batch-*"))), "--out", "here")

    assert result.exit_code == 0, result.output
    assert Path("here/report.md").read_text().startswith("# ")


HEADS = {
    "a date that is none": b"hydra:\n  runtime:\n    choices:\n      norm: 2001-13-45\n",
    "an offset that is none": b"hydra: 2001-01-01T00:00:00+99:99\n",
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nhydra: {runtime: {choices: *b}}\n",
    "a merge of aliases": b"a: &a {x: 1}\nhydra:\n  <<: *a\n",
    "an object": b"hydra: !!python/object/apply:os.system [touch owned]\n",
    "deep": b"[" * 20_000,
    "deep in blocks": b"- " * 20_000,
    "deep keys": b"? " * 20_000,
    "a number without end": b"hydra: " + b"9" * 5000,
    "no mapping": b"[1, 2]\n",
    "no choices": b"hydra:\n  runtime: 1\n",
    "choices that are a list": b"hydra:\n  runtime:\n    choices: [a]\n",
    "not UTF-8": b"\xff\xfe",
    "nothing": b"",
}


@pytest.mark.parametrize("content", HEADS.values(), ids=HEADS.keys())
def test_reproduce_reads_no_yaml_but_plain(study: Path, normexp: Normexp, content: bytes) -> None:
    """With a digest that fits, as a stranger makes one: refused in a line, at once."""
    run = min(study.glob("batch-*"))
    (run / ".hydra/hydra.yaml").write_bytes(content)
    mutations.fix(run / ".hydra/hydra.yaml")
    began = time.monotonic()
    result = normexp("reproduce", str(run))

    assert result.exit_code == 4, result.output
    assert [line for line in result.stderr.splitlines() if line.startswith("error:")] == [
        f"error: {run}/.hydra/hydra.yaml cannot be read"
    ]
    assert time.monotonic() - began < 20
    assert not Path("owned").exists()


@pytest.mark.parametrize("what", ["pipe", "link", "deep inside", "a number without end"])
def test_what_is_no_certificate_is_not_written_over(
    study: Path, normexp: Normexp, what: str
) -> None:
    """Whatever stands where the certificate would go."""
    run = min(study.glob("batch-*"))
    put(Path("mine.json"), what)
    result = normexp("reproduce", run.name, "--out", "mine.json")

    assert result.exit_code == 2
    assert "something else than a certificate is there" in result.stderr


def test_news_of_any_kind_are_no_news(tmp_path: Path) -> None:
    """Lines of workers: a pipe, a link, one that is deep, and one that says less than it should."""
    from normexp.sweeps.events import Done, Event, encode
    from normexp.sweeps.remote import Reader

    put(tmp_path / "a.txt", "pipe")
    put(tmp_path / "b.txt", "link")
    (tmp_path / "c.txt").write_bytes(
        b"[" * 10**5 + b'\n["ended", 1, "", [], [2, 3, [], ["other"]]]\n["began", 1, "", [], []]\n'
    )
    (tmp_path / "d.txt").write_text(encode(Event("ended", 1, done=Done(2, 3))) + "\n")
    events = list(Reader(tmp_path).events(["a.txt", "b.txt", "none.txt"]))

    assert events == [Event("ended", 1, done=Done(2, 3))]


def sign_of_another(sweep: Path, age: float) -> None:
    """Leave a sign of another machine, last seen alive so long ago by the store's clock."""
    path = sweep / "alive.json"
    path.write_text(json.dumps({"machine": "other-01234567", "process": 1, "started": "1"}))
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))


@pytest.mark.parametrize("ahead", [600.0, 0.0, -600.0])
@pytest.mark.parametrize("age", [0.0, 300.0])
def test_who_lives_is_judged_by_the_clock_of_the_file_system(
    study: Path, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, ahead: float, age: float
) -> None:
    """Whatever this machine's own clock says; and looking leaves nothing behind."""
    sweep = unfinished(study)
    sign_of_another(sweep, age)
    before = sorted(path.name for path in sweep.iterdir())
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    (listed,) = as_json("ls")

    assert listed["status"] == ("unfinished" if age else "running")
    assert sorted(path.name for path in sweep.iterdir()) == before
