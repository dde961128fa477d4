"""Sweeps over a user's own network: it trains as its own PyTorch module does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import user_nets
from reference import Batch, loss_of
from safetensors.torch import load_file
from torch import nn

import normexp
from normexp.data.draw import draw, orders
from normexp.engine.train import train
from normexp.trained import Kept

Command = Callable[..., Any]

SMALL = ["data=digits", "data.train_size=72", "data.test_size=20", "train.batch_size=18",
         "train.epochs=2", "optim.lr=0.01", "seed=1", "log.every=1",
         "train.dtype=float64"]  # fmt: skip
"""Four steps an epoch."""


@pytest.fixture(autouse=True)
def source() -> Path:
    """The user's file, in the working directory."""
    return Path(shutil.copy(user_nets.__file__, "net.py"))


def typed(function: str = "make", *more: str) -> list[str]:
    """A study of the user's network."""
    return ["model=own", f"model.source=net.py:{function}", *SMALL, *more]


def begun(module: nn.Module, trajectory: Path) -> nn.Module:
    """The module with a stored training's initial weights, which norms and buffers share."""
    weights = load_file(trajectory / "weights.safetensors")
    state = module.state_dict()
    for name, values in weights.items():
        own = name if name in state else name.replace(".norm.", ".")
        if own in state:  # a batch norm may have no bias
            state[own] = values[0]
    module.load_state_dict(state)
    return module


def plainly(
    module: nn.Module,
    config: Any,  # noqa: ANN401
    optimizer_of: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    **settings: float,
) -> tuple[list[float], nn.Module]:
    """Test losses at the evaluation points of a plain loop, with the run's data and order."""
    data, sizes = draw(config), 18
    rows = data.x.T if data.x.dim() == 2 else data.x
    tests = data.test_x.T if data.test_x.dim() == 2 else data.test_x
    answers = data.y.T if data.y.dim() == 2 else data.y
    test_y = data.test_y.T if data.test_y.dim() == 2 else data.test_y
    optimizer, losses = (
        optimizer_of(module.parameters(), lr=0.01, **settings),
        [loss(module, tests, test_y)],
    )
    for epoch in range(2):
        module.train()
        for chosen in torch.split(orders([config], epoch)[0], sizes):
            optimizer.zero_grad()
            torch.autograd.backward(loss_of(module(rows[chosen]), answers[chosen]))
            optimizer.step()
        losses.append(loss(module, tests, test_y))
    return losses, module


def loss(module: nn.Module, *batch: torch.Tensor) -> float:
    """The loss in evaluation mode."""
    module.eval()
    pair: Batch = (batch[0], batch[1])
    with torch.no_grad():
        y = module(pair[0])
        return float(loss_of(getattr(y, "logits", y), pair[1]))


@pytest.mark.parametrize("momentum", [0.01, 0.5, None])
@pytest.mark.parametrize("function", ["make", "on_vectors"])
def test_a_run_is_what_a_plain_loop_gives_at_its_momentum(
    function: str, momentum: float | None
) -> None:
    """Losses and running statistics to 1e-9 in float64, of images and of vectors."""
    data = ["data=quadratic"] if function == "on_vectors" else []
    axis = f"norm.momentum={'null' if momentum is None else momentum}"
    study = normexp.load(*typed(function, *data, "norm=batch", axis, "optim=adam"))
    normexp.sweep(*typed(function, *data, "norm=batch", "norm.momentum=0.01,0.5,null"))
    (run,) = study.runs
    (place,) = Path("runs").glob(f"*/*-{run.id}")
    trajectory = place.parent / "trajectories" / run.trajectory_id

    module = begun(getattr(user_nets, function)().double(), trajectory)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.momentum = momentum
    losses, module = plainly(module, run.config)

    metrics = pd.read_parquet(place / "metrics.parquet")
    assert metrics["test_loss"].tolist() == pytest.approx(losses, rel=1e-9)
    stats = pd.read_parquet(place / "stats.parquet").query("step == 8")
    norms = [
        each
        for name, each in module.named_modules()
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) and name != "unused"
    ]
    for column, buffer in (("running_mean", "running_mean"), ("running_var", "running_var")):
        expected = torch.cat([getattr(each, buffer) for each in norms])
        assert stats[column].tolist() == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-9)


