"""Compiled passes: exact activations, no company, and code that is compiled once on a machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SMALL, run_files
from reference import ACTIVATIONS

import normexp
from normexp.nets.compiled import CompiledPasses
from normexp.nets.network import Network

SAYS = "compiling for this machine, once"


def swept(cache: Path, store: str, *overrides: str) -> str:
    """What a sweep in a new process says, with another place for the user's cache."""
    own = {"HOME": str(cache), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "normexp", "sweep", *SMALL, "seed=0", *overrides]
    done = subprocess.run(
        [*command, f"store.dir={store}"],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(("dtype", "accuracy"), [("float32", 2e-7), ("float64", 1e-14)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_exact_to_its_last_bits(
    activation: str, dtype: str, accuracy: float
) -> None:
    """One unit with weight 1, from numbers that round to themselves to those that come to an end.

    The error is relative: to the result, of gelu and silu, whose left ends go to 0, to x.
    """
    typed = ["model.depth=1", "model.width=1", f"train.dtype={dtype}", "norm=none", "seed=0"]
    (run,) = normexp.load(*typed, f"model.activation={activation}").runs
    network = Network(run.config)
    parameters = {
        name: torch.full((1, *shape), float(name.endswith("weight")), dtype=getattr(torch, dtype))
        for name, shape in network.shapes.items()
    }
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 9001, generator=rng, dtype=torch.float64)
    x *= 10 ** torch.empty(x.shape, dtype=x.dtype).uniform_(-9, 2, generator=rng)
    x = x.to(getattr(torch, dtype))
    y = CompiledPasses(network).by_statistics(parameters, {}, x).double()
    exact = ACTIVATIONS[activation](x.double())
    unit = x.double() if activation in {"gelu", "silu"} else exact

    assert float(((y - exact).abs() / unit.abs().clamp(min=1e-30)).max()) < accuracy


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("lost", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(activation: str, lost: float) -> None:
    """Neither in an activation nor in a norm."""
    typed = ["norm=batch", "norm.momentum=0.1", "seed=0", f"model.activation={activation}"]
    (run,) = normexp.load(*typed).runs
    network = Network(run.config)
    parameters = {name: each[None] for name, each in network.initial(run.config).items()}
    parameters["hidden3.weight"][0, 0, 0] = lost
    prediction, _ = CompiledPasses(network).by_itself(parameters, torch.rand(1, 1, 50))

    assert not prediction.isfinite().any()


def test_functions_are_compiled_once_and_give_the_bits_of_those_from_the_cache(
    tmp_path: Path,
) -> None:
    """Two processes at once, one of which compiles; then none."""
    arms = ["norm=none,batch", "norm.momentum=0.1", "executor.processes=true", "executor.workers=2"]
    first, second = (swept(tmp_path / "cache", store, *arms) for store in ("one", "two"))

    assert (first.count(SAYS), second.count(SAYS)) == (1, 0)
    assert run_files(Path("one")) == run_files(Path("two")) != {}


def test_a_machine_where_nothing_can_be_kept_compiles_each_time(tmp_path: Path) -> None:
    """The user's cache cannot be made: a file is in its place."""
    (tmp_path / "cache").write_text("in the way")

    assert SAYS in swept(tmp_path / "cache", "one", "norm=none")
