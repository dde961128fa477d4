"""A recorder's trainings saved as a study: every command reads them, and the numbers are right."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_nets import SmallNet, batches, losses_on, train
from torch.utils.data import DataLoader
from typer.testing import Result

import normexp as package
from normexp.errors import NormexpError, UsageError
from normexp.own.layers import batch_norms
from normexp.own.recorder import Recorder
from normexp.store.places import understood

Command = Callable[..., Result]

MOMENTA = (0.01, 0.1, 0.5)
EPOCHS, BATCHES, SIZE = 3, 12, 16
TESTS = list(batches(3, seed=1000))
NO_NETWORK = "the network is code of the user's, and stored runs never run code"


def loop(seed: int, place: Path, number: int = BATCHES, memory_mb: float = 256) -> Recorder:
    """A training that is evaluated after each epoch and saved after the last."""
    torch.manual_seed(seed)
    model = SmallNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with package.record(model, optimizer, memory_mb=memory_mb) as recorder:
        data = list(batches(number, SIZE, seed))
        for _ in range(EPOCHS):
            train(model, optimizer, iter(data))
            recorder.evaluate(losses_on(TESTS), train=data, momenta=MOMENTA)
    recorder.save(place)
    return recorder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two trainings in one study, and one of pooled updates; no test changes it."""
    place = tmp_path_factory.mktemp("loops") / "runs"
    for seed in (0, 1):
        loop(seed, place / "mine")
    loop(2, place / "pooled", 40, memory_mb=0)
    return place


@pytest.fixture
def store(stored: Path) -> Path:
    """A copy of it, in the place where commands look."""
    shutil.copytree(stored, "runs")
    return Path("runs")


def plain(seed: int, momentum: float) -> tuple[SmallNet, list[float]]:
    """The same training without a recorder, at another momentum: model and losses by epoch."""
    torch.manual_seed(seed)
    model, losses = SmallNet(), []
    for norm in batch_norms(model).values():
        norm.momentum = momentum
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(EPOCHS):
        train(model, optimizer, batches(BATCHES, SIZE, seed))
        model.eval()
        with torch.no_grad():
            losses.append(float(losses_on(TESTS)(model).mean()))
    return model, losses


@pytest.mark.parametrize("momentum", MOMENTA)
def test_a_run_is_what_a_training_with_its_momentum_gives(stored: Path, momentum: float) -> None:
    """Its test losses after each epoch, and its running statistics at the end."""
    model, losses = plain(0, momentum)
    runs = package.read(stored / "mine")
    found = runs[(runs["norm.momentum"] == momentum) & (runs["norm.estimator"] == "ema")]
    metrics, stats = (package.read(stored / "mine", table=each) for each in ("metrics", "stats"))
    close = [
        each
        for each in found["run_id"]
        if np.allclose(metrics[metrics["run_id"] == each]["test_loss"][1:], losses, rtol=1e-4)
    ]
    last = stats[(stats["run_id"] == close[0]) & (stats["step"] == EPOCHS * BATCHES)]
    norms = batch_norms(model).values()
    for column in ("running_mean", "running_var"):
        values = torch.cat([getattr(norm, column) for norm in norms]).numpy()
        np.testing.assert_allclose(last[column], values, rtol=1e-4, atol=1e-5)

    assert len(found) == 2
    assert len(close) == 1


def test_the_parts_of_an_error_add_up(stored: Path) -> None:
    """Initial + drift + noise is running − population, in σ, at every evaluation there was."""
    found = package.budget(stored / "mine")
    stats = package.read(stored / "mine", table="stats")
    both = found.merge(stats, on=["run_id", "step", "layer", "channel"])
    both = both[both["step"] > 0]
    parts = both["mean_initial"] + both["mean_drift"] + both["mean_noise"]
    error = (both["running_mean"] - both["population_mean"]) / both["population_var"] ** 0.5

    assert len(both) == 2 * 6 * EPOCHS * 22  # trainings, averages, evaluations, channels
    np.testing.assert_allclose(parts, both["mean_error"], atol=1e-12)
    np.testing.assert_allclose(parts, error, atol=2e-5)  # which the store rounds to float32


