"""Hydra's grammar as normexp reads it: axes, ranges in decimals, interpolations."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import normexp as package

VALUES: dict[str, list[Any]] = {
    "seed=3": [3],
    "seed=1,2": [1, 2],
    "seed=choice(4,5)": [4, 5],
    "seed=range(3)": [0, 1, 2],
    "seed=range(2,9,3)": [2, 5, 8],
    "seed=sort(3,1,2,reverse=true)": [3, 2, 1],
    "seed=sort(range(7,0,-3))": [1, 4, 7],
    "seed=sort(range(1,9,3),reverse=true)": [7, 4, 1],
    "seed=sort(sweep=range(20,3,-5))": [5, 10, 15, 20],
    "seed=sort(range(start=0,stop=10,step=4),reverse=true)": [8, 4, 0],
    "seed=int(2.0)": [2],
    "seed=int(range(0.0,4.5,2.0))": [0, 2],
    "~seed": [0],
    "optim.lr=float(1),0.5": [1.0, 0.5],
    "optim.lr=float(range(1,4))": [1.0, 2.0, 3.0],
    "norm.momentum=sort(range(0.1,0.9,0.3),reverse=true)": [0.7, 0.4, 0.1],
    "norm.momentum=range(0.1,0.4,0.1)": [0.1, 0.2, 0.3],
    "norm.momentum=range(0.9,0.3,-0.3)": [0.9, 0.6],
    "norm.momentum=range(1e-3,4e-3,1e-3)": [0.001, 0.002, 0.003],
    "norm.momentum=range(0,1,0.25)": [0.0, 0.25, 0.5, 0.75],
    "norm.momentum=null,0.5": [None, 0.5],
    "~norm.momentum": [0.1],
    "model.bias_init=-0.2,0,5": [-0.2, 0.0, 5.0],
    "model.activation='tanh',\"relu\"": ["tanh", "relu"],
    "train.drop_last=true,false": [True, False],
    "norm=none,batch": ["none", "batch"],
    "norm=glob(b*)": ["batch", "batch_renorm"],
    "optim=glob(*)": ["adam", "adamw", "sgd"],
    "train={batch_size:50,epochs:3}": [50],
    "++train.epochs=4": [4],
    "~train.epochs=12": [12],
    "train.epochs=${train.batch_size}": [64],
    "store.dir=2026": ["2026"],
}
KEYS = {"norm": "norm.kind", "optim": "optim.kind", "train": "train.batch_size"}


def study_file(text: str) -> Path:
    """Write a study called mine into a directory of the user's, and return that directory."""
    path = Path("own/study/mine.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\n{text}\n")
    return path.parents[1]


def taken(key: str, *overrides: str, config_dir: Path | None = None) -> list[Any]:
    """Return the values of a field over a study's runs, each once, in order."""
    runs = package.load(*overrides, config_dir=config_dir).runs
    return list(dict.fromkeys(run.flat[key] for run in runs if key in run.flat))


@pytest.mark.parametrize("typed", VALUES)
def test_hydras_grammar_means_what_it_means_in_hydra(typed: str) -> None:
    """Sweeps, casts, quotes, globs, deletions, force-adds, mappings; ranges in decimals."""
    word = typed.partition("=")[0].strip("~+")
    found = taken(KEYS.get(word, word), typed)

    assert found == VALUES[typed]
    assert [type(value) for value in found] == [type(value) for value in VALUES[typed]]


@pytest.mark.parametrize("typed", [each for each in VALUES if "range" in each])
def test_a_range_in_a_studys_file_is_the_same(typed: str) -> None:
    """In the order in which the file gives it."""
    key, _, text = typed.partition("=")
    own = study_file(f"study: {{axes: {{norm: batch, {key}: '{text}'}}}}")

    assert taken(key, "study=mine", config_dir=own) == VALUES[typed]


@settings(max_examples=10, deadline=None)
@given(
    start=st.integers(0, 300),
    step=st.integers(1, 90),
    number=st.integers(1, 12),
    rest=st.integers(0, 89),
    places=st.integers(1, 6),
)
def test_a_range_has_the_values_that_decimals_count(
    start: int, step: int, number: int, rest: int, places: int
) -> None:
    """Ends and steps of up to six places, upwards and downwards; the stop is left out."""
    unit = Decimal(10) ** -places
    expected = [(start + each * step) * unit for each in range(number)]
    stop = expected[-1] + (rest % step + 1) * unit
    up = f"range({start * unit:f},{stop:f},{step * unit:f})"
    down = f"range({expected[-1]:f},{(start - rest % step - 1) * unit:f},-{step * unit:f})"

    for text, wanted in (
        (up, expected),
        (down, expected[::-1]),
        (f"sort({down})", expected),
        (f"sort(shuffle({up}))", expected),
    ):
        found = taken("model.bias_init", f"model.bias_init={text}", "norm=none", "seed=0")
        assert found == list(map(float, wanted))


@pytest.mark.parametrize(
    ("typed", "windows", "notes"),
    [
        (["norm.estimator=window", "train.batch_size=32,64"], {32, 64}, 0),
        (["norm.estimator=ema", "train.batch_size=32,64"], {16}, 1),
        (["norm.estimator=ema,window"], {16, 64}, 0),
    ],
)
def test_an_interpolation_counts_as_its_value(
    typed: list[str], windows: set[int], notes: int
) -> None:
    """Put in after the axis it points to; a note says of it that no estimator reads it."""
    key = "norm.window=${train.batch_size}"
    study = package.load("norm=batch", key, *typed, "norm.momentum=0.1", "seed=0")

    assert {run.flat["norm.window"] for run in study.runs} == windows
    assert all(run.flat["norm.window"] in (16, run.flat["train.batch_size"]) for run in study.runs)
    assert sum(note.startswith(f"{key} has no effect") for note in study.notes) == notes


def test_a_dropped_key_is_compared_with_the_configs_value() -> None:
    """And stands at its default where another refers to it."""
    own = study_file("train: {epochs: '${train.batch_size}'}")
    study = ["study=mine", "norm=none"]
    refers = ["norm=none", "~seed", "train.epochs=${train.batch_size}", "~train.batch_size"]

    assert taken("train.epochs", *study, "~train.epochs=64", config_dir=own) == [12]
    assert taken("train.epochs", *refers) == [64]


def test_axes_of_a_study_may_be_nested() -> None:
    """`norm: {momentum: [...]}` is `norm.momentum: [...]`."""
    own = study_file("study: {axes: {norm: {momentum: [0.1, 0.2]}, train: {epochs: 3}}}")
    study = ["study=mine", "norm=batch"]

    assert taken("norm.momentum", *study, config_dir=own) == [0.1, 0.2]
    assert taken("train.epochs", *study, config_dir=own) == [3]
