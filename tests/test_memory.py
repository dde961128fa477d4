"""Plans are arithmetic: what cannot fit is refused before anything is drawn, however large."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

POINTS = 13
"""At which the weights are kept: before twelve epochs and after each."""

HUGE = {
    "data.train_size=100000000000": (1e11 * 8, "data.train_size"),
    "data.train_size=9223372036854775807": (9.2e18 * 4, "data.train_size"),
    "data.test_size=100000000000": (1e11 * 4, "data.test_size"),
    "model.width=1000000": (7e12 * 4 * (6 + POINTS), "model.width"),
    "model.width=9223372036854775807": (7 * 8.5e37 * 4 * (6 + POINTS), "model.width"),
    "optim=sgd model.width=1000000": (7e12 * 4 * (5 + POINTS), "model.width"),
    "train.dtype=float64 model.width=1000000": (7e12 * 8 * (6 + POINTS), "model.width"),
    "data=digits model=lenet model.units1=2000000000": (1e11, "model.units1"),
    "train.epochs=9223372036854775807": (9.2e18 * 700 * 4, "train.epochs"),
    "norm=ghost norm.size=2 data.train_size=10000000000": (
        1e10 * 12 / 2 * 80 * 2 * 4,
        "data.train_size",
    ),
    "executor=slurm model.width=1000000": (7e12 * 4 * (6 + POINTS), "model.width"),
}
"""Bytes by hand, weights and batch statistics of eight layers of ten units a rough sum."""


NET = """
from torch import nn
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Linear(20, 10))
"""


@pytest.fixture
def gigabytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine with so many, or the container's limit."""
    real = os.sysconf

    def limit(number: int) -> None:
        pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": number * 10**9 // 4096}
        monkeypatch.setattr(
            os, "sysconf", lambda name: pages[name] if name in pages else real(name)
        )

    return limit


@pytest.mark.parametrize("typed", HUGE)
def test_what_cannot_fit_is_refused(
    normexp: Command, gigabytes: Callable[[int], None], typed: str
) -> None:
    """With what is needed, what there is, and what to make smaller; weights count most closely."""
    gigabytes(16)
    least, field = HUGE[typed]
    result = normexp("sweep", "norm=batch", "seed=0", *typed.split())
    error, hint = result.stderr.splitlines()
    needed, there = (float(each.replace(",", "")) for each in re.findall(r"([\d,.]+) GB", error))

    assert result.exit_code == 2
    assert "a training needs at least" in error
    assert needed * 1e9 > max(0.999 * least, there * 1e9)
    assert needed * 1e9 < 1.1 * least or field != "model.width"
    assert hint.startswith("hint: type ")
    assert field in hint


def test_a_network_of_the_users_has_no_width_to_type(
    normexp: Command, gigabytes: Callable[[int], None]
) -> None:
    """The hint names the file."""
    Path("net.py").write_text(NET)
    gigabytes(0)
    refused = normexp("plan", "model=own", "model.source=net.py:make", "data=digits", "seed=0")

    assert refused.exit_code == 2
    assert "type a smaller network in model.source" in refused.stderr
    assert "model.width" not in refused.stderr


def test_a_stack_that_is_too_large_may_be_made_smaller(
    normexp: Command, gigabytes: Callable[[int], None]
) -> None:
    """On a machine of a gigabyte: what the hint says is typed, and fits."""
    gigabytes(1)
    typed = ["norm=none", "data.train_size=20000000", "train.batch_size=1000", "seed=range(32)"]
    refused = normexp("plan", *typed)
    found = re.search(r"type (executor.stack_size=\d+)", refused.stderr)

    assert refused.exit_code == 2
    assert "trainings side by side need at least" in refused.stderr
    assert "this machine has 1.0 GB" in refused.stderr
    assert found
    assert normexp("plan", *typed, found[1]).exit_code == 0
    assert normexp("plan", "seed=range(32)").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("norm=none model.depth=9223372036854775807", "model.depth=8"),
        ("norm=group norm.groups=9223372036854775807", "norm.groups=2"),
        ("norm=ghost norm.size=9223372036854775807 data.train_size=65",
         "another train.batch_size"),
        ("norm=ghost norm.size=1 train.batch_size=9223372036854775807", "norm.size=2"),
    ],
)  # fmt: skip
def test_no_number_makes_a_refusal_long(normexp: Command, typed: str, hint: str) -> None:
    """Nor is anything counted one by one on the way to it."""
    result = normexp("plan", *typed.split(), "seed=0")

    assert result.exit_code == 2
    assert hint in result.stderr


def test_virtual_batches_are_counted_as_they_are_cut(normexp: Command) -> None:
    """The smallest of all parts decides: by brute force over sizes."""
    for train, batch, size in [(40, 16, 5), (40, 16, 3), (33, 16, 4), (33, 8, 8), (10, 16, 9),
                               (64, 64, 7), (65, 16, 8), (9, 4, 6)]:  # fmt: skip
        rest = [train % batch] * bool(train % batch)
        cut = [min(size, whole - start) for whole in [batch] * (train // batch) + rest
               for start in range(0, whole, size)]  # fmt: skip
        result = normexp("plan", "norm=ghost", f"norm.size={size}", f"data.train_size={train}",
                         f"train.batch_size={batch}", "seed=0")  # fmt: skip
        assert (result.exit_code == 2) == (min(cut) == 1), (train, batch, size)
