"""executor.device=cuda: refused where there is no GPU, no part of identity, and no secret.

No GPU has run it yet. What a CPU can show: on PyTorch's `meta` device, which has shapes and no
numbers, a step meets no tensor of another device and asks for no number, which a GPU would have to
be waited for.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from typer.testing import Result

import normexp as api
from normexp.engine.train import TrainingStack
from normexp.sweeps.environment import changed, environment

Command = Callable[..., Result]

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@without_gpu
def test_where_there_is_no_gpu_one_line_says_so(normexp: Command) -> None:
    """Nothing is begun."""
    result = normexp("sweep", *SMALL, "executor.device=cuda")

    assert (result.exit_code, result.stdout) == (2, "")
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "executor.device=cuda" in errors[0]
    assert "sees no GPU" in errors[0]
    assert not list(Path().rglob("sweeps/*"))


STRUCTURES = {
    "batch norm": ["norm=batch"],
    "no norm, decay": ["norm=none", "optim=adamw", "optim.weight_decay=0.1"],
    "after the activation": [
        "norm=batch",
        "norm.placement=after",
        "optim=sgd",
        "optim.momentum=0.9",
    ],
    "group norm": ["norm=group", "norm.groups=2"],
    "ghost norm": ["norm=ghost", "norm.size=8"],
    "digits": ["data=digits", "norm=batch", "train.batch_size=64"],
    "images": ["data=digits", "model=lenet", "norm=batch", "train.batch_size=64"],
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_step_stays_on_its_device(name: str) -> None:
    """From the batch to the weights; only what is kept at an evaluation point leaves it."""
    runs = api.load(*STRUCTURES[name], "seed=0,1", "data.test_size=20").runs
    elsewhere = replace(runs[0].config.executor, device="meta")  # type: ignore[arg-type]
    meta = [replace(run.config, executor=elsewhere) for run in runs]
    stack = TrainingStack(meta)
    x, y = next(stack.batches(0))
    step = stack.step(x, y)

    assert {each.device.type for each in (x, y, step.train_loss)} == {"meta"}
    assert step.train_loss.shape == (len(runs),)


@pytest.mark.parametrize("executor", ["slurm", "ray"])
def test_a_cluster_is_asked_for_the_gpu_that_trains(normexp: Command, executor: str) -> None:
    """Else a node without any would have to find out."""
    result = normexp("sweep", *SMALL, f"executor={executor}", "executor.device=cuda")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "executor.gpus=1" in result.stderr


def test_the_device_is_no_part_of_what_a_run_is() -> None:
    """It is where, not what."""
    here, there = (api.load(*SMALL, f"executor.device={d}").runs for d in ("cpu", "cuda"))

    assert [run.id for run in here] == [run.id for run in there]


def test_runs_of_another_device_count_as_made_otherwise() -> None:
    """Records from before there was a choice were made on CPUs."""
    now = environment()
    older = {name: value for name, value in now.items() if name != "device"}

    assert changed(older, now) == {}
    assert changed(older, now | {"device": "cuda"}) == {"device": ("cpu", "cuda")}
    assert changed(now | {"device": "cuda"}, now) == {"device": ("cuda", "cpu")}
