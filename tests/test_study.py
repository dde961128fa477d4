"""Studies: Hydra's grammar, axes, groups, the user's configs, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]


def values(key: str, *overrides: str) -> list[Any]:
    """The values of a field over a study's runs, each once, in order."""
    runs = package.load(*overrides).runs
    return list(dict.fromkeys(run.flat[key] for run in runs if key in run.flat))


@pytest.mark.parametrize(
    ("typed", "key", "expected"),
    [
        ("seed=3", "seed", [3]),
        ("seed=1,2", "seed", [1, 2]),
        ("seed=choice(4,5)", "seed", [4, 5]),
        ("seed=range(3)", "seed", [0, 1, 2]),
        ("seed=range(2,9,3)", "seed", [2, 5, 8]),
        ("seed=sort(3,1,2,reverse=true)", "seed", [3, 2, 1]),
        ("seed=int(2.0)", "seed", [2]),
        ("optim.lr=float(1),0.5", "optim.lr", [1.0, 0.5]),
        ("optim.lr=range(0.1,0.35,0.1)", "optim.lr", [0.1, 0.2, 0.3]),
        ("model.bias_init=-0.2,0,5", "model.bias_init", [-0.2, 0.0, 5.0]),
        ("model.activation='tanh',\"relu\"", "model.activation", ["tanh", "relu"]),
        ("train.drop_last=true,false", "train.drop_last", [True, False]),
        ("norm.momentum=null,0.5", "norm.momentum", [None, 0.5]),
        ("norm=none,batch", "norm.kind", ["none", "batch"]),
        ("optim=glob(*)", "optim.kind", ["adam", "adamw", "sgd"]),
        ("norm=glob(b*)", "norm.kind", ["batch", "batch_renorm"]),
        ("train={epochs:3,batch_size:50}", "train.batch_size", [50]),
        ("++train.epochs=4", "train.epochs", [4]),
        ("store.dir=2026", "store.dir", ["2026"]),
        ("~seed", "seed", [0]),
        ("~norm.momentum", "norm.momentum", [0.1]),
        ("~train.epochs=12", "train.epochs", [12]),
        ("train.epochs=${train.batch_size}", "train.epochs", [64]),
    ],
)
def test_hydras_grammar_means_what_it_means_in_hydra(
    typed: str, key: str, expected: list[Any]
) -> None:
    """Sweeps, casts, quotes, globs, deletions, force-adds, mappings, interpolations."""
    assert values(key, typed) == expected


def test_an_interpolation_follows_the_axis_it_points_to() -> None:
    """Each value of the axis is put in before anything is resolved."""
    runs = package.load("train.epochs=${train.batch_size}", "train.batch_size=8,16", "seed=0").runs

    assert {(run.flat["train.epochs"], run.flat["train.batch_size"]) for run in runs} == {
        (8, 8),
        (16, 16),
    }


def test_a_typed_value_replaces_the_studys_axis() -> None:
    """Five momenta in the YAML, one typed; the other axes stay."""
    study = package.load("norm.momentum=0.3", "norm=batch")

    assert [run.flat["norm.momentum"] for run in study.runs] == [0.3] * 8


def test_an_axis_applies_where_it_exists() -> None:
    """Momentum multiplies batch norm's runs, not those without norm; a note says so."""
    study = package.load("norm=none,batch", "norm.momentum=0.1,0.2,0.3", "seed=0")

    assert [run.flat["norm.kind"] for run in study.runs] == ["none", "batch", "batch", "batch"]
    assert study.notes == ("norm.momentum applies to norm=batch only, not to norm=none",)


