"""Data in files, asked for again: from where they stood, compared, or from where somebody says."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from strategies import TEXTS, examples
from test_cifar10 import SMALL_CIFAR, release
from typer.testing import Result

import normexp
from normexp.config.field import quoted, unquoted
from normexp.data.draw import draw
from normexp.errors import UsageError

AsJson = Callable[..., Any]
Command = Callable[..., Result]

RUNS = ["norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "train.epochs=2", "train.batch_size=16",
        "model.depth=2", "model.width=4"]  # fmt: skip
STUDY = "runs/bn_regression"
READERS = ("budget", "predict")


def write(path: str, seed: int, *, labels: bool = True) -> None:
    """A file of 60 examples; all such have one shape."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 5))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=x, y=(x[:, 0] > 0).astype(np.int64) if labels else x[:, :1] ** 2)


@pytest.fixture
def swept(command: Command) -> Callable[..., None]:
    """Writes files and sweeps two seeds and momenta on each."""

    def sweep(*paths: str) -> None:
        for number, path in enumerate(paths):
            write(path, number)
            done = command("sweep", "data=arrays", f"data.path={quoted(path)}", *RUNS)
            assert done.exit_code == 0, done.stderr

    return sweep


@pytest.mark.parametrize("name", ["mine.npz", "a b/it's, mine=1.npz"])
def test_another_file_where_data_lie_by_default_is_not_used(
    swept: Callable[..., None], as_json: AsJson, name: str
) -> None:
    """The recorded path counts: the numbers are the same with and without such a file."""
    swept(name)
    before = [as_json(reader, STUDY) for reader in READERS]
    write("data/arrays.npz", 1)

    assert [as_json(reader, STUDY) for reader in READERS] == before


def test_a_moved_file_is_said_where_it_is(
    swept: Callable[..., None], command: Command, as_json: AsJson
) -> None:
    """Without it nothing is said; a file of other numbers is refused, by a path or in its place."""
    swept("mine.npz")
    before = [as_json(reader, STUDY) for reader in READERS]
    Path("mine.npz").rename("moved.npz")
    write("other.npz", 1)
    for reader, whole in zip(READERS, before, strict=True):
        Path("mine.npz").unlink(missing_ok=True)
        gone, other = command(reader, STUDY), command(reader, STUDY, "data.path=other.npz")
        moved = as_json(reader, STUDY, "data.path=moved.npz")
        shutil.copy("other.npz", "mine.npz")
        replaced = command(reader, STUDY)

        assert moved == whole
        assert [each.exit_code for each in (gone, other, replaced)] == [2, 2, 2]
        assert "no file" in gone.stderr
        assert "data.path=FILE" in gone.stderr.splitlines()[1]
        for refused, name in ((other, "other.npz"), (replaced, "mine.npz")):
            assert f"{name} has" in refused.stderr
            assert "not the same data" in refused.stderr


def test_of_several_data_sets_only_the_missing_one_is_left_out(
    swept: Callable[..., None], command: Command, as_json: AsJson
) -> None:
    """A note says which; with both places all is there again, in any order."""
    swept("first.npz", "second.npz")
    before = [as_json(reader, STUDY) for reader in READERS]
    frame = normexp.budget(STUDY)
    Path("first.npz").rename("moved.npz")
    for reader, whole in zip(READERS, before, strict=True):
        done = command(reader, STUDY, "--json")
        nobody = command(reader, STUDY, "data.path=moved.npz", "data.path=missing.npz")

        assert done.exit_code == 0
        assert "note: 4 runs left out: " in done.stderr
        assert "first.npz" in done.stderr
        assert len(as_json(reader, STUDY)) == len(whole) / 2
        assert as_json(reader, STUDY, "data.path=second.npz", "data.path=moved.npz") == whole
        assert nobody.exit_code == 2
        assert "missing.npz" in nobody.stderr
    with pytest.warns(UserWarning, match=r"4 runs left out: .*first\.npz"):
        assert len(normexp.budget(STUDY)) == len(frame) / 2
    assert normexp.budget(STUDY, "data.path=moved.npz").equals(frame)


