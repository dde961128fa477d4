"""Studies: axes, groups, the user's own configs, and what is said of them."""

from pathlib import Path

import pytest
from conftest import Command
from test_grammar import study_file, taken

import normexp as package


def test_a_typed_value_replaces_the_studys_axis() -> None:
    """Five momenta in the YAML, one typed; the other axes stay."""
    study = package.load("norm.momentum=0.3", "norm=batch")

    assert [run.flat["norm.momentum"] for run in study.runs] == [0.3] * 8


def test_an_axis_applies_where_it_exists() -> None:
    """Momentum multiplies batch norm's runs, not those without norm; a note says so."""
    study = package.load("norm=none,batch", "norm.momentum=0.1,0.2,0.3", "seed=0")

    assert [run.flat["norm.kind"] for run in study.runs] == ["none", "batch", "batch", "batch"]
    assert study.notes == ("norm.momentum applies to norm=batch only, not to norm=none",)


def test_a_studys_fields_of_another_choice_are_left_out() -> None:
    """S0 says how wide its network is; a LeNet has no such field, and a note says so."""
    study = package.load("study=momentum_convention", "data=digits", "model=lenet", "seed=0")

    assert {run.config.model.kind for run in study.runs} == {"lenet"}
    assert "the study's own model.width is left out with model=lenet" in study.notes


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
def test_what_is_overruled_is_noted(normexp: Command, typed: list[str], note: str) -> None:
    """By a later override, or by the study's own axis."""
    Path("own/norm").mkdir(parents=True)
    Path("own/norm/slow.yaml").write_text("defaults: [batch]\nmomentum: 0.02\n")
    result = normexp("plan", "--config-dir", "own", *typed)

    assert note in " ".join(result.stdout.split())


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
