"""What a stranger may send: read without harm, told in one line, never run."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import mutations
import pytest
from conftest import SMALL, store_of
from typer.testing import Result

import normexp as package
from normexp.errors import NormexpError
from normexp.store.manifest import intact, read_manifest

Normexp = Callable[..., Result]
STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0"]
READERS = (["ls"], ["ls", "bn_regression"], ["show", "RUN"], ["verify"], ["diff", "RUN", "RUN"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one run, made once."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *STUDY)


@pytest.fixture
def run(whole: Path) -> Path:
    """The run, in this test's own store."""
    shutil.copytree(whole, "runs")
    return next(Path("runs/bn_regression").glob("batch-*"))


def manifest_of(run: Path) -> dict[str, Any]:
    """What it says, without its seal."""
    content: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())
    content.pop("sha256")
    return content


def all_readers(normexp: Normexp, run: Path) -> list[Result]:
    """What every reading command makes of the store; none may fail in an unforeseen way."""
    results = []
    for command in READERS:
        result = normexp(*(str(run) if word == "RUN" else word for word in command))
        assert result.exception is None or isinstance(result.exception, SystemExit), command
        assert result.exit_code in (0, 1, 3, 4), command
        assert "Traceback" not in result.output
        errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) <= 1
        results.append(result)
    return results


DEEP = b"[" * 10**5 + b"]" * 10**5
MANIFESTS = {
    "no object": b"[1, 2]",
    "a number": b"1",
    "empty": b"",
    "not UTF-8": b"\xff\xfe{",
    "too deep": b'{"kind": ' + DEEP + b"}",
    "deep and closed": b'{"kind": ' + b"[" * 500 + b"]" * 500 + b"}",
    "a kind of its own": b'{"kind": "malware"}',
    "a kind that is none": b'{"kind": {"run": 1}}',
    "nothing else": b'{"kind": "run"}',
    "a number without end": b'{"kind": "run", "schema": ' + b"9" * 6000 + b"}",
}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_any_manifest_is_refused_in_one_line(run: Path, normexp: Normexp, content: bytes) -> None:
    """`NormexpError` from the library, a line from the commands, and `ls` goes on."""
    (run / "manifest.json").write_bytes(content)
    ls, runs, show, verify, *_ = all_readers(normexp, run)

    with pytest.raises(NormexpError, match="cannot be read"):
        read_manifest(run)
    with pytest.raises(NormexpError):
        package.read(run)
    assert intact(run) is None
    assert (ls.exit_code, runs.exit_code, verify.exit_code) == (0, 0, 4)
    assert "damaged" in runs.stdout
    assert show.exit_code in (1, 3)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("config",), []), (("config", "norm.momentum"), "0.1"), (("config", "seed"), True),
        (("config", "seed"), 10**30), (("config", "model.width"), 1.5), (("metrics",), None),
        (("config", "data"), 1), (("config", "seed.x"), 1), (("config", "train.epochs"), 2**62),
        (("config", "model.depth"), 2**62), (("metrics", "test_loss"), "low"),
        (("metrics", "test_loss"), float("nan")), (("files",), {}), (("status",), "fine"),
        (("files", "../../../etc/passwd"), {"sha256": "", "bytes": 1}), (("run_id",), "../x"),
        (("files", "/etc/passwd"), {"sha256": "", "bytes": 1}), (("trajectory_id",), "../../.."),
        (("files", "stats.parquet"), {"sha256": "", "bytes": -1}), (("label",), ["a"]),
        (("files", "stats.parquet", "bytes"), True), (("command",), "rm -rf /"),
        (("seconds",), 3), (("log_every",), 0), (("half_life_steps",), "x"), (("study",), "\ud800"),
    ],
)  # fmt: skip
def test_a_manifest_that_says_something_else_is_found(
    run: Path, normexp: Normexp, path: tuple[str, ...], value: object
) -> None:
    """Wrong types, numbers beyond all bounds, names that lead elsewhere: `verify` ends with 4."""
    manifest = manifest_of(run)
    place: Any = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (run / "manifest.json").write_text(json.dumps(manifest))
    results = all_readers(normexp, run)

    assert results[3].exit_code == 4
    assert "manifest.json" in results[3].stdout or "stats.parquet" in results[3].stdout