def test_dropout_draws_from_the_seed_and_the_step_alone(as_json: Callable[..., Any]) -> None:
    """Equal bits alone, in processes, from a checkpoint; other seeds and rates differ."""
    axes = ["norm=batch", "norm.momentum=0.1", "model.arguments={dropout: 0.3}"]
    (run,) = normexp.load(*typed("make", *axes)).runs
    whole, kept = train([run.config]), list[Kept]()
    train([run.config], keep=lambda _, now: kept.append(now()))
    for record in (train([run.config]), train([run.config], start=kept[0])):
        assert torch.equal(record.train_loss, whole.train_loss)
        assert torch.equal(record.weights["head.weight"], whole.weights["head.weight"])
    several = typed("make", *axes, "seed=1,2", "optim.lr=0.01,0.02")
    as_json("sweep", *several, "executor.workers=2", "executor.processes=true")
    as_json("sweep", *several, "executor.workers=2", "store.dir=threads")
    rows, others = as_json("ls", "bn_regression"), as_json("ls", "threads/bn_regression")

    assert len({row["test_loss"] for row in rows}) == len(rows) == 4
    assert [row["test_loss"] for row in rows] == [row["test_loss"] for row in others]


@pytest.mark.parametrize(
    ("norm", "plain"),
    [
        ("group", lambda channels: nn.GroupNorm(2, channels)),
        ("layer", lambda channels: nn.GroupNorm(1, channels)),
        ("none", lambda _: nn.Identity()),
    ],
)
def test_another_norm_takes_the_place_of_batch_norm(
    norm: str, plain: Callable[[int], nn.Module]
) -> None:
    """The module with PyTorch's norm in the same places, from the same weights, gives the same."""
    groups = {"group": ["norm.groups=2"], "layer": ["norm.affine_per=channel"]}.get(norm, [])
    (run,) = normexp.load(*typed("make", f"norm={norm}", *groups)).runs
    normexp.sweep(*typed("make", f"norm={norm}", *groups))
    (place,) = Path("runs").glob(f"*/*-{run.id}")

    bare = user_nets.Net()
    bare.stem[1], bare.branch_norm, bare.inner_norm = plain(4), plain(4), nn.Identity()
    if norm != "none":
        bare.inner_norm = nn.GroupNorm(2 if norm == "group" else 1, 12, affine=False)
    module = begun(bare.double(), place.parent / "trajectories" / run.trajectory_id)
    losses, _ = plainly(module, run.config)

    metrics = pd.read_parquet(place / "metrics.parquet")
    assert metrics["test_loss"].tolist() == pytest.approx(losses, rel=1e-9)


@pytest.mark.parametrize("norm", ["ghost", "batch_renorm", "ema_train", "rms", "instance"])
def test_every_norm_trains_or_says_why_not(norm: str, normexp: Command) -> None:
    """Instance norm needs pixels everywhere."""
    momentum = ["norm.momentum=0.1"] * (norm not in ("rms", "instance"))
    done = normexp("sweep", *typed("make", f"norm={norm}", *momentum))

    if norm == "instance":
        assert "inner_norm gives vectors of 12 numbers" in done.stderr
        assert done.stderr.endswith("hint: leave out norm=instance\n")
    assert done.exit_code == (2 if norm == "instance" else 0)


def test_a_network_of_transformers_is_swept_over_its_logits(as_json: Callable[..., Any]) -> None:
    """Nothing but the function knows where a module comes from."""
    pytest.importorskip("transformers")
    as_json("sweep", *typed("resnet", "norm=batch", "norm.momentum=0.1,0.5"))
    rows = as_json("ls", "bn_regression")

    assert len(list(Path("runs/bn_regression/trajectories").glob("*/config.yaml"))) == 1
    assert len({row["test_loss"] for row in rows}) == len(rows) == 2


def test_arguments_are_axes_and_the_file_is_identity(as_json: Callable[..., Any]) -> None:
    """Another order of arguments is the same run, another file another; what is printed is not."""
    wide = "model.arguments={width: 6, dropout: 0.1}"
    first = normexp.load(*typed("make", "norm=none", wide)).runs[0]
    again = normexp.load(*typed("make", "norm=none", "model.arguments='dropout=0.1   width=6'"))
    assert (again.runs[0].id, first.flat["model.arguments"]) == (first.id, "dropout=0.1 width=6")
    assert first.flat["model.layers"] == 3

    axis = "model.arguments={width: 4},{width: 6}"
    made = as_json("sweep", *typed("make", "norm=none", axis))
    assert made["runs"] == 2
    found = {row["values"]["model.arguments"] for row in as_json("ls", "bn_regression")}
    assert found == {"width=4", "width=6"}
    Path("net.py").write_text(Path("net.py").read_text() + "# changed\n")
    assert not normexp.plan(*typed("make", "norm=none", axis)).cached


