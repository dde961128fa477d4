"""Studies: axes, groups, the user's own configs; what is noted, and mistakes in their files."""

from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Command
from test_grammar import study_file, taken

import normexp as package
from normexp.errors import UsageError

APPLIED = {
    "norm=batch norm.momentum=0.3": ("norm.momentum", [0.3], ""),
    "norm=none,batch norm.momentum=0.1,0.2,0.3": (
        "norm.momentum",
        [0.1, 0.2, 0.3],
        "norm.momentum applies to norm=batch only, not to norm=none",
    ),
    "study=momentum_convention data=digits model=lenet": (
        "model.kind",
        ["lenet"],
        "the study's own model.width is left out with model=lenet",
    ),
    "norm=none seed=1 seed=2": ("seed", [2], "seed is typed 2 times; the last one counts"),
    "norm=slow": (
        "norm.momentum",
        [0.01, 0.1, 0.5, 0.9, None],
        "overrules norm.momentum=0.02 of norm=slow; type norm.momentum=0.02 to keep that",
    ),
    "norm=slow norm.momentum=0.02": ("norm.momentum", [0.02], ""),
    "norm=slow ~norm.momentum": ("norm.momentum", [0.1], ""),
}


@pytest.mark.parametrize("typed", APPLIED)
def test_typed_and_own_axes_apply_where_they_exist_and_notes_say_where(typed: str) -> None:
    """A typed one replaces the study's; what has no place, or is overruled, is noted."""
    field, values, note = APPLIED[typed]
    Path("own/norm").mkdir(parents=True)
    Path("own/norm/slow.yaml").write_text("defaults: [batch]\nmomentum: 0.02\n")
    notes = package.load(*typed.split(), "log.every=8", config_dir="own").notes

    assert taken(field, *typed.split(), config_dir=Path("own")) == values
    assert any(note in each for each in notes) if note else notes == ()


def test_the_users_configs_come_first(normexp: Command) -> None:
    """A directory with spaces: a new norm, a new study, and a packaged file replaced."""
    own = Path("my own configs")
    for name, text in {
        "norm/slow": "defaults: [batch]\nmomentum: 0.02\n",
        "optim/adam": "kind: adam\nlr: 0.5\n",
        "study/mine": "# @package _global_\nstudy:\n  axes:\n    norm: 'glob([none,batch,s*])'\n"
        "    seed: [3, 5]\n    model.width: 'range(2,4)'\n",
    }.items():
        path = own / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    result = normexp("plan", "--config-dir", str(own), "--json", "study=mine")
    study = package.load("study=mine", "norm=slow", config_dir=own)

    assert '"runs": 12' in result.stdout, result.stderr
    assert study.name == "mine"
    assert [run.flat["seed"] for run in study.runs] == [3, 3, 5, 5]
    assert {run.flat["norm.momentum"] for run in study.runs} == {0.02}
    assert {run.flat["optim.lr"] for run in study.runs} == {0.5}
    assert normexp("plan", "study=mine").exit_code == 2


def test_an_edited_config_counts_at_once(tmp_path: Path) -> None:
    """In one process, as in a notebook: compositions are kept only while no file has changed."""
    (tmp_path / "norm").mkdir()
    for name, eps in (("slow", 0.02), ("slow", 0.03), ("slower", 0.001)):
        (tmp_path / f"norm/{name}.yaml").write_text(f"defaults: [batch]\neps: {eps}\n")

        assert taken("norm.eps", f"norm={name}", "seed=0", config_dir=tmp_path) == [eps]


def test_normexp_works_in_a_program_that_uses_hydra_itself() -> None:
    """And leaves that program's Hydra as it was."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(Path.cwd()), version_base="1.3"):
        assert len(package.load("seed=0,1", "norm=none").runs) == 2
        assert compose(overrides=["+a=1"]).a == 1
    assert not GlobalHydra.instance().is_initialized()


def test_overrides_are_texts() -> None:
    """One an argument, or a list of them, or a study alone; all else gets a clear answer."""
    assert len(package.load(["seed=0", "norm=none"]).runs) == 1
    study = package.load("seed=0")
    for wrong in ([3], [[3]], [{"seed": 0}], [study, "seed=1"]):
        with pytest.raises(package.NormexpError, match="overrides are texts"):
            package.load(*wrong)
    with pytest.raises(package.NormexpError, match="overrides are texts"):
        package.load(study, seed=1)
    with pytest.raises(package.NormexpError, match="overrides are texts"):
        package.load(study, filed_as="mine")
    assert package.load(study) is study


def test_the_command_of_a_run_holds_under_a_keras_study() -> None:
    """A study that types its momenta the Keras way: the command says PyTorch's, and means it."""
    own = study_file(
        "study: {axes: {seed: 'range(2)', norm.momentum: '0.9,0.8'}}\n"
        "norm: {convention: keras, momentum: 0.7}"
    )
    study = package.load("study=mine", config_dir=own)
    for run in study.runs:
        (again,) = package.load(*study.command(run.config), config_dir=own).runs
        assert again.id == run.id


