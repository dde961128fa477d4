"""The order of a file's examples: the seed's, or the file's own."""

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import Result

import normexp
from normexp.data.draw import draw

Command = Callable[..., Result]
AsJson = Callable[..., Any]

TYPED = ["data=arrays", "data.path=mine.npz", "norm=batch", "norm.momentum=0.1", "seed=0,1",
         "model.depth=1", "train.epochs=2", "train.batch_size=8"]  # fmt: skip
FILE, KEPT = "data.order=file", "train.shuffle=false"


def batch_means(store: Path) -> list[list[float]]:
    """The input's mean in every batch, a list a training."""
    tables = [pd.read_parquet(path) for path in store.glob("*/trajectories/*/batch_stats.parquet")]
    return [table[table["layer"] == "input"]["batch_mean"].tolist() for table in tables]


@pytest.mark.parametrize("own_test", [True, False])
def test_batches_are_in_the_files_order(command: Command, *, own_test: bool) -> None:
    """The numbers 0 to 63 in batches of 8 have means 3.5, 11.5, ..., 59.5: every epoch and seed."""
    x = np.arange(64.0 if own_test else 80.0)
    tests = {"test_x": x[:16], "test_y": x[:16]} if own_test else {}
    np.savez("mine.npz", x=x, y=x, **tests)  # type: ignore[arg-type]
    result = command("sweep", *TYPED, FILE, KEPT)

    assert result.exit_code == 0
    assert batch_means(Path("runs")) == [[3.5 + 8 * batch for batch in range(8)] * 2] * 2
    assert (
        "train.shuffle=false data.order=file: every epoch is in the file's order" in result.stderr
    )
    assert "mine.npz: the first 64 examples for training" in result.stderr
    last = normexp.load(*TYPED, FILE, KEPT).runs[0].config
    assert draw(last).test_x[0].tolist() == (x[:16] if own_test else x[64:]).tolist()


def test_by_default_the_seed_draws_the_order_and_it_is_said(command: Command) -> None:
    """Kept over the epochs by train.shuffle=false; data.order=file is named."""
    x = np.arange(80.0)
    np.savez("mine.npz", x=x, y=x)
    result = command("sweep", *TYPED, KEPT)
    first, second = (means[:8] for means in batch_means(Path("runs")))

    assert (
        "in the one order that the seed has drawn; data.order=file is the file's" in result.stderr
    )
    assert [means[8:] for means in batch_means(Path("runs"))] == [first, second]
    assert first != second
    assert first != sorted(first)


def test_a_shuffled_file_is_split_as_it_stands() -> None:
    """For series of time: the last examples test, whatever the seed, and batches are drawn."""
    x = np.arange(50.0)
    np.savez("mine.npz", x=x, y=x)
    for run in normexp.load(*TYPED, FILE).runs:
        data = draw(run.config)
        assert data.x[0].tolist() == x[:40].tolist()
        assert data.test_x[0].tolist() == x[40:].tolist()


def test_the_order_is_part_of_what_a_run_is() -> None:
    """By the seed, which all runs had before, changes no id."""
    np.savez("mine.npz", x=np.arange(50.0), y=np.arange(50.0))
    ids = [normexp.load(*TYPED, *more).runs[0].id for more in ([], ["data.order=seed"], [FILE])]

    assert ids[0] == ids[1] != ids[2]


def test_cifars_images_can_be_in_the_files_order(command: Command) -> None:
    """The first of the release train."""
    images = np.random.default_rng(0).integers(0, 256, (20, 3072), np.uint8)
    folder = Path("data/cifar-10")
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        batch = {b"data": images, b"labels": [number % 10 for number in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    typed = ["data=cifar10", "data.verify=false", "data.train_size=30", "data.test_size=5", KEPT,
             "model=lenet", "norm=none", "seed=0"]  # fmt: skip
    by_file, by_seed = (
        draw(normexp.load(*typed, *more).runs[0].config).y.tolist() for more in ([FILE], [])
    )

    assert by_file == [number % 10 for number in range(20)] + list(range(10))
    assert by_seed != by_file
    assert "data.order=file is the file's" in command("plan", *typed).stdout
    digits = command("plan", "data=digits", KEPT, "norm=none", "seed=0", "model=lenet").stdout
    assert "in the one order that the seed has drawn\n" in digits


def test_a_run_from_before_there_was_an_order_is_sound_and_made_again(
    command: Command, as_json: AsJson
) -> None:
    """Trained on 26 November 2026, on labels 1 and 2: same id, same numbers, found again."""
    with tarfile.open(Path(__file__).parent / "goldens/arrays.tar.xz") as archive:
        archive.extraction_filter = lambda member, _: member  # 3.11.2 has no `filter=`
        archive.extractall()  # noqa: S202, ours
    typed = ["data=arrays", "data.path=mine.npz", "data.y_size=3", "norm=batch", "seed=0",
             "norm.momentum=0.1", "model.depth=1", "train.epochs=1", "train.batch_size=8",
             KEPT]  # fmt: skip
    verified = command("verify")
    again = as_json("reproduce", "b71080f18b49", "data.path=mine.npz")

    assert verified.exit_code == 0, verified.stdout
    assert again["verdict"] != "differs"
    assert again["results"] == {}
    assert [run.id for run in normexp.load(*typed).runs] == ["b71080f18b49"]
    both = as_json("sweep", *typed, "data.order=seed,file", "--on-code-change", "ignore")
    assert (both["cached"], both["trained"]) == (1, 1)
    assert {arm["values"]["data.order"] for arm in both["arms"]} == {"seed", "file"}


def test_the_two_orders_are_those_of_pytorch() -> None:
    """The file's is a DataLoader's without shuffling; the seed's holds the same examples."""
    x = np.random.default_rng(1).normal(size=(48, 3))
    np.savez("mine.npz", x=x, y=x[:, 0], test_x=x, test_y=x[:, 0])
    examples: Any = torch.from_numpy(x).float()
    loader: Any = torch.utils.data.DataLoader(examples, batch_size=8)
    data = draw(normexp.load(*TYPED, FILE, KEPT).runs[0].config)
    drawn = draw(normexp.load(*TYPED, KEPT).runs[0].config)

    for number, batch in enumerate(loader):
        assert torch.equal(data.x[:, 8 * number : 8 * number + 8], batch.T)
    assert not torch.equal(drawn.x, data.x)
    assert sorted(drawn.x.T.tolist()) == sorted(data.x.T.tolist())
