"""Plans: runs to trajectories to stacks."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, AsJson, Command, in_new_process

import normexp
from normexp.store.layout import StudyDirectory

COUNTS = ("runs", "cached", "trajectories", "to_train", "stacks")


def counts(plan: dict[str, Any]) -> tuple[int, ...]:
    """The figures that a plan is judged by."""
    return tuple(plan[name] for name in COUNTS)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (48, 0, 16, 16, 2)),
        (["norm=batch", "norm.momentum=0.1,0.3"], (16, 0, 8, 8, 1)),
        (["norm=none"], (8, 0, 8, 8, 1)),
        (["norm=batch", "seed=0", "optim.lr=0.01,0.03", "model.bias_init=0,1"], (20, 0, 4, 4, 1)),
        (["norm=batch", "seed=0", "train.batch_size=16,64"], (10, 0, 2, 2, 2)),
        (["norm=batch", "seed=0", "norm.eps=1e-5,1e-3"], (10, 0, 2, 2, 2)),
        (["norm=none", "seed=range(100)", "executor.stack_size=30"], (100, 0, 100, 100, 4)),
        (["norm=none,batch", "norm.momentum=0.01,0.1,0.5,0.9", "seed=range(32)",
          "train.batch_size=16,64,256"], (480, 0, 192, 192, 8)),
        # Wide networks are worked on one by one, but on a GPU.
        (["norm=none", "model.width=300", "seed=range(4)"], (4, 0, 4, 4, 4)),
        (["norm=none", "model.width=300", "seed=range(4)", "executor.device=cuda",
          "executor.workers=1"], (4, 0, 4, 4, 1)),
        # Memory bounds a stack.
        (["norm=none", "seed=range(64)", "train.epochs=20000", "executor.workers=1"],
         (64, 0, 64, 64, 13)),
    ],
)  # fmt: skip
def test_runs_are_grouped_by_the_roles_of_their_fields(
    as_json: AsJson, overrides: list[str], expected: tuple[int, ...]
) -> None:
    """Observed fields share a trajectory, stackable ones a stack, structural ones neither."""
    assert counts(as_json("plan", "executor.workers=2", *overrides)) == expected


def test_what_is_there_is_not_done_again(as_json: AsJson, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command twice trains nothing; the store is scanned once, whatever there is to do."""
    arguments = [*SMALL, "norm=batch", "norm.momentum=0.1"]
    names, scans = StudyDirectory.names, list[int]()

    def scanning(*given: Any) -> dict[str, str]:  # noqa: ANN401
        scans.append(1)
        return names(*given)

    monkeypatch.setattr(StudyDirectory, "names", scanning)
    first = as_json("sweep", *arguments, "seed=0,1")
    second = as_json("sweep", *arguments, "seed=0,1")
    wider = as_json("plan", *arguments, "seed=0,1,2", "norm.momentum=0.1,0.2")

    assert len(scans) == 3
    assert counts(first) == (2, 0, 2, 2, 1)
    assert counts(second) == (2, 2, 2, 0, 0)
    assert counts(wider) == (6, 2, 3, 1, 2)
    assert first["failed"] == second["failed"] == 0
    assert first["arms"] == second["arms"]


def test_tables_get_denser_by_observation_alone_and_never_sparser(as_json: AsJson) -> None:
    """`log.every` is no part of identity. Every 4th step where there is every 6th: every 2nd."""
    arguments = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=4"]
    as_json("sweep", *arguments, "log.every=6")
    denser = as_json("sweep", *arguments, "log.every=4")
    (run,) = Path("runs/bn_regression").glob("batch*")

    assert set(normexp.read(run, table="stats")["step"]) == {0, 2, 3, 4, 6, 8, 9, 10, 12}
    assert counts(denser) == (1, 0, 1, 0, 1)
    for every in (2, 4, 6, 12):
        assert counts(as_json("plan", *arguments, f"log.every={every}"))[1] == 1
    assert counts(as_json("plan", *arguments, "log.every=1")) == (1, 0, 1, 0, 1)


def test_ten_thousand_runs_are_planned_without_torch() -> None:
    """In a new process, which must not have imported torch, pandas or pyarrow at the end."""
    answer = json.loads(
        in_new_process(
            "import json, sys, normexp\n"
            "plan = normexp.plan('norm=batch', 'seed=range(500)', 'optim.lr=0.01,0.02',\n"
            "                    'norm.momentum=range(0.01,0.105,0.01)')\n"
            "heavy = {'torch', 'pandas', 'pyarrow'} & set(sys.modules)\n"
            "print(json.dumps([len(plan.study.runs), plan.to_train, sorted(heavy)]))"
        )
    )

    assert answer == [10_000, 1_000, []]