LENET = "data=digits model=lenet"
INSIDE = "a sweep cannot stand inside of another"
NUMBERS = "three finite numbers are needed, the step other than 0"

STUDIES = {
    "not YAML": ("a: [1", "do not compose"),
    "no values": ("study: {axes: {seed: []}}", "seed has no values"),
    "no step": ("study: {axes: {seed: 'range(0,8,0)'}}", NUMBERS),
    "a sweep inside": ("study: {axes: {seed: 'choice(1,2),3'}}", INSIDE),
    "a mapping inside": ("study: {axes: {seed: [{}, 1]}}", "a whole number from 0 is needed"),
    "a range as a text": ("study: {axes: {seed: ['range(3)']}}", "a whole number from 0"),
    "unknown part": ("study: {axis: {seed: 1}}", "'axis' where only 'about' and 'axes' can be"),
    "axes not a mapping": ("study: {axes: [seed]}", "not a mapping"),
    "a study as an axis": ("study: {axes: {study: bn_regression}}", "a sweep is of one study"),
    "unknown axis": ("study: {axes: {norm.momentm: 1}}", "norm.momentm"),
    "unknown choice": ("study: {axes: {norm: [bach, none]}}", "norm 'bach' is unknown"),
    "unknown field": ("train: {epoch: 3}", "train.epoch"),
    "a number for its parts": ("study: 5", "5 where only 'about' and 'axes' can be"),
    "a class by name": ("norm: {_target_: os.system}", "norm._target_"),
    "runtime per run": (
        "study: {axes: {norm: 'none,batch'}}\nstore: {dir: '${norm.kind}'}",
        "store.dir differs",
    ),
}


SECTIONS = {
    ("norm: batch", "norm=ghost"): "norm=batch: norm is a section",
    ("norm: batch", "norm/framework=keras"): "norm=batch: norm is a section",
    ("train: 5", "train.epochs=2"): "train=5: train is a section",
    ("model: 5", "model=lenet"): "model=5: model is a section",
    ("optim: adam", "optim.lr=0.1"): "optim=adam: optim is a section",
}


@pytest.mark.parametrize(
    ("text", "typed", "message"),
    [
        *((text, "log.every=8", message) for text, message in STUDIES.values()),
        *(
            (text, each, said)
            for (text, typed), said in SECTIONS.items()
            for each in ("log.every=8", typed)
        ),
    ],
)
def test_a_study_with_a_mistake_is_refused(text: str, typed: str, message: str) -> None:
    """With a message that names it, and a hint; whatever is typed beside it."""
    with pytest.raises(UsageError) as refused:
        package.load("study=mine", typed, config_dir=study_file(text))

    assert message in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("text", ["- 1\n", "study: {axes: {seed: 1}}\ntrain: {epochs: 3}\n"])
def test_a_study_without_its_first_line_is_refused(text: str) -> None:
    """The line that says where its values go."""
    own = study_file("")
    (own / "study/mine.yaml").write_text(text)
    with pytest.raises(UsageError, match="where only 'about' and 'axes' can be") as refused:
        package.load("study=mine", config_dir=own)

    assert "# @package _global_" in str(refused.value.hint)


