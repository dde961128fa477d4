"""The same numbers, always: a run's files do not depend on how it was computed."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, AsJson, in_new_process, run_files

import normexp
from normexp.config.tree import known_keys
from normexp.engine.train import train
from normexp.trained import diverged_step

ODD = ["model.depth=3", "model.width=7", "model.activation=silu", "data.train_size=150",
       "data.test_size=21", "train.batch_size=13", "train.epochs=3"]  # fmt: skip
"""Sizes that are no multiple of anything: here alignment and vector tails would show."""

SIZES = {"even": SMALL, "odd": ODD}
ZEROS = ["data=arrays", "data.path=zeros.npz", "train.batch_size=8", "train.shuffle=false",
         "train.epochs=1"]  # fmt: skip
ARM = ["norm=batch", "norm.momentum=0.1,0.9,null", "optim.lr=0.03"]


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Equal where both have a file, and `found` has nothing else."""
    assert found
    assert {name for name in found if found[name] != expected[name]} == set()


def trajectory_files(store: Path) -> dict[str, bytes]:
    """Every file of every trajectory, manifests aside."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in store.glob("*/trajectories/*/*")
        if path.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of 40 networks trained in one sweep, for each of the sizes."""
    found = {}
    for name, sizes in SIZES.items():
        store = tmp_path_factory.mktemp(name)
        normexp.sweep(*sizes, *ARM, "seed=range(40)", f"store.dir={store}")
        found[name] = run_files(store)
    return found


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    "way",
    [
        ["seed=range(12)", "executor.stack_size=3"],
        ["seed=range(12)", "executor.workers=1"],
        ["seed=range(12)", "executor.workers=4", "executor.stack_size=7"],
        ["seed=range(39,-1,-1)"],
        ["seed=1,17,33"],
        ["seed=17"],
        ["seed=range(10,40)"],
        ["seed=17", "norm.momentum=0.1"],
        ["seed=17", "optim.lr=0.001,0.03,1e30", "model.bias_init=-0.2,3"],
    ],
    ids=" ".join,
)
def test_company_order_stack_size_and_workers_change_no_bit(
    forty: dict[str, dict[str, bytes]], sizes: str, way: list[str]
) -> None:
    """Forty networks at once, more than one block of lanes, and some of them in other ways."""
    normexp.sweep(*SIZES[sizes], *ARM, *way)
    there = forty[sizes]
    found = {name: content for name, content in run_files(Path("runs")).items() if name in there}

    assert_same(found, there)


@pytest.mark.parametrize(
    "norm", ["none", "ghost", "batch_renorm", "ema_train", "layer", "rms", "group"]
)
def test_company_changes_no_bit_of_any_norm(norm: str) -> None:
    """Eleven networks in threes, and one alone."""
    study = [*ODD, f"norm={norm}", "train.batch_size=12", "norm.momentum=0.1,null",
             "norm.groups=1", "norm.size=4"]  # fmt: skip
    choices = {each: known_keys().get(each.partition("=")[0], ()) for each in study}
    own = [each for each in study if "norm." not in each or f"norm={norm}" in choices[each]]
    normexp.sweep(*own, "seed=range(11)", "executor.stack_size=3", "store.dir=all")
    normexp.sweep(*own, "seed=7", "store.dir=one")
    there, found = run_files(Path("all")), run_files(Path("one"))

    assert_same(found, {name: there[name] for name in found})


def test_runs_observed_later_or_apart_are_the_runs_observed_at_once(as_json: AsJson) -> None:
    """Momentum never touches training: a new one trains nothing and leaves the same bits."""
    study = [*SMALL, "norm=batch", "seed=0,1"]
    as_json("sweep", *study, "norm.momentum=0.1,0.3", "store.dir=once")
    as_json("sweep", *study, "norm.momentum=0.1", "store.dir=later")
    second = as_json("sweep", *study, "norm.momentum=0.3", "store.dir=later")
    as_json("sweep", *study, "norm.momentum=0.9", "store.dir=apart")

    assert (second["runs"], second["to_train"], second["cached"]) == (2, 0, 0)
    assert run_files(Path("later")) == run_files(Path("once"))
    for store in ("later", "apart"):
        assert trajectory_files(Path(store)) == trajectory_files(Path("once")) != {}


