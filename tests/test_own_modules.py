"""What a user's network may be: kinds that train as in a plain loop, and kinds that are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import user_modules
from test_own_sweep import SMALL, begun, plainly
from torch import nn

import normexp

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def source() -> Path:
    """The user's file, in the working directory."""
    return Path(shutil.copy(user_modules.__file__, "net.py"))


def typed(function: str, *more: str) -> list[str]:
    """A study of a user's network."""
    return ["model=own", f"model.source=net.py:{function}", *SMALL, *more]


@pytest.mark.parametrize(
    ("optim", "plain"),
    [
        (["optim=adamw", "optim.weight_decay=0.1"], (torch.optim.AdamW, {"weight_decay": 0.1})),
        (
            ["optim=sgd", "optim.weight_decay=0.1", "optim.momentum=0.9"],
            (torch.optim.SGD, {"weight_decay": 0.1, "momentum": 0.9}),
        ),
    ],
)
@pytest.mark.parametrize("function", user_modules.TRAINED)
def test_a_network_trains_as_in_a_plain_loop(
    function: str, optim: list[str], plain: tuple[Any, dict[str, float]]
) -> None:
    """Losses to 1e-9 in float64; what is frozen stays, weight decay or not."""
    axes = typed(function, "norm=batch", "norm.momentum=0.3", *optim)
    settings = torch.get_default_dtype(), torch.get_num_threads()
    (run,) = normexp.load(*axes).runs
    normexp.sweep(*axes)
    assert settings == (torch.get_default_dtype(), torch.get_num_threads())
    (place,) = Path("runs").glob(f"*/*-{run.id}")

    twin = "Net" if function in ("compiled", "Recomputed") else function
    module = getattr(user_modules, twin)()
    torch.set_default_dtype(settings[0])
    torch.set_num_threads(settings[1])
    module = begun(module.double(), place.parent / "trajectories" / run.trajectory_id)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            norm.momentum = 0.3
    losses, _ = plainly(module, run.config, plain[0], **plain[1])

    metrics = pd.read_parquet(place / "metrics.parquet")
    assert metrics["test_loss"].tolist() == pytest.approx(losses, rel=1e-9)


REFUSED = {
    "Draws": "it does not predict the same",
    "DrawsByNumpy": "it does not predict the same",
    "made_by_numpy": "it does not predict the same",
    "Counts": "a buffer changes as it is called",
    "Written": "a buffer changes as it is called",
    "subclass": "stem.1 is a AndActivation, which is more than a batch norm",
    "Stays": "stem.1 stays in evaluation mode",
    "Hidden": "has gradients that are not of its parameters",
    "Sometimes": "stem.1 is called 0 times in a pass",
    "Complex": "it has complex numbers",
    "lazy": "uninitialized parameter",
    "script": "net.py:script: ",
    "Pair": "it returned tuple",
}


@pytest.mark.parametrize("function", REFUSED)
def test_a_network_that_no_stored_training_would_hold_is_refused(
    function: str, normexp: Command
) -> None:
    """In one line, before anything is trained."""
    done = normexp("sweep", *typed(function, "norm=none"))

    assert (done.exit_code, done.stdout, Path("runs").exists()) == (2, "", False)
    assert REFUSED[function] in done.stderr
    assert "Traceback" not in done.stderr


def test_without_batch_norm_there_is_no_place_for_a_norm(normexp: Command) -> None:
    """Without a norm it trains; what it prints as it trains stays off stdout."""
    for norm in ("batch", "group"):
        done = normexp("plan", *typed("no_norm", f"norm={norm}"))
        assert done.exit_code == 2
        assert f"calls no batch norm in whose place norm={norm} could be" in done.stderr
    done = normexp("sweep", *typed("no_norm", "norm=none"))
    assert done.exit_code == 0
    assert "called" not in done.stdout


def test_a_module_has_its_own_places_for_norms() -> None:
    """One run, whatever placement is typed."""
    axes = typed("Net", "norm=batch", "norm.momentum=0.1", "norm.placement=before,after")
    assert len(normexp.load(*axes).runs) == 1


def test_what_the_file_imports_from_beside_it_is_part_of_the_run(normexp: Command) -> None:
    """An edit of it is another run; files of one name in two folders are two."""
    for folder, width in (("one", 5), ("two", 6)):
        place = Path(folder, "parts")
        place.mkdir(parents=True)
        place.joinpath("sizes.py").write_text(f"WIDTH = {width}\n")
        Path(folder, "layers.py").write_text("from parts.sizes import WIDTH\n")
        Path(folder, "net.py").write_text(
            "from layers import WIDTH\nfrom torch import nn\n\n\ndef make():\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10))\n"
        )
    both = [f"model.source={folder}/net.py:make" for folder in ("one", "two")]
    first = [id_of(each) for each in (*both, both[0])]
    assert first[0] == first[2] != first[1]

    done = normexp("sweep", "model=own", both[0], *SMALL, "norm=none")
    assert done.exit_code == 0
    Path("one/parts/sizes.py").write_text("WIDTH = 7\n")
    assert id_of(both[0]) not in first
    name = next(Path("runs/bn_regression").glob("none-*")).name
    assert "has digest" in normexp("reproduce", name, "--trust-source").stderr


def id_of(source: str) -> str:
    """The id of the run of a network without norms."""
    (run,) = normexp.load("model=own", source, *SMALL, "norm=none").runs
    return run.id