@pytest.mark.parametrize("name", ["manifest.json", "metrics.parquet", ".hydra/config.yaml"])
@pytest.mark.parametrize("what", ["link", "pipe", "directory", "device", "huge"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    run: Path, normexp: Normexp, name: str, what: str
) -> None:
    """A link even to the very content, a pipe without a writer, two gigabytes of nothing."""
    path = run / name
    away = path.rename(Path("elsewhere").absolute())
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(2**31)
    else:
        path.symlink_to(away if what == "link" else "/dev/zero")
    results = all_readers(normexp, run)

    assert intact(run) is None
    assert results[3].exit_code == 4
    assert name in results[3].stdout


def test_no_escape_sequence_reaches_the_terminal(run: Path, normexp: Normexp) -> None:
    """Neither from a manifest nor from a name, in tables, errors and JSON; the words stay."""
    manifest = manifest_of(run)
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202efdp"
    manifest["label"] = manifest["study"] = f"good{evil}"
    (run / "manifest.json").write_text(json.dumps(manifest))
    renamed = run.rename(run.with_name(f"{evil}-{run.name[-12:]}"))
    results = all_readers(normexp, renamed)
    results += [normexp(*words) for words in (
        ("show", f"nothing{evil}"), ("show", str(renamed), "--json"), ("verify", "--json"),
        ("verify", str(renamed)))]  # fmt: skip

    assert any("good" in result.stdout for result in results)
    for result in results:
        assert not set("\x1b\x07\x9b\u202e") & set(result.output)


def test_a_mark_is_not_written_through_a_link(run: Path, normexp: Normexp) -> None:
    """A marker that a stranger planted as a link to another's file, and a run that is a link."""
    mine = Path("mine.txt")
    mine.write_text("mine")
    (run / "damage.json").symlink_to(mine.absolute())
    (run / "stats.parquet").write_bytes(b"")
    home = Path("home")
    home.mkdir()
    (home / "manifest.json").write_text("{}")
    run.with_name("batch-s7-0123456789ab").symlink_to(home.absolute())
    result = normexp("verify")

    assert result.exit_code == 4
    assert "it is a link, not a directory" in " ".join(result.stdout.split())
    assert mine.read_text() == "mine"
    assert [path.name for path in home.iterdir()] == ["manifest.json"]
    assert not (run / "damage.json").is_symlink()


YAML = {
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "an object": b"data: !!python/object/apply:os.system [touch owned]\n",
    "too deep": b"[" * 5000,
    "many dashes": b"- " * 9000,
}


@pytest.mark.parametrize("content", YAML.values(), ids=YAML.keys())
@pytest.mark.parametrize("where", ["trajectories/*/config.yaml", "sweeps/*/sweep.yaml"])
def test_yaml_is_plain_or_refused(run: Path, normexp: Normexp, where: str, content: bytes) -> None:
    """With its digest mended, so that it is read; nothing is made or grown from it."""
    (path,) = run.parent.glob(where)
    path.write_bytes(content)
    mutations.fix(path)
    verified = all_readers(normexp, run)[3]

    assert verified.exit_code == 4
    assert f"{path.name}: not plain YAML" in verified.stdout
    assert not Path("owned").exists()


def test_a_table_that_promises_too_much_is_not_read(run: Path, normexp: Normexp) -> None:
    """Fifty million rows of zeros in a few kilobytes."""
    import random

    mutations.bomb_table(run / "metrics.parquet", random.Random(0))  # noqa: S311
    mutations.fix(run / "metrics.parquet")
    all_readers(normexp, run)

    with pytest.raises(NormexpError, match="promises more rows"):
        package.read(run, "metrics")


def test_fifty_spoilt_stores(tmp_path: Path) -> None:
    """`fuzz.py` in small: no exception but ours, no crash, no hang, no damage unseen."""
    fuzz.make_store(tmp_path / "base")
    done = fuzz.fuzz(tmp_path / "base", range(50))

    assert [told for told in done if told["problems"]] == []
    assert len({told["kind"] for told in done}) > 15
