"""Parity: each framework's own layer against a run of its preset, step by step.

Found are differences up to 2.4e-7, two steps of float32 at 1; another framework's preset is off by
4e-3 and more.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from other_frameworks import answer
from replay import CASES, Tensors, assert_same, draws, kept, largest_error, under
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-6
LAYERS: dict[str, dict[str, float | None]] = {
    "torch": {"torch": 0.05},
    "keras": {"keras": 0.05},
    "flax": {"linen": None, "nnx": None},  # no gradient goes through them here: weights stay
}
"""By framework, its layers and the learning rate of both sides."""

NO_LEARNING = 1e-30
"""A learning rate that leaves the weights as they are."""


@pytest.fixture(scope="module")
def drawn() -> Tensors:
    """The draws behind all runs here, by case."""
    found: Tensors = {}
    for case in CASES:
        own = draws(case, "norm/framework=null", "norm.momentum=0.1")
        found |= {f"{case}/{name}": values for name, values in own.items()}
    return found


@pytest.fixture(scope="module", params=LAYERS)
def framework(request: pytest.FixtureRequest) -> str:
    """One that is installed."""
    name = str(request.param)
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'normexp[parity]'")
    return name


@pytest.fixture(scope="module")
def answers(
    framework: str, drawn: Tensors, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Tensors]:
    """What its layers make of normexp's draws; other frameworks in a process of their own."""
    lr = next(iter(LAYERS[framework].values()))
    if framework == "torch":
        return {framework: answer(framework, drawn, lr)}
    place = tmp_path_factory.mktemp(framework)
    draws_file, answers_file = place / "draws.safetensors", place / "answers.safetensors"
    save_file(drawn, draws_file)
    script = Path(__file__).with_name("other_frameworks.py")
    arguments = [draws_file, answers_file, str(lr).lower(), *LAYERS[framework]]
    subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        check=True, env=os.environ | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    found = load_file(answers_file)
    return {layer: under(layer, found) for layer in LAYERS[framework]}


def of_preset(case: str, preset: str, framework: str) -> Tensors:
    """What a run of a preset has kept, at the learning rate of a framework's layers."""
    lr = next(iter(LAYERS[framework].values())) or NO_LEARNING
    return kept(case, preset, f"optim.lr={lr}")


@pytest.mark.parametrize("case", CASES)
def test_a_preset_trains_and_evaluates_as_the_framework_does(
    case: str, framework: str, answers: dict[str, Tensors]
) -> None:
    """Running statistics of every step, the loss of every batch, the loss of the tests after."""
    found = of_preset(case, framework, framework)

    assert list(answers) == list(LAYERS[framework])
    for layer in answers.values():
        assert_same(found, under(case, layer), TOLERANCE)


def test_another_frameworks_preset_is_told_apart(
    framework: str, answers: dict[str, Tensors]
) -> None:
    """By its running statistics, and by its loss in evaluation."""
    found = of_preset("vectors", "keras" if framework == "torch" else "torch", framework)

    for layer in answers.values():
        for name in ("input.mean", "input.var", "hidden1.var", "test_loss"):
            off = largest_error(found, under("vectors", layer), [name])
            assert off > 1000 * TOLERANCE, name