REFUSED = {
    "norm.momentm=0.1": ("unknown key 'norm.momentm'", "norm.momentum"),
    "momentum=0.1": ("unknown key 'momentum'", "norm.momentum"),
    "train={epoch:3}": ("unknown key 'train.epoch'", "train.epochs"),
    "norm=bach": ("norm 'bach' is unknown; there is batch, batch_renorm, ", "did you mean batch?"),
    "norm=glob(x*)": ("norm has no values", ""),
    "seed=range(0)": ("seed has no values", "seed=range(8)"),
    "seed=range(1000000000)": ("more than 1,000,000 values", ""),
    "norm.kind=batch": ("a kind comes with its group", "type norm=CHOICE"),
    "store.dir='a\0b'": ("a text in UTF-8 without NUL is needed", "use another name"),
    "store.dir='\udcff'": ("a text in UTF-8 without NUL is needed", "use another name"),
    "store.dir=": ("store.dir='': a text is needed", "store.dir=runs"),
    "seed=é": ("is not in Hydra's override grammar", "quotes within the shell's"),
    "study=bn_regresion": ("study 'bn_regresion' is unknown", "bn_regression"),
    "norm.momentum=1.5": ("norm.momentum=1.5: a number from 0 to 1, or null", "norm.momentum=0.1"),
    "norm.momentum=nan": ("a number from 0 to 1, or null", ""),
    "norm.momentum=abc": ("norm.momentum='abc': a number from 0 to 1, or null", ""),
    "norm.momentum=[0.1,0.2]": ("one value is needed", ""),
    "executor=local,ray": ("no part of what a run is, it takes one value", "executor=local"),
    "executor.workers=1,2": ("no part of what a run is, it takes", "executor.workers=1"),
    "optim.lr=0": ("optim.lr=0: a number above 0", ""),
    "optim.lr=inf": ("optim.lr=inf: a number above 0", ""),
    "train.epochs=1.5": ("train.epochs=1.5: a whole number from 1", "train.epochs=12"),
    "train.epochs=true": ("train.epochs=true: a whole number from 1", ""),
    "train.batch_size=0": ("a whole number from 1", ""),
    "train.drop_last=1": ("train.drop_last=1: true or false", ""),
    "model.activation=tan": (
        "model.activation=tan: tanh, relu",
        "did you mean model.activation=tanh",
    ),
    "seed=-1": ("seed=-1: a whole number from 0", ""),
    "+norm.momentum=0.1": ("the schema is closed", "type norm.momentum=0.1"),
    "+optm.lr=1": ("the schema is closed", "optim.lr"),
    "norm.momentum=interval(0,1)": ("a study is a finite set of runs", "range("),
    "hydra.run.dir=x": ("names its own directories", "store.dir"),
    "hydra/launcher=joblib": ("names its own directories", "executor.workers"),
    "norm@other=batch": ("groups cannot be put elsewhere", "norm=CHOICE"),
    "~norm": ("a run needs its norm", "norm=CHOICE"),
    "~norm.momentum=0.7": ("norm.momentum is 0.1", "~norm.momentum"),
    "log.every=1,2": ("log.every is no part of what a run is", "log.every=1"),
    "study.axes.seed=3": ("replaced by typing their keys", "seed="),
    "seed=[1,2": ("is not in Hydra's override grammar", "key=value"),
    "norm.momentum": ("is not in Hydra's override grammar", "type norm.momentum=VALUE"),
    "train.epochs=${nowhere}": ("does not resolve", ""),
    "data.low=20": ("data.low=20 is not below data.high=10", ""),
    "data.train_size=65": ("cannot normalise a batch of one", "train.drop_last=true"),
    "train.batch_size=1": ("cannot normalise a batch of one", "train.batch_size=2"),
}


@pytest.mark.parametrize("typed", REFUSED)
def test_bad_input_gets_one_line_and_a_hint(normexp: Normexp, typed: str) -> None:
    """What was given and what is allowed; what to type next; exit code 2; nothing on disk."""
    message, hint = REFUSED[typed]
    result = normexp("sweep", typed)
    lines = result.stderr.splitlines()

    assert result.exit_code == 2
    assert result.stdout == ""
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert hint in "".join(lines[1:])
    assert len(lines) <= 2
    assert not list(Path().iterdir())


def test_a_studys_fields_of_another_choice_are_left_out() -> None:
    """S0 says how wide its network is; a LeNet has no such field, and a note says so."""
    study = package.load("study=momentum_convention", "data=digits", "model=lenet", "seed=0")

    assert {run.config.model.kind for run in study.runs} == {"lenet"}
    assert "the study's own model.width is left out with model=lenet" in study.notes


def test_the_users_configs_come_first(normexp: Normexp, tmp_path: Path) -> None:
    """A directory with spaces: a new norm, a new study, and a packaged file replaced."""
    own = tmp_path / "my own configs"
    for folder in ("norm", "study", "optim"):
        (own / folder).mkdir(parents=True)
    (own / "norm/slow.yaml").write_text("defaults: [batch]\nmomentum: 0.02\n")
    (own / "optim/adam.yaml").write_text("kind: adam\nlr: 0.5\n")
    (own / "study/mine.yaml").write_text(
        "# @package _global_\n"
        "study:\n"
        "  about: mine\n"
        "  axes: {norm: 'glob([none,batch,s*])', seed: [3, 5], model.width: 'range(2,4)'}\n"
    )
    run = ["plan", "--config-dir", str(own), "--json"]
    result = normexp(*run, "study=mine")
    study = package.load("study=mine", "norm=slow", config_dir=own)

    assert result.exit_code == 0, result.stderr
    assert '"runs": 12' in result.stdout
    assert [run.flat["seed"] for run in study.runs] == [3, 3, 5, 5]
    assert study.name == "mine"
    assert {run.flat["norm.momentum"] for run in study.runs} == {0.02}
    assert {run.flat["optim.lr"] for run in study.runs} == {0.5}
    assert normexp("plan", "study=mine").exit_code == 2
    both = normexp("plan", "--config-dir", str(own), "study=mine,bn_regression")
    assert "a sweep is of one study" in both.stderr


