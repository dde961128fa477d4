"""Hydra's grammar as normexp reads it: ranges in decimals, sweeps that are none, interpolations."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]


def values(typed: str, *others: str) -> list[Any]:
    """The values that an axis takes, in order."""
    study = package.load(typed, *others)
    return list(next(axis.values for axis in study.axes if axis.key == typed.partition("=")[0]))


RANGES: dict[str, list[Any]] = {
    "seed=sort(range(7,0,-3))": [1, 4, 7],
    "seed=sort(range(1,9,3))": [1, 4, 7],
    "seed=sort(range(1,9,3),reverse=true)": [7, 4, 1],
    "seed=sort(range(7,0,-3),reverse=true)": [7, 4, 1],
    "seed=sort(sweep=range(20,3,-5))": [5, 10, 15, 20],
    "seed=sort(range(start=0,stop=10,step=4),reverse=true)": [8, 4, 0],
    "norm.momentum=sort(range(0.1,0.9,0.3),reverse=true)": [0.7, 0.4, 0.1],
    "norm.momentum=sort(range(0.9,0.05,-0.3))": [0.3, 0.6, 0.9],
    "norm.momentum=range(0.1,0.4,0.1)": [0.1, 0.2, 0.3],
    "norm.momentum=range(0.3,0.9,0.3)": [0.3, 0.6],
    "norm.momentum=range(0.9,0.3,-0.3)": [0.9, 0.6],
    "norm.momentum=range(1e-3,4e-3,1e-3)": [0.001, 0.002, 0.003],
    "norm.momentum=range(0,1,0.25)": [0.0, 0.25, 0.5, 0.75],
    "seed=int(range(0.0,4.5,2.0))": [0, 2],
    "optim.lr=float(range(1,4))": [1.0, 2.0, 3.0],
}


@pytest.mark.parametrize("typed", RANGES)
def test_a_range_is_as_its_decimals_say(typed: str, tmp_path: Path) -> None:
    """On the command line and in a study's file; sorted both ways."""
    key, _, text = typed.partition("=")
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/mine.yaml").write_text(
        f"# @package _global_\nstudy: {{axes: {{norm: batch, {key}: '{text}'}}}}\n"
    )
    (axis,) = [
        axis
        for axis in package.load("study=mine", config_dir=tmp_path / "own").axes
        if axis.key == key
    ]

    assert values(typed, "norm=batch") == RANGES[typed]
    assert list(axis.values) == RANGES[typed]
    assert [type(value) for value in axis.values] == [type(value) for value in RANGES[typed]]


@settings(max_examples=15, deadline=None)
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

    for text, wanted in ((up, expected), (down, expected[::-1]), (f"sort({down})", expected)):
        assert values(f"model.bias_init={text}", "norm=none", "seed=0") == list(map(float, wanted))


def test_a_shuffled_range_has_the_same_values() -> None:
    """In another order."""
    assert sorted(values("norm.momentum=shuffle(range(0.1,0.4,0.1))", "norm=batch")) == [
        0.1, 0.2, 0.3]  # fmt: skip


