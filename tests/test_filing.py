"""`--as NAME`: what is typed, kept as a study of its own, and found and made again there."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, AsJson, Command

import normexp
from normexp.errors import UsageError

ONE = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0"]


def test_a_named_study_is_kept_apart_and_made_again(command: Command, as_json: AsJson) -> None:
    """A plan finds its runs there and nowhere else; their own commands lead to the same."""
    typed = ["study=moving_average", *ONE, "train.batch_size=16"]
    swept = as_json("sweep", *typed, "--as", "my.own-1")
    (path,) = Path("runs/my.own-1").glob("batch-*/manifest.json")
    manifest = json.loads(path.read_text())
    own = shlex.split(manifest["command"])
    (row,) = as_json("ls")

    assert [path.name for path in Path("runs").iterdir()] == ["my.own-1"]
    assert swept["study"] == "my.own-1"
    assert manifest["run_id"] == normexp.load(*typed).runs[0].id
    assert [as_json("plan", *typed, *as_)["cached"] for as_ in (["--as", "my.own-1"], [])] == [1, 0]
    assert own[:5] == ["normexp", "sweep", "--as", "my.own-1", "study=moving_average"]
    assert row["typed"][:2] == ["--as", "my.own-1"]
    assert as_json("plan", *own[2:])["cached"] == as_json("plan", *row["typed"])["cached"] == 1
    assert as_json("why", *own[2:])["reasons"]["cached"]["runs"] == 1
    assert as_json(*own[1:], "store.dir=elsewhere")["study"] == "my.own-1"
    assert "--as" not in command("ls").stdout


def test_damage_to_a_named_study_is_mended_by_verifys_hint(
    command: Command, as_json: AsJson
) -> None:
    """The command with the name; and a run is reproduced from its directory alone."""
    as_json("sweep", *ONE, "--as", "mine")
    (run,) = Path("runs/mine").glob("batch-*")
    shutil.copytree(run, "copy")
    certificate = as_json("reproduce", "copy")
    (run / "metrics.parquet").write_bytes(b"")
    damaged = command("verify")
    lines = (damaged.stdout + damaged.stderr).splitlines()
    hint = next(line for line in lines if "normexp sweep" in line)
    words = shlex.split(hint[hint.index("normexp sweep") :])

    assert (certificate["verdict"], certificate["study"]) == ("identical", "mine")
    assert "study=bn_regression" in Path("copy/.hydra/overrides.yaml").read_text()
    assert damaged.exit_code == 4
    assert words[2:4] == ["--as", "mine"]
    assert command(*words[1:]).exit_code == command("verify").exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../mine", "a/b", "/mine", ".hidden", "-mine", "a b", "é", "a\n", "x" * 101,
     "${seed}", "bn_regression", "placement", "reports", "sweeps", "trajectories"],
)  # fmt: skip
def test_a_name_leads_nowhere_else(name: str) -> None:
    """Refused before anything is there; names of studies in the configs are taken."""
    with pytest.raises(UsageError, match="--as") as refused:
        normexp.load(*ONE, filed_as=name)
    assert refused.value.hint


def test_names_are_refused_on_the_command_line_too(command: Command) -> None:
    """An empty one, and that of a study of the user's own configs, where these are given."""
    Path("own/study").mkdir(parents=True)
    Path("own/study/mine.yaml").write_text("# @package _global_\nstudy:\n  about: my own\n")

    assert command("plan", *ONE, "--as=").exit_code == 2
    assert command("sweep", *ONE, "--config-dir", "own", "--as", "mine").exit_code == 2
    assert command("plan", *ONE, "--as", "mine").exit_code == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["reports", "sweeps", "trajectories"])
def test_a_study_file_of_a_taken_name_is_refused(name: str) -> None:
    """Its directory would be one of normexp's own; --as gives it another."""
    Path("own/study").mkdir(parents=True)
    Path(f"own/study/{name}.yaml").write_text("# @package _global_\nstudy: {about: my own}\n")
    typed = [*ONE, f"study={name}"]
    with pytest.raises(UsageError, match="a directory of that name") as refused:
        normexp.load(*typed, config_dir="own")

    assert f"--as my_{name}" in str(refused.value.hint)
    assert normexp.load(*typed, config_dir="own", filed_as=f"my_{name}").name == f"my_{name}"


@pytest.mark.parametrize(
    ("typed", "noted"),
    [
        ("data=digits model=lenet", "data=digits model=lenet"),
        ("data=digits", "data=digits"),
        ("data=quadratic,drift", "data=quadratic,drift"),
        ("data.noise_std=0.5", "data.noise_std=0.5"),
        ("data.high=3,10", "data.high=3,10"),
        ("data=arrays data.path=mine.npz", "data=arrays data.path=mine.npz"),
        ("study=norm_batch_size data=quadratic model=mlp train.batch_size=8",
         "data=quadratic model=mlp"),
        ("data=quadratic model=mlp", None),
        ("data.noise_std=2 data.low=-7", None),
        ("data.train_size=50 model.width=3", None),
        ("study=norm_batch_size train.batch_size=8", None),
    ],
)  # fmt: skip
def test_a_note_suggests_a_name_for_other_data(typed: str, noted: str | None) -> None:
    """And for another model; not for what the study has, sizes, or where a name is given."""
    np.savez("mine.npz", x=np.arange(24.0).reshape(12, 2), y=np.arange(12.0))
    own = [*typed.split(), "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=1"]
    notes = [each for each in normexp.load(*own).notes if "--as" in each]
    named = [each for each in normexp.load(*own, filed_as="mine").notes if "--as" in each]

    assert [each.partition(":")[0] for each in notes] == ([] if noted is None else [noted])
    assert named == []
