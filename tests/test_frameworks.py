"""Studies that choose a framework: what it sets, what gives way to it, and what it leaves alone."""

from pathlib import Path

import pytest
import yaml
from conftest import SMALL, AsJson, Command
from hydra import compose
from omegaconf import OmegaConf

import normexp as package
from normexp.config.field import Scalar
from normexp.study.compose import composer
from normexp.study.study import Study

ONE = [*SMALL, "seed=0"]
OWN = "norm.momentum=0.01,0.1,0.5,0.9,null"
"""The default study's own axis, beside norm=none,batch."""


def fields(study: Study, *names: str) -> list[tuple[Scalar, ...]]:
    """These fields of every run that has them, in order."""
    return [
        tuple(run.flat[f"norm.{name}"] for name in names)
        for run in study.runs
        if all(f"norm.{name}" in run.flat for name in names)
    ]


def test_a_typed_framework_takes_the_place_of_the_studys_own_momenta() -> None:
    """What one types counts; the note says what has gone, and how to have it again."""
    study = package.load(*ONE, "norm/framework=keras,torch")

    assert fields(study, "momentum", "eps", "running_variance") == [
        (0.01, 1e-3, "biased"),
        (0.1, 1e-5, "unbiased"),
    ]
    assert "norm.momentum" not in {axis.key for axis in study.axes}
    assert any(f"in place of the study's own {OWN}" in note for note in study.notes)


@pytest.mark.parametrize(
    ("typed", "names", "found"),
    [
        ("norm=batch norm/framework=keras norm.momentum=0.3,0.4", "momentum eps",
         [(0.3, 1e-3), (0.4, 1e-3)]),
        ("norm=batch norm/framework=keras,haiku ~norm.momentum", "momentum estimator",
         [(0.01, "ema"), (0.1, "debiased")]),
        ("norm=batch norm/framework=null,keras", "momentum",
         [(0.01,), (0.1,), (0.5,), (0.9,), (None,), (0.01,)]),
        ("norm/framework=equinox_ema", "kind momentum copy_first", [("ema_train", 0.01, True)]),
        ("study=frameworks ~norm/framework", "momentum eps", [(0.1, 1e-5)]),
    ],
)  # fmt: skip
def test_what_one_types_counts_more_than_the_framework(
    typed: str, names: str, found: list[tuple[Scalar, ...]]
) -> None:
    """A typed momentum; a dropped one is the framework's own; null has the study's."""
    study = package.load(*ONE, *typed.split())

    assert fields(study, *names.split()) == found


def test_a_norm_without_running_statistics_has_no_framework(normexp: Command) -> None:
    """It is one run, whatever frameworks there are, and a note says so."""
    study = package.load(*ONE, "norm/framework=keras,haiku")
    none = [run for run in study.runs if run.config.norm.kind == "none"]
    layer = normexp("plan", *ONE, "norm=layer", "norm/framework=keras")

    assert len(none) == 1
    assert none[0].base.choices["norm"] == "none"
    assert "norm/framework" not in none[0].base.choices
    assert "norm/framework applies to norm=batch only, not to norm=none" in study.notes
    assert "norm/framework=keras applies to none of these runs" in layer.stdout


def test_another_convention_turns_only_what_is_typed(normexp: Command) -> None:
    """norm.convention says how one types: neither a preset nor a default is typed."""
    framework = ["norm=batch", "norm/framework=keras", "norm.convention=keras"]
    schedule = ["norm=batch", "norm.convention=keras", "norm.momentum=0.5",
                "norm.momentum_schedule=linear"]  # fmt: skip
    for typed, turned in ((framework, "momentum of norm/framework"),
                          (schedule, "default of norm.final_momentum")):  # fmt: skip
        refused = normexp("plan", *typed)
        assert refused.exit_code == 2
        assert f"would turn the {turned} around" in refused.stderr

    one = package.load(*ONE, *framework, "norm.momentum=0.9")
    other = package.load(*ONE, *schedule, "norm.final_momentum=0.99")
    assert fields(one, "momentum") == [(0.1,)]
    assert fields(other, "momentum", "final_momentum") == [(0.5, 0.01)]


def test_frameworks_that_set_the_same_are_one_run() -> None:
    """A framework is no part of what a run is; typed out it has the same id."""
    study = package.load(*ONE, "norm=batch", "norm/framework=gluon,onnx,torch")
    typed = package.load(*ONE, "norm=batch", "norm.momentum=0.1")

    assert len(study.runs) == 2
    assert study.runs[1].id == typed.runs[0].id
    assert any("norm/framework=gluon,onnx set the same here" in note for note in study.notes)