REFUSED = {
    "seed=range(0,8,0)": ("range(0,8,0): three finite numbers are needed, the step", "range(8)"),
    "seed=sort(range(0,8,0))": ("three finite numbers are needed", "range(8)"),
    "seed=shuffle(range(0.0,8,0))": ("three finite numbers are needed", "range(8)"),
    "seed=int(range(0,4,0.5))": ("range(0,4,0)", "range(8)"),
    "norm.momentum=range(nan,1)": ("three finite numbers are needed", "range(0.1,0.5,0.1)"),
    "norm.momentum=range(0,inf)": ("three finite numbers are needed", "range(0.1,0.5,0.1)"),
    "seed=range(true,5)": ("three finite numbers are needed", "range(8)"),
    "norm.momentum=range(0,1,1e-30)": ("more than 1,000,000 values", "a larger step"),
    "seed=choice(0.1,0.2),0.3": ("a sweep cannot stand inside of another", "type seed=A,B,C"),
    "seed=range(3),5": ("a sweep cannot stand inside of another", "type seed=A,B,C"),
    "seed=interval(0,1),5": ("a sweep cannot stand inside of another", "type seed=A,B,C"),
    "seed=[range(3)]": ("a sweep cannot stand inside of another", "type seed=A,B,C"),
    "norm=glob(b*),none": ("a sweep cannot stand inside of another", "type norm=A,B,C"),
    "train={epochs:range(3)}": ("a sweep cannot stand inside", "type train.FIELD=A,B,C"),
    "train={epochs:choice(1,2)}": ("a sweep cannot stand inside", "type train.FIELD=A,B,C"),
    "seed={}": ("seed={}: a whole number from 0 is needed", "seed=0"),
    "seed=5,{}": ("seed={}: a whole number from 0 is needed", "seed=0"),
    "norm.momentum=0.3,{}": ("norm.momentum={}: one value is needed", "norm.momentum=VALUE"),
    "norm.estimator={}": ("norm.estimator={}: one value is needed", "norm.estimator=VALUE"),
    "train={epochs:{}}": ("train.epochs={}: one value is needed", "train.epochs=VALUE"),
    "norm.momentum={a:1}": ("one value is needed", "norm.momentum=VALUE"),
    "norm={}": ("norm={}: one of batch,", "type norm=batch, or norm.FIELD=VALUE"),
    "norm={momentum:0.1}": ("not a collection", "norm.FIELD=VALUE"),
    "norm=[batch,none]": ("not a collection", "norm.FIELD=VALUE"),
    "norm=batchnorm": ("norm 'batchnorm' is unknown", "did you mean batch or"),
    "norm=BatchNorm2d": ("norm 'BatchNorm2d' is unknown", "did you mean batch or"),
    "norm=batchrenorm": ("norm 'batchrenorm' is unknown", "did you mean batch_renorm or"),
    "norm=LayerNorm": ("norm 'LayerNorm' is unknown", "did you mean layer?"),
    "data.path=~/mine.npz": ("no '~' can stand where it does", "quotes within the shell's"),
    "bn_regression": ("it has no '='", "type study=bn_regression"),
    "ghost": ("it has no '='", "type norm=ghost"),
    "momentm": ("it has no '='", "type norm.momentum=VALUE"),
    "optim": ("it has no '='", "type optim=CHOICE"),
    f"seed={'9' * 5000}": ("is not in Hydra's override grammar", "key=value"),
    f"seed={'[' * 3000}{']' * 3000}": ("is not in Hydra's override grammar", "key=value"),
    "train.epochs=${train.nowhere}": (
        "train.epochs does not resolve: Interpolation key 'train.nowhere' not found",
        "${train.batch_size}",
    ),
    "train.epochs=${train.epochs}": ("train.epochs does not resolve: Recursive", "type a value"),
    "train.epochs='${'": ("train.epochs does not resolve", "type a value"),
    "norm.window=${seed}": ("norm.window=0: a whole number from 1", "norm.window=16"),
    "study=sub/mine.yaml": ("study 'sub/mine.yaml' is unknown", "--config-dir DIR study=mine"),
}


@pytest.mark.parametrize("typed", REFUSED)
def test_what_means_nothing_is_refused_with_what_to_type(normexp: Normexp, typed: str) -> None:
    """Two short lines, exit code 2; `norm=batch` so that every field of averaging is there."""
    message, hint = REFUSED[typed]
    groups = [] if typed.startswith("norm=") else ["norm=batch"]
    result = normexp("plan", *groups, typed)
    error, then = result.stderr.splitlines()

    assert result.exit_code == 2
    assert error.startswith("error: ")
    assert message in error
    assert then.startswith("hint: ")
    assert hint in then
    assert len(error) < 500


@pytest.mark.parametrize("text", ["range(0,8,0)", "choice(1,2),3", "[{}, 1]", "{}", "['range(3)']"])
def test_an_axis_of_a_study_is_refused_as_one_typed(
    normexp: Normexp, tmp_path: Path, text: str
) -> None:
    """Exit code 2 and a hint."""
    axis = text if text.startswith(("[", "{")) else f"'{text}'"
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/mine.yaml").write_text(
        f"# @package _global_\nstudy: {{axes: {{seed: {axis}}}}}\n"
    )
    result = normexp("plan", "--config-dir", "own", "study=mine")

    assert result.exit_code == 2, result.stdout
    assert "hint: type" in result.stderr


