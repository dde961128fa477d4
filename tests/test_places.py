"""Data in files, asked for again: from where they stood, compared, or from where somebody says."""

import shutil
from collections.abc import Callable, Mapping
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
READERS: Mapping[str, tuple[str, ...]] = {
    "budget": ("budget", STUDY),
    "predict": ("predict", STUDY),
}


def write(path: str, seed: int, *, labels: bool = True) -> None:
    """A file of 60 examples; all such have one shape."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 5))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=x, y=(x[:, 0] > 0).astype(np.int64) if labels else x[:, :1] ** 2)


def sweep(command: Command, path: str) -> None:
    """Two seeds and momenta on a file."""
    done = command("sweep", "data=arrays", f"data.path={quoted(path)}", *RUNS)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["mine.npz", "a b/it's, mine=1.npz"])
def test_another_file_where_data_lie_by_default_is_not_used(
    command: Command, as_json: AsJson, reader: str, name: str
) -> None:
    """The recorded path counts: the numbers are the same with and without such a file."""
    write(name, 0)
    sweep(command, name)
    before = as_json(*READERS[reader])
    write("data/arrays.npz", 1)

    assert as_json(*READERS[reader]) == before


@pytest.mark.parametrize("reader", READERS)
def test_a_moved_file_is_said_where_it_is(command: Command, as_json: AsJson, reader: str) -> None:
    """Without it nothing is said; a file of other numbers is refused, by a path or in its place."""
    write("mine.npz", 0)
    sweep(command, "mine.npz")
    before = as_json(*READERS[reader])
    Path("mine.npz").rename("moved.npz")
    write("other.npz", 1)
    gone = command(*READERS[reader])
    other = command(*READERS[reader], "data.path=other.npz")
    moved = as_json(*READERS[reader], "data.path=moved.npz")
    shutil.copy("other.npz", "mine.npz")
    replaced = command(*READERS[reader])

    assert moved == before
    assert [each.exit_code for each in (gone, other, replaced)] == [2, 2, 2]
    assert "no file" in gone.stderr
    assert "data.path=FILE" in gone.stderr.splitlines()[1]
    assert "other.npz has" in other.stderr
    assert "mine.npz has" in replaced.stderr
    assert "not the same data" in other.stderr
    assert "not the same data" in replaced.stderr


@pytest.mark.parametrize("reader", READERS)
def test_of_several_data_sets_only_the_missing_one_is_left_out(
    command: Command, as_json: AsJson, reader: str
) -> None:
    """A note says which; with both places all is there again, in any order."""
    for number, name in enumerate(("first.npz", "second.npz")):
        write(name, number)
        sweep(command, name)
    whole = as_json(*READERS[reader])
    Path("first.npz").rename("moved.npz")
    done = command(*READERS[reader], "--json")
    again = as_json(*READERS[reader], "data.path=second.npz", "data.path=moved.npz")
    nobody = command(*READERS[reader], "data.path=moved.npz", "data.path=missing.npz")

    assert done.exit_code == 0
    assert "note: 4 runs left out: " in done.stderr
    assert "first.npz" in done.stderr
    assert len(as_json(*READERS[reader])) == len(whole) / 2
    assert again == whole
    assert nobody.exit_code == 2
    assert "missing.npz" in nobody.stderr


def test_a_report_says_whose_error_it_does_not_show(command: Command, as_json: AsJson) -> None:
    """Of changed data neither budget nor prediction is drawn; the others', and told places, are."""
    for number, name in enumerate(("first.npz", "second.npz")):
        write(name, number)
        sweep(command, name)
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
    figures = [{each["name"] for each in report["figures"]} for report in (partly, whole, nothing)]
    assert [any("error-budget" in name for name in each) for each in figures] == [True, True, False]


@pytest.mark.parametrize("reader", READERS)
def test_images_of_a_release_are_read_from_where_they_lay(
    command: Command, as_json: AsJson, reader: str
) -> None:
    """Files that are not the published ones too, as recorded; other images are refused."""
    release(Path("own"))
    done = command("sweep", *SMALL_CIFAR, "data.path=own")
    before = as_json(*READERS[reader])
    release(Path("data/cifar-10"))
    Path("own").rename("moved")
    release(Path("spoilt"), binary=True)
    content = bytearray((Path("spoilt") / "test_batch.bin").read_bytes())
    content[100] ^= 1
    (Path("spoilt") / "test_batch.bin").write_bytes(content)
    gone = command(*READERS[reader])
    spoilt = command(*READERS[reader], "data.path=spoilt", "data.verify=false")

    assert done.exit_code == 0, done.stderr
    assert as_json(*READERS[reader], "data.path=moved") == before
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


def test_pandas_warns_of_what_is_left_out(command: Command) -> None:
    """And takes places as the command line does."""
    for number, name in enumerate(("first.npz", "second.npz")):
        write(name, number)
        sweep(command, name)
    whole = normexp.budget(STUDY)
    Path("second.npz").rename("moved.npz")
    with pytest.warns(UserWarning, match=r"4 runs left out: .*second\.npz"):
        part = normexp.budget(STUDY)

    assert len(part) == len(whole) / 2
    assert normexp.budget(STUDY, "data.path=moved.npz").equals(whole)


def test_no_reader_takes_numbers_of_another_digest() -> None:
    """A file that changes after a run is composed is refused where its numbers are drawn."""
    write("mine.npz", 0)
    (run,) = normexp.load("data=arrays", "data.path=mine.npz", "norm=none", "seed=0").runs
    write("mine.npz", 1)

    with pytest.raises(UsageError, match="not the same data"):
        draw(run.config)


@pytest.mark.parametrize("override", ["seed=2", "data.path=", "data.verify=maybe", "norm=batch"])
def test_stored_runs_are_taken_as_they_are(command: Command, override: str) -> None:
    """Nothing but a place can be said of them; and drawn data have none."""
    done = command("sweep", "norm=batch", "norm.momentum=0.1", "seed=0", "data.train_size=40",
                   "data.test_size=20", "train.epochs=1")  # fmt: skip

    assert done.exit_code == 0
    for reader in READERS.values():
        assert command(*reader, override).exit_code == 2
        drawn = command(*reader, "data.path=mine.npz")
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