def test_a_framework_goes_with_other_norms_as_far_as_they_have_its_fields() -> None:
    """All of it with ghost norm; batch renormalisation has no estimator, and a note says so."""
    ghost = package.load(*ONE, "norm=ghost", "norm/framework=haiku")
    renorm = package.load(*ONE, "norm=batch_renorm", "norm/framework=haiku")

    assert fields(ghost, "kind", "estimator", "initial_var") == [("ghost", "debiased", 0.0)]
    assert fields(renorm, "kind", "momentum") == [("batch_renorm", 0.1)]
    assert any(
        "norm/framework=haiku is not whole: norm=batch_renorm has no" in note
        for note in renorm.notes
    )
    assert not any("not whole" in note for note in ghost.notes)


@pytest.mark.parametrize("choice", ["keras", "equinox_batch"])
def test_what_a_study_gets_is_what_hydra_composes(choice: str) -> None:
    """Field by field: merging a preset by hand is for speed alone."""
    with composer():
        tree = OmegaConf.to_container(compose("config", [f"norm/framework={choice}"]))
    (run,) = package.load("study=frameworks", "seed=0", f"norm/framework={choice}").runs

    assert isinstance(tree, dict)
    assert run.base.tree["norm"] == tree["norm"]


def test_a_runs_own_command_gives_it_alone(as_json: AsJson, normexp: Command) -> None:
    """Even of a study whose own axis is the frameworks; reproducing it gives the same bits."""
    two = "norm/framework=equinox_ema,haiku"
    swept = as_json("sweep", "study=frameworks", *ONE, two)
    for run in as_json("ls", "frameworks"):
        command = as_json("show", run["run"])["command"].split()
        plan = as_json("plan", *command[2:])

        assert (plan["runs"], plan["cached"]) == (1, 1)
        assert normexp("reproduce", run["directory"]).exit_code == 0
        head = yaml.safe_load(Path(run["directory"], ".hydra/hydra.yaml").read_text())
        assert head["hydra"]["runtime"]["choices"]["norm/framework"] in two
    assert swept["runs"] == 2
    assert normexp("verify").exit_code == 0


def test_the_study_of_frameworks_trains_once_for_each_eps() -> None:
    """1e-5, 2e-5 and 1e-3, and once for Equinox, whose average normalises training."""
    runs = package.load("study=frameworks").runs
    epsilons = {(run.flat["norm.kind"], run.flat["norm.eps"]) for run in runs}

    assert len({run.id for run in runs}) == 13 * 16
    assert len({run.trajectory_id for run in runs}) == len(epsilons) * 16 == 64


def test_ones_own_framework_stands_beside_the_packaged_ones(tmp_path: Path) -> None:
    """In --config-dir, like any other choice."""
    folder = tmp_path / "own/norm/framework"
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text("# @package norm\nmomentum: 0.25\neps: 0.5\n")
    (folder / "more.yaml").write_text("# @package _global_\nseed: 3\n")
    study = package.load(*ONE, "norm/framework=ours,keras", config_dir=tmp_path / "own")

    assert fields(study, "momentum", "eps") == [(0.25, 0.5), (0.01, 1e-3)]
    with pytest.raises(package.NormexpError, match="norm/framework=more sets seed"):
        package.load(*ONE, "norm/framework=more", config_dir=tmp_path / "own")


def test_results_name_the_frameworks(normexp: Command) -> None:
    """A row each, by name, in the place of the fields that they set; at 80 columns."""
    result = normexp("sweep", *SMALL, "norm/framework=keras,torch,haiku", "seed=0,1")
    rows = {words[0]: words for line in result.stdout.splitlines() if (words := line.split())}

    assert result.exit_code == 0, result.stderr
    assert rows["keras"][1:4] == ["batch", "0.01", "0.99"]
    assert rows["haiku"][1:4] == rows["torch"][1:4] == ["batch", "0.1", "0.9"]
    assert rows["–"][1] == "none"
    assert "estimator" not in result.stdout


def test_a_run_in_two_studies_is_named_by_its_directory(as_json: AsJson, normexp: Command) -> None:
    """PyTorch's framework is the default: the same run, and no id is long enough.

    Files of the run without a framework know nothing of frameworks.
    """
    as_json("sweep", *ONE, "norm=batch", "norm.momentum=0.1")
    texts = [path.read_text() for path in Path("runs").rglob("*")
             if path.suffix in {".yaml", ".json"} and path.is_file()]  # fmt: skip
    as_json("sweep", *ONE, "study=frameworks", "norm/framework=torch")
    places = [path.parent for path in Path("runs").glob("*/*/metrics.parquet")]
    name = places[0].name[-12:]

    assert not any("framework" in text for text in texts)
    for command in ("show", "budget"):
        result = normexp(command, name)
        assert result.exit_code == 3
        assert all(str(place.parent.name) in result.stderr for place in places)
        assert "type the directory of the one you mean" in result.stderr
        assert normexp(command, str(places[0])).exit_code == 0
