"""`--as NAME`: what is typed, kept as a study of its own, and found and made again there."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL
from typer.testing import Result

import normexp
from normexp.errors import UsageError

AsJson = Callable[..., Any]
Command = Callable[..., Result]

PLAIN = [*SMALL, "seed=0", "norm.momentum=0.1", "train.batch_size=16"]
ONE = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0"]


def manifest(study: str) -> dict[str, Any]:
    """Of the one run of a study."""
    (path,) = Path("runs", study).glob("batch-*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_named_study_is_kept_apart(command: Command, as_json: AsJson) -> None:
    """By the same runs and ids as elsewhere; a plan finds them there, and nowhere else."""
    swept = as_json("sweep", *ONE, "--as", "mine")
    plans = [as_json("plan", *ONE, *words)["cached"] for words in (["--as", "mine"], [])]
    again = as_json("sweep", *ONE, "--as", "mine")

    assert [path.name for path in Path("runs").iterdir()] == ["mine"]
    assert swept["study"] == "mine"
    assert plans == [1, 0]
    assert (again["trained"], again["observed"], again["cached"]) == (0, 0, 1)
    assert manifest("mine")["run_id"] == normexp.load(*ONE).runs[0].id
    assert command("verify").exit_code == 0
    assert len(as_json("ls", "mine")) == 1


def test_what_was_typed_makes_it_again(command: Command, as_json: AsJson) -> None:
    """A run's own command, and the sweep's as recorded, lead to the same study and run."""
    as_json("sweep", "study=moving_average", *PLAIN, "--as", "my.own-1")
    (row,) = as_json("ls")
    own = shlex.split(manifest("my.own-1")["command"])
    other = as_json(*own[1:], "store.dir=elsewhere")

    assert own[:5] == ["normexp", "sweep", "--as", "my.own-1", "study=moving_average"]
    assert other["study"] == "my.own-1"
    assert as_json("plan", *own[2:])["cached"] == 1
    assert as_json("plan", *row["typed"])["cached"] == 1
    assert row["typed"][:2] == ["--as", "my.own-1"]
    assert "--as" not in command("ls").stdout
    assert as_json("why", *own[2:])["reasons"]["cached"]["runs"] == 1


def test_a_run_of_a_named_study_is_reproduced(as_json: AsJson) -> None:
    """To the bit, from its directory alone: `.hydra` says the study that it was composed from."""
    as_json("sweep", *ONE, "--as", "mine")
    (run,) = Path("runs/mine").glob("batch-*")
    shutil.copytree(run, "copy")
    certificate = as_json("reproduce", "copy")

    assert (certificate["verdict"], certificate["study"]) == ("identical", "mine")
    assert "study=bn_regression" in (run / ".hydra/overrides.yaml").read_text()


def test_damage_to_a_named_study_is_mended_by_what_verify_says(
    command: Command, as_json: AsJson
) -> None:
    """Its hint is the command with the name."""
    as_json("sweep", *ONE, "--as", "mine")
    (metrics,) = Path("runs/mine").glob("batch-*/metrics.parquet")
    metrics.write_bytes(b"")
    damaged = command("verify")
    words = next(
        shlex.split(line[line.index("normexp sweep") :])
        for line in (damaged.stdout + damaged.stderr).splitlines()
        if "normexp sweep" in line
    )
    mended = command(*words[1:])

    assert damaged.exit_code == 4
    assert words[2:4] == ["--as", "mine"]
    assert mended.exit_code == 0, mended.stderr
    assert command("verify").exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../mine", "a/b", "/mine", ".hidden", "-mine", "a b", "é", "a\n", "x" * 101,
     "${seed}", "bn_regression", "placement", "reports", "sweeps", "trajectories"],
)  # fmt: skip
def test_a_name_leads_nowhere_else(command: Command, name: str) -> None:
    """Refused before anything is there, by the command line and in Python."""
    with pytest.raises(UsageError):
        normexp.load(*ONE, filed_as=name)
    for verb in ("plan", "sweep"):
        done = command(verb, *ONE, f"--as={name}")
        assert done.exit_code == 2
        assert done.stderr.startswith("error: --as")
        assert "hint: " in done.stderr
    assert not Path("runs").exists()


def test_a_study_of_the_users_own_configs_is_not_shadowed(command: Command) -> None:
    """Its name is taken as well, where these are given."""
    Path("own/study").mkdir(parents=True)
    Path("own/study/mine.yaml").write_text("# @package _global_\nstudy:\n  about: my own\n")
    refused = command("plan", *ONE, "--config-dir", "own", "--as", "mine")

    assert refused.exit_code == 2
    assert command("plan", *ONE, "--as", "mine").exit_code == 0


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["data=digits", "model=lenet"], "data=digits model=lenet"),
        (["data=digits"], "data=digits"),
        (["data=quadratic,drift"], "data=quadratic,drift"),
        (["data.noise_std=0.5"], "data.noise_std=0.5"),
        (["data.high=3,10"], "data.high=3,10"),
        (["data=arrays", "data.path=mine.npz"], "data=arrays data.path=mine.npz"),
        (["study=norm_batch_size", "data=quadratic", "model=mlp", "train.batch_size=8"],
         "data=quadratic model=mlp"),
        (["data=quadratic", "model=mlp"], None),
        (["data.noise_std=2", "data.low=-7"], None),
        (["data.train_size=50", "model.width=3"], None),
        (["study=norm_batch_size", "train.batch_size=8"], None),
    ],
)  # fmt: skip
def test_a_note_suggests_a_name_for_other_data(
    as_json: AsJson, overrides: list[str], told: str | None
) -> None:
    """And for another model; not for what the study has, sizes, or where a name is given."""
    np.savez("mine.npz", x=np.arange(24.0).reshape(12, 2), y=np.arange(12.0))
    own = [*overrides, "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=1"]
    notes = [each for each in as_json("plan", *own)["notes"] if "--as" in each]
    named = [each for each in as_json("plan", *own, "--as", "mine")["notes"] if "--as" in each]

    assert [each.partition(":")[0] for each in notes] == ([] if told is None else [told])
    assert named == []