def test_what_averages_began_from_is_kept(tmp_path: Path) -> None:
    """A training that goes on from another's statistics: what is left of them is the first part."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    train(model, optimizer, batches(5))
    norms = batch_norms(model).values()
    began = torch.cat([norm.get_buffer("running_mean").clone() for norm in norms])
    with package.record(model, optimizer) as recorder:
        train(model, optimizer, batches(4, seed=1))
        recorder.evaluate(losses_on(TESTS), train=list(batches(4, seed=1)), momenta=[0.1])
    found = package.budget(recorder.save(tmp_path / "more", batch_size=16))
    plain = package.read(tmp_path / "more").query("`norm.estimator` == 'ema'")
    ema = plain[plain["norm.momentum"] == 0.1]["run_id"].item()
    last = found[(found["run_id"] == ema) & (found["step"] == 4)]
    stats = package.read(tmp_path / "more", table="stats").query("run_id == @ema and step == 4")
    sigma = np.sqrt(stats["population_var"].to_numpy())
    left = 0.9**4 * (began.numpy() - stats["population_mean"].to_numpy()) / sigma

    np.testing.assert_allclose(last["mean_initial"], left, atol=1e-5)


@pytest.mark.usefixtures("store")
def test_every_command_reads_them(normexp: Command, as_json: Callable[..., Any]) -> None:
    """`ls`, `show`, `verify`, `compare`, `budget`, `why` and `diff`, without a word of special."""
    assert {row["study"] for row in as_json("ls")} == {"mine", "pooled"}
    rows = as_json("ls", "mine")
    ids = [row["run"] for row in rows]
    shown = normexp("show", ids[0])
    compared = as_json("compare", "mine", "norm.momentum=0.1")
    budget = as_json("budget", ids[0])

    assert len(rows) == 12
    assert "model.name=SmallNet" in normexp("ls", "mine").output
    assert "recorded in a loop outside of normexp" in " ".join(shown.output.split())
    assert as_json("verify")["problems"] == []
    assert all(each["n"] == [2, 2] for each in compared["comparisons"])
    assert budget[0]["cost"] == {}
    for wanted in (ids[0], "mine"):
        assert NO_NETWORK in " ".join(normexp("budget", wanted).output.split())
    assert normexp("why", ids[0]).exit_code == 0
    assert normexp("diff", ids[0], ids[1]).exit_code == 0


@pytest.mark.usefixtures("store")
def test_a_report_leaves_out_what_needs_weights(normexp: Command) -> None:
    """With the reason; the error budget is drawn, and of pooled updates left out too."""
    mine, pooled = normexp("report", "mine"), normexp("report", "pooled")
    text = Path("runs/reports/mine/report.md").read_text()

    assert mine.exit_code == pooled.exit_code == 0
    for figure in ("Fitted curves", "Histograms of the layers"):
        assert f"{figure}: {NO_NETWORK}" in " ".join(mine.stderr.split())
    assert "Error budget of the running means" in text
    assert "it failed" not in mine.stderr + pooled.stderr
    assert "without the statistics of every batch" in " ".join(pooled.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "mine"], NO_NETWORK),
        (["budget", "pooled"], "without the statistics of every batch"),
        (["sweep", "data=loop"], "recorded in a loop outside of normexp"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_answered_says_so(
    normexp: Command, arguments: list[str], message: str
) -> None:
    """In one line and one hint, exit code 2."""
    result = normexp(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 2


def test_only_its_own_loop_reproduces_a_run(
    store: Path, normexp: Command, as_json: Callable[..., Any]
) -> None:
    """The run says so, exit code 2, and nothing is written."""
    run = as_json("ls", "mine")[0]["run"]
    result = normexp("reproduce", run)

    assert result.exit_code == 2
    assert "nothing else can train it" in result.stderr
    assert not [*store.rglob("certificate.json")]


def test_a_damaged_byte_is_found(store: Path, normexp: Command) -> None:
    """In any file of a run or training; what to do is to save the loop again."""
    tables = ("*/stats.parquet", "trajectories/*/batch_stats.parquet")
    for table in tables:
        path = next(store.glob(f"mine/{table}"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    result = normexp("verify", "--json")

    told = normexp("verify")
    loop(0, store / "mine")
    loop(1, store / "mine")
    again = normexp("verify")

    assert result.exit_code == told.exit_code == 4
    assert result.output.count("run the loop that it was recorded in again") == 2
    assert "a sweep that has it" not in told.stderr
    assert again.exit_code == 0, again.output


def test_saved_twice_is_the_same_to_the_bit(tmp_path: Path) -> None:
    """Under another name of the study too, manifests aside."""
    recorder = loop(0, tmp_path / "mine")
    before = contents(tmp_path / "mine")
    recorder.save(tmp_path / "mine", batch_size=SIZE)
    recorder.save(tmp_path / "yours", batch_size=SIZE)

    assert contents(tmp_path / "mine") == before
    assert contents(tmp_path / "yours").keys() == before.keys()
    assert all(
        content == before[name]
        for name, content in contents(tmp_path / "yours").items()
        if not name.endswith(".yaml")
    )


def test_a_later_save_takes_the_place_of_the_earlier(
    normexp: Command, as_json: Callable[..., Any]
) -> None:
    """Of the same recorder alone; what is left is sound."""
    mine = Path("runs/mine")
    loop(1, mine)
    before = contents(mine)
    torch.manual_seed(0)
    model, data = SmallNet(), list(batches(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with package.record(model, optimizer) as recorder:
        for _ in range(3):
            train(model, optimizer, iter(data))
            recorder.evaluate(losses_on(TESTS), train=data, momenta=[0.1])
            recorder.save(mine, batch_size=16)
    rows = as_json("ls", "mine")

    assert contents(mine).items() >= before.items()
    assert len(rows) == 6 + 4
    assert len([*mine.glob("trajectories/*")]) == len([*mine.glob("sweeps/*")]) == 2
    assert normexp("verify").exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"kind": "mlp", "input_norm": True}},
        {"data": {"kind": "quadratic"}},
        {"data": {"kind": "quadratic"}, "model": {"kind": "mlp"}},
        {"norm": {"kind": "ghost"}},
    ],
)
def test_half_a_recorded_loop_is_no_run(change: dict[str, Any]) -> None:
    """What a stranger may have made of a configuration: no reader goes on with it."""
    whole = {"data": {"kind": "loop"}, "model": {"kind": "own"}, "norm": {"kind": "batch"},
             "optim": {"kind": "own"}}  # fmt: skip

    assert understood(whole).model.kind == "own"
    with pytest.raises(NormexpError, match="not one of a run"):
        understood(whole | change)


def contents(study: Path) -> dict[str, bytes]:
    """All files of runs and trajectories but manifests."""
    paths = [*study.glob("batch-*/**/*"), *study.glob("trajectories/*/*")]
    return {
        str(path.relative_to(study)): path.read_bytes()
        for path in paths
        if path.is_file() and path.name != "manifest.json"
    }


def test_what_save_cannot_take_is_refused(tmp_path: Path) -> None:
    """Nothing evaluated, no batch size, a store of studies, and another training of its seed."""
    recorder = loop(0, tmp_path / "store" / "mine")
    other = loop(1, tmp_path / "other")
    unknown: DataLoader[Any] = DataLoader(list(batches(2)), batch_size=None)  # type: ignore[arg-type]
    other.evaluate(losses_on(TESTS), train=unknown)
    recorder.save(tmp_path / "named", batch_size=SIZE, seed=3)
    recorder.evaluations.clear()

    refused: list[tuple[Recorder, str, dict[str, int], str]] = [
        (recorder, "new", {"batch_size": SIZE}, "no evaluation with train="),
        (other, "new", {}, "the number of examples in a batch is not known"),
        (other, "store", {"batch_size": SIZE}, "a store, with the study mine"),
        (other, "named", {"batch_size": SIZE, "seed": 3}, "has another training"),
    ]
    for each, place, given, message in refused:
        with pytest.raises(UsageError, match=message) as error:
            each.save(tmp_path / place, **given)  # type: ignore[arg-type]
        assert error.value.hint
    assert not (tmp_path / "new").exists()
