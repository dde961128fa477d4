"""executor.device=cuda: refused where there is no GPU, no part of identity, and no secret.

No GPU has run it yet. What a CPU can show: on PyTorch's `meta` device, which has shapes and no
numbers, a step meets no tensor of another device and asks for no number, which a GPU would have to
be waited for.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL, Command

import normexp as api
from normexp.data.draw import Examples
from normexp.engine.step import Autograd, initial
from normexp.nets.network import Network
from normexp.sweeps.environment import changed, environment

STRUCTURES = {
    "batch norm": ["norm=batch"],
    "no norm, decay": ["norm=none", "optim=adamw", "optim.weight_decay=0.1"],
    "after": ["norm=batch", "norm.placement=after", "optim=sgd", "optim.momentum=0.9"],
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
    configs = [replace(run.config, executor=elsewhere) for run in runs]
    network, examples = Network(configs[0]), Examples(configs, device=torch.device("meta"))
    state = initial(network, configs)
    steps = Autograd(network, configs, examples, state).epoch(0, list[int]().append)

    assert {each.device.type for each in (state.parameters, *state.moments.values())} == {"meta"}
    assert len(steps.train_loss) == len(runs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("executor", "message"),
    [("local", "sees no GPU"), ("slurm", "executor.gpus=1"), ("ray", "executor.gpus=1")],
)
def test_without_a_gpu_one_line_says_so(normexp: Command, executor: str, message: str) -> None:
    """Nothing is begun; a cluster is asked for the GPU, else a node would have to find out."""
    result = normexp("sweep", *SMALL, f"executor={executor}", "executor.device=cuda")
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]

    assert (result.exit_code, result.stdout) == (2, "")
    assert len(errors) == 1
    assert "executor.device=cuda" in errors[0]
    assert message in result.stderr
    assert not list(Path().rglob("sweeps/*"))


def test_the_device_is_no_part_of_what_a_run_is_and_is_recorded() -> None:
    """It is where, not what; records from before there was a choice were made on CPUs."""
    here, there = (api.load(*SMALL, f"executor.device={d}").runs for d in ("cpu", "cuda"))
    now = environment()
    older = {name: value for name, value in now.items() if name != "device"}

    assert [run.id for run in here] == [run.id for run in there]
    assert changed(older, now) == {}
    assert changed(older, now | {"device": "cuda"}) == {"device": ("cpu", "cuda")}
    assert changed(now | {"device": "cuda"}, now) == {"device": ("cuda", "cpu")}