def test_a_file_that_hydra_cannot_find_or_misreads_is_named() -> None:
    """A byte order mark, another encoding or suffix, a sub-folder, the wrong directory."""
    study = "# @package _global_\nstudy: {about: ü, axes: {seed: '0,1'}}\n"
    own = Path("own").absolute()
    (own / "study/sub").mkdir(parents=True)
    encodings = {"marked": "utf-8-sig", "wide": "utf-16", "latin": "latin-1", "good": "utf-8"}
    for name, encoding in encodings.items():
        (own / f"study/{name}.yaml").write_text(study, encoding=encoding)
    for name in ("study/short.yml", "study/sub/deep.yaml", "top.yaml"):
        (own / name).write_text(study, encoding="utf-8")

    def refused(name: str, place: Path = own) -> str:
        with pytest.raises(UsageError) as error:
            package.load(f"study={name}", config_dir=place)
        return f"{error.value.message} | {error.value.hint}"

    for name in ("marked", "wide", "latin"):
        assert f"study/{name}.yaml is no plain UTF-8" in refused(name)
    assert f"move study/short.yml in {own} to study/short.yaml" in refused("short")
    for name in ("deep", "sub/deep"):
        assert f"move study/sub/deep.yaml in {own} to study/deep.yaml" in refused(name)
    assert "to study/top.yaml" in refused("top")
    for name in ("good.yaml", "study/good", "own/study/good.yaml"):
        assert refused(name).endswith("| type study=good")
    assert refused("good", own / "study").endswith(f"| type --config-dir {own}")
    assert "nowhere is not a directory" in refused("good", Path("nowhere"))
    assert package.load("study=good", config_dir=own).about == "ü"


@pytest.mark.parametrize(
    ("typed", "axis", "runs"),
    [
        ("norm=none model.weight_init=torch", "model.weight_std=0.1,0.5", 1),
        ("norm=none model.weight_init=normal", "model.weight_std=0.1,0.5", 2),
        ("norm=layer", "norm.affine_per=element,channel", 1),
        (f"norm=layer {LENET}", "norm.affine_per=element,channel", 2),
        (f"norm=layer {LENET} norm.affine=false", "norm.affine_per=element,channel", 1),
        ("norm=ema_train norm.momentum=null", "norm.copy_first=true,false", 1),
        ("norm=ema_train norm.momentum=0.1", "norm.copy_first=true,false", 2),
    ],
)
def test_a_field_without_effect_names_no_run(typed: str, axis: str, runs: int) -> None:
    """All values of such an axis are one run, and a note says so."""
    study = package.load(*typed.split(), axis, "seed=0")

    assert len(study.runs) == runs
    assert (f"{axis} has no effect here: one run for all its values" in study.notes) == (runs == 1)


@pytest.mark.parametrize(
    ("typed", "remark"),
    [
        (["norm=batch_renorm", "train.epochs=1"], "norm.warmup_steps=50 outlast the 32 steps"),
        (["norm=ghost", "norm.size=64"], "norm.size=64 is no part of a batch of 64"),
        (["norm=batch", "train.batch_size=5000"], "more than the 2000 training examples"),
    ],
)
def test_what_is_hardly_meant_is_remarked(typed: list[str], remark: str) -> None:
    """Once, however many runs it is true of."""
    study = package.load(*typed, "norm.momentum=0.1", "seed=0,1")

    assert sum(remark in note for note in study.notes) == 1
    assert not any(remark in note for note in package.load("norm=batch", "seed=0").notes)


def test_keywords_are_overrides() -> None:
    """Lists are comma lists, None is null, and texts stand as they were written."""
    momenta: dict[str, Any] = {"norm.momentum": [0.1, None]}
    study = package.load("optim.lr=0.1", norm=["none", "batch"], seed="0,1", **momenta)
    texts = ["optim.lr=0.1", "norm=none,batch", "seed=0,1", "norm.momentum=0.1,null"]
    typed = package.load(*texts)

    assert [run.id for run in study.runs] == [run.id for run in typed.runs]
    assert study.overrides == typed.overrides
    assert len(package.load(seed=range(3), norm="none", filed_as="mine").runs) == 3
    with pytest.raises(UsageError, match="unknown key 'sed'"):
        package.load(sed=1)


def test_a_sweep_takes_keywords() -> None:
    """What it has made, a plan with the same texts finds made."""
    more: dict[str, Any] = {"train.epochs": 1, "train.shuffle": True}
    made = package.sweep(*SMALL, norm="none", seed=[0, 1], **more)
    texts = ["norm=none", "seed=0,1", "train.epochs=1"]

    assert made.observed == 2
    assert len(package.plan(*SMALL, *texts).cached) == 2
    assert len(package.plan(*SMALL, *texts[1:], norm="none").cached) == 2