@pytest.mark.usefixtures("undrawn")
def test_a_report_says_whose_error_it_does_not_show(
    swept: Callable[..., None], as_json: AsJson
) -> None:
    """Of changed data neither budget nor prediction is drawn; the others', and told places, are.

    A place is not held against the data that stand elsewhere.
    """
    swept("first.npz", "second.npz")
    shutil.move("first.npz", "moved.npz")
    write("first.npz", 7)
    partly = as_json("report", "bn_regression", "--out", "one")
    whole = as_json("report", "bn_regression", "data.path=moved.npz", "--out", "two")
    Path("second.npz").unlink()
    nothing = as_json("report", "bn_regression", "--out", "three")

    for report, names in ((partly, ["first"]), (whole, []), (nothing, ["first", "second"])):
        said = " ".join(each["why"] for each in report["left_out"])
        for name in ("first", "second"):
            assert (f"{name}.npz" in said) == (name in names)
        assert "moved.npz" not in said
    figures = [{each["name"] for each in report["figures"]} for report in (partly, whole, nothing)]
    assert [any("error-budget" in name for name in each) for each in figures] == [True, True, False]


def test_a_report_refuses_a_place_that_has_none_of_its_data(
    swept: Callable[..., None], command: Command
) -> None:
    """As every reader does; nothing is drawn."""
    swept("mine.npz")
    refused = command("report", "bn_regression", "data.path=typo.npz", "--out", "out")

    assert refused.exit_code == 2
    assert "typo.npz" in refused.stderr
    assert not Path("out").exists()


def test_images_of_a_release_are_read_from_where_they_lay(
    command: Command, as_json: AsJson
) -> None:
    """Files that are not the published ones too, as recorded; other images are refused."""
    release(Path("own"))
    done = command("sweep", *SMALL_CIFAR, "data.path=own")
    assert done.exit_code == 0, done.stderr
    before = [as_json(reader, STUDY) for reader in READERS]
    release(Path("data/cifar-10"))
    Path("own").rename("moved")
    release(Path("spoilt"), binary=True)
    content = bytearray((Path("spoilt") / "test_batch.bin").read_bytes())
    content[100] ^= 1
    (Path("spoilt") / "test_batch.bin").write_bytes(content)
    for reader, whole in zip(READERS, before, strict=True):
        gone = command(reader, STUDY)
        spoilt = command(reader, STUDY, "data.path=spoilt", "data.verify=false")

        assert as_json(reader, STUDY, "data.path=moved") == whole
        assert (gone.exit_code, spoilt.exit_code) == (2, 2)
        assert "no CIFAR-10 in" in gone.stderr
        assert "not the same data" in spoilt.stderr


def test_a_run_is_reproduced_from_where_its_data_stood(command: Command, as_json: AsJson) -> None:
    """No place need be typed, and one of other data is refused though the recorded one is there."""
    write("mine.npz", 0, labels=False)
    write("other.npz", 1, labels=False)
    done = command("sweep", "data=arrays", "data.path=mine.npz", *RUNS, "seed=3")
    (run, _) = sorted(Path(STUDY).glob("batch-*"))
    refused = command("reproduce", str(run), "data.path=other.npz")

    assert done.exit_code == 0, done.stderr
    assert refused.exit_code == 2
    assert "not the same data" in refused.stderr
    assert as_json("reproduce", str(run))["verdict"] == "identical"


def test_no_reader_takes_numbers_of_another_digest() -> None:
    """A file that changes after a run is composed is refused where its numbers are drawn."""
    write("mine.npz", 0)
    (run,) = normexp.load("data=arrays", "data.path=mine.npz", "norm=none", "seed=0").runs
    write("mine.npz", 1)

    with pytest.raises(UsageError, match="not the same data"):
        draw(run.config)


@pytest.mark.usefixtures("study")
def test_stored_runs_are_taken_as_they_are(command: Command) -> None:
    """A field is one that they have, or none is meant; and drawn data have no place."""
    for reader in READERS:
        for override in ("seed=2", "data.path=", "data.verify=maybe", "norm=layer"):
            assert command(reader, STUDY, override).exit_code == 2
        drawn = command(reader, STUDY, "data.path=mine.npz")
        assert drawn.exit_code == 2
        assert "data=quadratic has no data.path" in drawn.stderr


@examples(300)
@given(TEXTS)
@example("a\\")
@example("\\'")
@example("\\\\${seed}'\\")
@example("o'clock ${x} \\\\'")
def test_a_quoted_text_is_read_back(text: str) -> None:
    """What a command says of a path is the path; Hydra's grammar reads the same, as tested."""
    assert unquoted(quoted(text)) == text