def test_the_number_of_threads_changes_no_bit() -> None:
    """PyTorch's threads, set by the environment of two new processes.

    36,960 activations: enough for PyTorch to share out, and their half is no whole vectors.
    """
    study = ["norm=batch", "norm.momentum=0.1", "seed=range(32)", "model.activation=silu",
             "model.width=7", "data.train_size=165", "train.batch_size=165",
             "train.epochs=8"]  # fmt: skip
    for threads in (1, 2):
        in_new_process(
            f"import os; os.environ['OMP_NUM_THREADS'] = '{threads}'\n"
            f"import normexp; normexp.sweep({study!r}, 'store.dir=on{threads}')"
        )

    assert_same(run_files(Path("on1")), run_files(Path("on2")))


def test_the_command_of_a_run_gives_that_run_alone(as_json: AsJson) -> None:
    """Each run's reproduction command, in a fresh store: one run, the same bits."""
    as_json("sweep", *SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=1",
            "model.bias_init=-0.2,0.5", "store.dir=all")  # fmt: skip
    names = {name.partition("/")[0] for name in run_files(Path("all"))}
    assert len(names) == 6
    for name in names:
        command = shlex.split(as_json("show", name, "--dir", "all")["command"])
        assert command[:2] == ["normexp", "sweep"]
        assert as_json(*command[1:], "store.dir=alone")["runs"] == 1

    assert_same(run_files(Path("alone")), run_files(Path("all")))
    assert trajectory_files(Path("alone")) == trajectory_files(Path("all"))


def test_a_diverged_network_disturbs_nobody(as_json: AsJson) -> None:
    """At absurd learning rates a run is recorded as diverged, with the step; the others stay."""
    arguments = [*SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0,1"]
    as_json("sweep", *arguments, "optim.lr=0.01", "store.dir=quiet")
    answer = as_json("sweep", *arguments, "optim.lr=0.01,1e6,1e30", "store.dir=loud")
    rows = normexp.read(answer["directory"])
    absurd = rows["optim.lr"] > 1
    quiet, loud = run_files(Path("quiet")), run_files(Path("loud"))

    assert answer["failed"] == 0
    assert answer["diverged"] == 8
    assert set(rows["status"][~absurd]) == {"complete"}
    assert set(rows["status"][absurd]) == {"diverged"}
    assert set(rows["diverged_step"][absurd]) == {2}
    assert {arm["n"] for arm in answer["arms"]} == {0, 2}
    assert_same({name: loud[name] for name in quiet}, quiet)


@pytest.mark.parametrize(
    ("typed", "diverged"),
    [
        (["data=digits", "optim=sgd", "optim.lr=0.01"], False),
        (["data=digits", "optim=sgd", "optim.lr=1e6"], True),
        ([*SMALL, "optim.lr=1e30", "data.train_size=16", "train.epochs=1"], True),
        ([*ZEROS, "model.weight_std=0", "model.bias_init=0"], False),
    ],
    ids=["learns", "cross entropy a thousandfold", "in its last update", "from zero"],
)
def test_a_training_has_diverged_or_not(typed: list[str], *, diverged: bool) -> None:
    """By a loss beyond all measure, or by what the last update left; not by a start at zero."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.zeros(8), rng.normal(size=32)])
    np.savez("zeros.npz", x=rng.normal(size=(40, 2)), y=y, test_x=np.zeros((4, 2)),
             test_y=np.zeros(4))  # fmt: skip
    norm = ["norm=none"] if "data=arrays" in typed else ["norm=batch", "norm.momentum=0.1"]
    (run,) = normexp.load(*norm, "train.epochs=2", "seed=0", *typed).runs
    found = diverged_step(train([run.config]), 0)

    assert (found is not None) == diverged
    assert found == 1 or "data.train_size=16" not in typed