def test_axes_of_a_study_may_be_nested_and_their_choices_are_checked(
    normexp: Normexp, tmp_path: Path
) -> None:
    """`norm: {momentum: [...]}` is `norm.momentum: [...]`; a list of groups is looked at too."""
    own = tmp_path / "own/study"
    own.mkdir(parents=True)
    start = "# @package _global_\nstudy: {axes: "
    (own / "nested.yaml").write_text(
        start + "{norm: {momentum: [0.1, 0.2]}, train: {epochs: 3}}}\n"
    )
    (own / "wrong.yaml").write_text(start + "{norm: [bach, none]}}\n")
    study = package.load("study=nested", "norm=batch", config_dir=tmp_path / "own")
    wrong = normexp("plan", "--config-dir", "own", "study=wrong")

    assert [run.flat["norm.momentum"] for run in study.runs] == [0.1, 0.2]
    assert {run.flat["train.epochs"] for run in study.runs} == {3}
    assert "hint: did you mean batch?" in wrong.stderr


@pytest.mark.parametrize(
    ("typed", "windows", "notes"),
    [
        (["norm.estimator=window"], {64}, 0),
        (["norm.estimator=window", "train.batch_size=32,64"], {32, 64}, 0),
        (["norm.estimator=ema"], {16}, 1),
        (["norm.estimator=ema", "train.batch_size=32,64"], {16}, 1),
        (["norm.estimator=ema,window"], {16, 64}, 0),
    ],
)
def test_an_interpolation_counts_as_what_it_comes_to(
    typed: list[str], windows: set[int], notes: int
) -> None:
    """In every run of its own; that no estimator reads it is said of it as of a number."""
    key = "norm.window=${train.batch_size}"
    study = package.load("norm=batch", key, *typed, "norm.momentum=0.1", "seed=0")

    assert {run.flat["norm.window"] for run in study.runs} == windows
    assert sum(note.startswith(f"{key} has no effect") for note in study.notes) == notes


def test_a_dropped_key_is_compared_with_what_the_config_comes_to(tmp_path: Path) -> None:
    """And stands at its default where another refers to it."""
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/mine.yaml").write_text(
        "# @package _global_\ntrain: {epochs: '${train.batch_size}'}\n"
    )
    study = ["study=mine", "norm=batch"]
    dropped = package.load(*study, "~train.epochs=64", config_dir=tmp_path / "own")
    (run,) = package.load("norm=none", "~seed", "train.epochs=${train.batch_size}",
                          "~train.batch_size").runs  # fmt: skip

    assert [run.flat["train.epochs"] for run in dropped.runs] == [12]
    assert run.flat["train.epochs"] == 64


def test_a_file_that_hydra_cannot_find_or_misreads_is_named(
    normexp: Normexp, tmp_path: Path
) -> None:
    """A byte order mark, another encoding or suffix, a sub-folder, the wrong directory."""
    study = "# @package _global_\nstudy: {about: ü, axes: {seed: '0,1'}}\n"
    own = tmp_path / "own"
    (own / "study/sub").mkdir(parents=True)
    (own / "study/marked.yaml").write_text(study, encoding="utf-8-sig")
    (own / "study/wide.yaml").write_text(study, encoding="utf-16")
    (own / "study/latin.yaml").write_text(study, encoding="latin-1")
    (own / "study/good.yaml").write_text(study, encoding="utf-8")
    for name in ("study/short.yml", "study/sub/deep.yaml", "top.yaml"):
        (own / name).write_text(study, encoding="utf-8")

    def told(name: str, place: Path = own) -> str:
        result = normexp("plan", "--config-dir", str(place), f"study={name}")
        assert result.exit_code == 2
        return result.stderr

    for name in ("marked", "wide", "latin"):
        assert f"study/{name}.yaml is no plain UTF-8" in told(name)
        assert "hint: save it as UTF-8 without a byte order mark" in told(name)
    assert "move study/short.yml in" in told("short")
    assert "to study/short.yaml" in told("short")
    for name in ("deep", "sub/deep"):
        assert "move study/sub/deep.yaml in" in told(name)
        assert "to study/deep.yaml" in told(name)
    assert "to study/top.yaml" in told("top")
    for name in ("good.yaml", "study/good", "own/study/good.yaml"):
        assert "hint: type study=good" in told(name)
    assert f"hint: type --config-dir {own}" in told("good", own / "study")
    assert normexp("plan", "--config-dir", str(own), "study=good").exit_code == 0