def test_a_plan_says_what_a_person_wants_to_know(normexp: Command, as_json: AsJson) -> None:
    """Counts, axes, where an axis does not apply, about how long; what a convention means."""
    shown = normexp("plan", "norm=none,batch", "norm.momentum=0.1,0.3").stdout
    keras = as_json("plan", "norm=batch", "norm.convention=keras", "seed=0")

    assert "24 runs → 16 trajectories → 2 stacks" in shown
    assert "all: data=quadratic model=mlp optim=adam optim.lr=0.03" in shown
    assert "= 384 steps" in " ".join(shown.split())
    assert "norm.momentum  0.1, 0.3" in shown
    assert "norm.momentum applies to norm=batch only, not to norm=none" in shown
    assert "estimate: " in shown
    assert any("is read in the convention you typed" in note for note in keras["notes"])


def test_a_plan_says_what_will_be_trained_as_ls_does(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same words; the steps beside them."""
    monkeypatch.setenv("COLUMNS", "1000")
    words = [*SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0,1"]
    planned = normexp("plan", *words).stdout
    normexp("sweep", *words)
    listed = normexp("ls", "bn_regression").stdout
    (line,) = (each for each in listed.splitlines() if each.startswith("all: "))

    assert f"{line} = 6 steps" in planned


def test_a_plan_says_what_the_store_and_the_memory_will_hold(
    normexp: Command, as_json: AsJson
) -> None:
    """Of the store within a factor of 2, file by file; nothing where nothing is to do."""
    plan = as_json("plan", "seed=0,1")
    normexp("sweep", "seed=0,1")
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if "sweeps" not in path.parts)
    after = as_json("plan", "seed=0,1")

    assert size / 2 < plan["disk_bytes"] < 2 * size
    assert 10**8 < plan["memory_bytes"] < 10**9
    assert after["disk_bytes"] == after["memory_bytes"] == 0


def test_a_plan_warns_of_what_is_not_here(normexp: Command) -> None:
    """The sweep would be refused with the same words."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = normexp("plan", "executor.device=cuda", "seed=0")

    assert result.exit_code == 0
    assert "warning: sweep would refuse executor.device=cuda: " in result.stderr


def test_batch_sizes_at_equal_epochs_are_said_to_differ_in_steps(as_json: AsJson) -> None:
    """The range of steps stands in the note."""
    several = as_json("plan", "norm=batch", "seed=0", "train.batch_size=16,64,256")
    one = as_json("plan", "norm=batch", "seed=0", "train.batch_size=16")

    note = "batch sizes at equal epochs differ in steps: 96 to 1,500"
    assert note in several["notes"]
    assert not any("steps" in each for each in one["notes"])


def test_steps_become_whole_epochs_and_the_same_runs(
    as_json: AsJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 examples in batches of 64 are 32 steps an epoch; batch sizes then have equal steps."""
    monkeypatch.chdir(tmp_path)
    by_steps = normexp.load("norm=none", "train.steps=33,500")
    by_epochs = normexp.load("norm=none", "train.epochs=2,16")
    sizes = as_json("plan", "train.steps=500", "train.batch_size=16,64")

    assert [run.id for run in by_steps.runs] == [run.id for run in by_epochs.runs]
    assert {run.config.train.steps for run in by_steps.runs} == {None}
    assert "train.steps=500 are 16 epochs of 32 steps = 512 steps" in by_steps.notes
    assert not any("no effect" in note or "equal epochs" in note for note in sizes["notes"])
    assert "train.steps=500 are 4 epochs of 125 steps = 500 steps" in sizes["notes"]


def test_epochs_and_steps_take_each_others_place(normexp: Command, tmp_path: Path) -> None:
    """What is typed counts, whichever of the two a study has; both typed are refused."""
    (tmp_path / "study").mkdir()
    for name, lines in {"fixed": "train: {steps: 100}", "swept": ""}.items():
        axes = "seed: 0" + ("\n    train.steps: 100,200" if name == "swept" else "")
        (tmp_path / f"study/{name}.yaml").write_text(
            f"# @package _global_\nstudy:\n  axes:\n    {axes}\n{lines}\n"
        )
    own = ["--config-dir", str(tmp_path), "--json"]
    for study in ("fixed", "swept"):
        plan = json.loads(normexp("plan", f"study={study}", "train.epochs=3", *own).stdout)
        assert plan["runs"] == 1
        assert not [note for note in plan["notes"] if "train.steps" in note]
    plan = json.loads(normexp("plan", "study=moving_average", "train.steps=500", *own).stdout)
    both = normexp("plan", "train.steps=500", "train.epochs=3")

    assert plan["runs"] == 3 * 5 * 8
    assert both.exit_code == 2
    assert both.stderr.splitlines() == [
        "error: train.epochs=3 train.steps=500 both say how long to train",
        "hint: leave one of them out",
    ]
