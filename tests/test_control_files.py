"""Control files, YAML and news that are read: bounded, and no link or pipe; time by the store."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import mutations
import pytest
from conftest import STORED, AsJson, Command

import normexp as package
from normexp.store.files import machine
from normexp.store.layout import StudyDirectory
from normexp.store.locks import Locks
from normexp.store.sweep import SweepDirectory
from normexp.sweeps.events import Done, Event, Reader, encode
from normexp.sweeps.in_slurm import sent_array


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """Ten minutes a test: whoever waits for a pipe is woken, and fails."""

    def wake(_: int, __: FrameType | None) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def owner(process: object) -> bytes:
    """A control file that names a process of this machine."""
    return json.dumps({"machine": machine(), "process": process, "started": ""}).encode()


CONTROLS = ("alive.json", ".slurm-1_0.alive.json", ".slurm/job.json", "stop")
"""Of an unfinished sweep."""

ODD: dict[str, bytes | None] = {
    "pipe": None,
    "link": None,
    "directory": None,
    "deep": b"[" * 10**5,
    "deep inside": b'{"machine": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "a process of thirty digits": owner(10**30),
    "a large process": owner(2**40),
    "all processes": owner(-1),
    "our own group": owner(0),
    "text for a process": owner("1"),
    "a number without end": b'{"machine": ' + b"9" * 10**6 + b"}",
    "a real without end": b"1e999",
    "no Unicode": b"\xff\xfe{",
    "a list": b"[]",
    "nothing": b"",
}


def put(path: Path, what: str) -> None:
    """Put something odd in the place of a file."""
    path.parent.mkdir(exist_ok=True, parents=True)
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
def test_whatever_stands_for_a_control_file_says_nothing(what: str) -> None:
    """Whoever it says is at work is dead, and no cluster has anything of it."""
    study = StudyDirectory(Path("study"))
    sweep = SweepDirectory(study.sweeps / "20200101T000000Z-00000000")
    for control in CONTROLS:
        put(sweep.path / control, what)
    put(study.trajectories / ".aaaaaaaaaaaa.lock", what)

    assert not sweep.is_alive()
    assert sent_array(sweep) is None
    assert not Locks(study, "another").is_held("aaaaaaaaaaaa")


@pytest.mark.parametrize(("job", "is_one"), [("17", True), ("--me", False), ("17\n", False)])
def test_a_job_is_a_number(job: str, *, is_one: bool) -> None:
    """Since `scancel` gets it: an option there would cancel all that the user has."""
    sweep = SweepDirectory(Path("study/sweeps/20200101T000000Z-00000000"))
    path = sweep.path / ".slurm/job.json"
    path.parent.mkdir(parents=True)
    about = {"job": job, "cluster": "far", "tasks": [[0]], "news": ".news-1"}
    path.write_text(json.dumps(about))

    assert (sent_array(sweep) is not None) == is_one


@pytest.mark.parametrize("what", ["pipe", "link", "deep inside", "a large process"])
def test_odd_control_files_and_locks_stop_nobody(study: Path, as_json: AsJson, what: str) -> None:
    """`ls` says that the sweep is unfinished, and the same command goes on."""
    sweep = unfinished(study)
    for control in CONTROLS:
        put(sweep / control, what)
    for trajectory in list((study / "trajectories").iterdir()):
        put(study / "trajectories" / f".{trajectory.name}.lock", what)
    (listed,) = as_json("ls")
    swept = as_json("sweep", *STORED)

    assert (listed["status"], listed["job"]) == ("unfinished", None)
    assert (swept["trained"], swept["observed"], swept["failed"]) == (0, 1, 0)
    assert len(package.read(study)) == 6


@pytest.mark.parametrize("what", ["pipe", "directory", "deep"])
@pytest.mark.parametrize("name", ["study.lock", "trajectories/.ID.lock"])
def test_a_lock_that_is_no_file_is_not_waited_for(
    study: Path, normexp: Command, as_json: AsJson, name: str, what: str
) -> None:
    """A lock needs no content; a directory cannot be locked, and is left to its owner."""
    unfinished(study)
    for trajectory in list((study / "trajectories").iterdir()):
        path = study / name.replace("ID", trajectory.name)
        if not path.is_dir():
            put(path, what)
    (listed,) = as_json("ls")
    result = normexp("sweep", *STORED)

    assert listed["status"] == "unfinished"
    assert result.exit_code == (1 if what == "directory" else 0), result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 0 or result.stderr.startswith(
        "error: cannot work in runs/bn_regression: Is a directory"
    )


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("what", ["pipe", "link", "no Unicode"])
def test_an_older_report_of_any_kind_is_written_over(
    study: Path, normexp: Command, what: str
) -> None:
    """Its Markdown says which pictures it had, if it is one."""
    put(Path("here/report.md"), what)
    result = normexp("report", str(min(study.glob("none-*"))), "--out", "here")

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


def test_reproduce_reads_no_yaml_but_plain(study: Path, normexp: Command) -> None:
    """With a digest that fits, as a stranger makes one: refused in a line."""
    run = min(study.glob("batch-*"))
    for name, content in HEADS.items():
        (run / ".hydra/hydra.yaml").write_bytes(content)
        mutations.fix(run / ".hydra/hydra.yaml")
        result = normexp("reproduce", str(run))

        assert result.exit_code == 4, (name, result.output)
        assert [line for line in result.stderr.splitlines() if line.startswith("error:")] == [
            f"error: {run}/.hydra/hydra.yaml cannot be read"
        ]
    assert not Path("owned").exists()


@pytest.mark.parametrize("what", ["pipe", "link", "deep inside", "a number without end"])
def test_what_is_no_certificate_is_not_written_over(
    study: Path, normexp: Command, what: str
) -> None:
    """Whatever stands where the certificate would go."""
    put(Path("mine.json"), what)
    result = normexp("reproduce", min(study.glob("batch-*")).name, "--out", "mine.json")

    assert result.exit_code == 2
    assert "something else than a certificate is there" in result.stderr


def test_news_of_any_kind_are_no_news(tmp_path: Path) -> None:
    """Lines of workers: a pipe, a link, one that is deep, and one that says less than it should."""
    put(tmp_path / "a.txt", "pipe")
    put(tmp_path / "b.txt", "link")
    (tmp_path / "c.txt").write_bytes(
        b"[" * 10**5 + b'\n["ended", 1, "", [], [2, 3, [], ["other"]]]\n["began", 1, "", [], []]\n'
    )
    (tmp_path / "d.txt").write_text(encode(Event("ended", 1, done=Done(2, 3))) + "\n")
    events = list(Reader(tmp_path).events(["a.txt", "b.txt", "none.txt"]))

    assert events == [Event("ended", 1, done=Done(2, 3))]


@pytest.mark.parametrize("ahead", [600.0, 0.0, -600.0])
@pytest.mark.parametrize("age", [0.0, 300.0])
def test_who_lives_is_judged_by_the_clock_of_the_file_system(
    study: Path, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, ahead: float, age: float
) -> None:
    """A sign of another machine, so old by the store's clock; looking leaves nothing behind."""
    path = unfinished(study) / "alive.json"
    path.write_text(json.dumps({"machine": "other-01234567", "process": 1, "started": "1"}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    before = sorted(path.parent.iterdir())
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    (listed,) = as_json("ls")

    assert listed["status"] == ("unfinished" if age else "running")
    assert sorted(path.parent.iterdir()) == before