def test_an_edited_config_counts_at_once(tmp_path: Path) -> None:
    """In one process, as in a notebook: compositions are kept only while no file has changed."""
    (tmp_path / "norm").mkdir()
    for eps in (0.02, 0.03):
        (tmp_path / "norm/slow.yaml").write_text(f"defaults: [batch]\neps: {eps}\n")
        study = package.load("norm=slow", config_dir=tmp_path)

        assert {run.flat["norm.eps"] for run in study.runs} == {eps}

    (tmp_path / "norm/slower.yaml").write_text("defaults: [batch]\neps: 0.001\n")
    study = package.load("norm=slower", config_dir=tmp_path)
    assert {run.flat["norm.eps"] for run in study.runs} == {0.001}


def test_normexp_works_in_a_program_that_uses_hydra_itself() -> None:
    """And leaves that program's Hydra as it was."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(Path.cwd()), version_base="1.3"):
        assert len(package.load("seed=0,1", "norm=none").runs) == 2
        assert compose(overrides=["+a=1"]).a == 1
    assert not GlobalHydra.instance().is_initialized()


def test_overrides_are_texts() -> None:
    """One an argument, or a list of them; anything else gets a clear answer."""
    assert len(package.load(["seed=0", "norm=none"]).runs) == 1
    for wrong in (3, [3], {"seed": 0}, package.load("seed=0")):
        with pytest.raises(package.NormexpError, match="overrides are texts"):
            package.load(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        (["seed=1", "seed=2"], "seed is typed 2 times; the last one counts"),
        (["norm=slow"], "overrules norm.momentum=0.02 of norm=slow; type ~norm.momentum"),
    ],
)
def test_what_is_overruled_is_said(
    normexp: Normexp, tmp_path: Path, typed: list[str], note: str
) -> None:
    """By a later override, or by the study's own axis."""
    (tmp_path / "own/norm").mkdir(parents=True)
    (tmp_path / "own/norm/slow.yaml").write_text("defaults: [batch]\nmomentum: 0.02\n")
    result = normexp("plan", "--config-dir", "own", *typed)

    assert note in " ".join(result.stdout.split())


STUDIES = {
    "not YAML": ("a: [1\n", "do not compose"),
    "a list": ("- 1\n", "where only 'about' and 'axes' can be"),
    "no values": ("# @package _global_\nstudy: {axes: {seed: []}}\n", "seed has no values"),
    "no package line": ("study: {axes: {seed: 1}}\ntrain: {epochs: 3}\n", "# @package _global_"),
    "unknown part": ("# @package _global_\nstudy: {axis: {seed: 1}}\n", "'axis'"),
    "axes not a mapping": ("# @package _global_\nstudy: {axes: [seed]}\n", "not a mapping"),
    "unknown axis": ("# @package _global_\nstudy: {axes: {norm.momentm: 1}}\n", "norm.momentum"),
    "unknown field": ("# @package _global_\ntrain: {epoch: 3}\n", "train.epochs"),
    "a class by name": ("# @package _global_\nnorm: {_target_: os.system}\n", "norm._target_"),
    "runtime per run": (
        "# @package _global_\nstudy: {axes: {norm: 'none,batch'}}\nstore: {dir: '${norm.kind}'}\n",
        "store.dir differs",
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_with_a_mistake_is_refused(normexp: Normexp, tmp_path: Path, name: str) -> None:
    """One line that names it, exit code 2."""
    text, message = STUDIES[name]
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/mine.yaml").write_text(text)
    result = normexp("plan", "--config-dir", "own", "study=mine")

    assert result.exit_code == 2, result.stdout
    assert message in result.stderr


def test_the_command_of_a_run_holds_under_a_keras_study(tmp_path: Path) -> None:
    """A study that types its momenta the Keras way: the command says PyTorch's, and means it."""
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/mine.yaml").write_text(
        "# @package _global_\n"
        "study: {axes: {seed: 'range(3)', norm.momentum: '0.9,0.8'}}\n"
        "norm: {convention: keras, momentum: 0.7}\n"
    )
    own = tmp_path / "own"
    study = package.load("study=mine", config_dir=own)
    for run in study.runs:
        (again,) = package.load(*study.command(run.config), config_dir=own).runs
        assert again.id == run.id


def test_a_config_dir_that_is_none_is_refused(normexp: Normexp) -> None:
    """One line, exit code 2."""
    result = normexp("plan", "--config-dir", "nowhere")

    assert result.exit_code == 2
    assert "nowhere is not a directory" in result.stderr