RAN = "import pathlib; pathlib.Path('ran').touch()\n"
"""A line of a file that shows that it was run."""

BAD = {
    "net.py:nothing": "returned NoneType",
    "net.py:leaves": "it ended itself: SystemExit: 3",
    "net.py:twice": "2 is called 2 times in a pass",
    "net.py:with_memory": "a buffer changes as it is called",
    "net.py:on_vectors": "net.py:on_vectors: RuntimeError",
    "net.py:mak": "did you mean make?",
    "net.py": "is no function in a file",
    "nat.py:make": "is no function in a file",
}


@pytest.mark.parametrize("named", BAD)
def test_a_source_that_cannot_be_trained_is_refused_in_one_line(
    named: str, normexp: Command
) -> None:
    """Before anything is stored."""
    done = normexp("sweep", "model=own", f"model.source={named}", *SMALL, "norm=none")

    assert (done.exit_code, done.stdout, Path("runs").exists()) == (2, "", False)
    assert BAD[named] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["model.arguments={outputs: 3}"], "this data needs [2, 10]"),
        (["model.arguments={depth: 3}"], "unexpected keyword argument 'depth'"),
        (["model.arguments=depth"], "does not name arguments"),
        (["model.digest=abc"], "not the abc that was named"),
        (["model.source=null"], "nothing says which"),
        (["model.source=${model.name}"], "takes no value from elsewhere"),
    ],
)
def test_what_is_typed_about_a_source_is_checked(
    more: list[str], words: str, normexp: Command
) -> None:
    """Each in one line."""
    kept = [each for each in typed("make", "norm=none") if not each.startswith(more[0][:12])]
    done = normexp("sweep", *kept, *more)

    assert (done.exit_code, Path("runs").exists()) == (2, False)
    assert words in done.stderr


def test_only_what_is_typed_is_run(normexp: Command) -> None:
    """A study or a group that names a file is refused, until the file is typed too."""
    Path("own/study").mkdir(parents=True)
    Path("own/model").mkdir()
    Path("net.py").write_text(RAN + Path("net.py").read_text())
    head = "# @package _global_\ndefaults:\n  - override /model: own\n"
    Path("own/study/mine.yaml").write_text(
        f"{head}study:\n  about: mine\n  axes:\n    model.source: net.py:make\n"
    )
    Path("own/model/other.yaml").write_text("kind: own\nsource: net.py:make\n")
    for words in (["study=mine"], ["model=other"], ["study=mine", "~model.source"]):
        done = normexp("plan", "--config-dir", "own", *words, *SMALL, "norm=none")
        assert done.exit_code == 2
        assert not Path("ran").exists()
    named = ["--config-dir", "own", "study=mine", *SMALL, "norm=none"]
    assert "only what is typed is run" in normexp("sweep", *named).stderr
    assert normexp("sweep", *named, "model.source=net.py:make").exit_code == 0


def test_a_strangers_run_is_read_and_never_executed(normexp: Command) -> None:
    """Until --trust-source says so, and the file is the one that the run was made with."""
    axes = ["norm=batch", "norm.momentum=0.1,0.5"]
    assert normexp("sweep", *typed("make", *axes)).exit_code == 0
    name = min(each.name for each in Path("runs/bn_regression").glob("batch-*"))
    good = Path("net.py").read_text()
    Path("net.py").write_text(RAN)
    for words in (["ls"], ["show", name], ["verify"], ["report"], ["budget"], ["predict"],
                  ["compare", "bn_regression", "norm.momentum"], ["diff", name, name],
                  ["doctor"], ["reproduce", name]):  # fmt: skip
        done = normexp(*words)
        assert done.exception is None or isinstance(done.exception, SystemExit), words
    assert normexp("reproduce", name).exit_code == 2
    assert "add --trust-source" in normexp("reproduce", name).stderr
    assert "has digest" in normexp("reproduce", name, "--trust-source").stderr
    assert not Path("ran").exists()
    Path("net.py").write_text(good)
    done = normexp("reproduce", name, "--trust-source", "--json")
    assert json.loads(done.stdout)["verdict"] == "identical"
