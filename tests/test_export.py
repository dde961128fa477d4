"""Exports read back by the tools themselves: the numbers of `normexp.read`, to the last digit."""

import json
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import STORED, AsJson, Command
from running import until

import normexp
from normexp.export import EXPORTERS
from normexp.sweeps.events import Event

Numbers = dict[tuple[str, int, str], float]
"""By run, step and name."""

TOOLS = ("csv", "parquet", "tensorboard", "wandb", "mlflow", "trackio")


def stored() -> Numbers:
    """What `normexp.read` says of the store, an error of a layer with the layer's name."""
    layers = normexp.read("runs", "layers").pivot_table(
        index=["run_id", "step"], columns="layer", observed=True
    )
    layers.columns = pd.Index(["/".join(each) for each in layers.columns])
    return {**of_points(normexp.read("runs", "metrics")), **of_points(layers.reset_index())}


def of_points(frame: pd.DataFrame) -> Numbers:
    """What a table with a row a step has."""
    rows = frame.melt(["run_id", "step"]).dropna().itertuples(index=False)
    return {(str(run), int(step), name): float(value) for run, step, name, value in rows}


def of_csv(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run."""
    exact: Any = {"float_precision": "round_trip"}
    runs = pd.read_csv(place / "runs.csv", **exact).set_index("run_id")
    return of_points(pd.read_csv(place / "points.csv", **exact)), dict(runs["norm.momentum"])


def of_parquet(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run."""
    runs = pd.read_parquet(place / "runs.parquet")
    pd.testing.assert_frame_equal(runs, normexp.read("runs"), check_like=True)
    points = pd.read_parquet(place / "points.parquet")
    return of_points(points), dict(runs.set_index("run_id")["norm.momentum"])


def of_tensorboard(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    found, momenta = {}, {}
    for directory in place.glob("bn_regression/*"):
        run = directory.name[-12:]
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
        events.Reload()
        for name in events.Tags()["scalars"]:
            for each in events.Scalars(name):
                found[run, each.step, name] = each.value
        (content,) = events.summary_metadata.values()
        fields = parse_session_start_info_plugin_data(content.plugin_data.content).hparams
        momenta[run] = fields["norm.momentum"].number_value if "norm.momentum" in fields else None
        assert fields["model.activation"].string_value == "tanh"
    return found, momenta


def of_mlflow(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run, by MLflow's client."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.resolve()}/mlflow.db")
    study = client.get_experiment_by_name("bn_regression")
    assert study is not None
    found, momenta = {}, {}
    for each in client.search_runs([study.experiment_id]):
        run = each.data.tags["normexp.run_id"]
        momentum = each.data.params.get("norm.momentum", "None")
        momenta[run] = None if momentum == "None" else float(momentum)
        assert each.info.status == "FINISHED"
        for name in each.data.metrics:
            for metric in client.get_metric_history(each.info.run_id, name):
                found[run, metric.step, name] = metric.value
    return found, momenta


def records(file: Path) -> Iterator[Any]:
    """Yield the records of a run of W&B: LevelDB's log format, see leveldb/doc/log_format.md."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = file.read_bytes(), 7, b""  # behind W&B's own seven bytes
    block, head = 2**15, 7
    while place + head <= len(content):
        if block - place % block < head:  # no room for a head
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + head])
        parts += content[place + head : place + head + length]
        place += head + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def of_wandb(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run, from the file that `wandb sync` reads."""
    found, momenta = {}, {}
    for file in place.glob("bn_regression/*/wandb/offline-run-*/run-*.wandb"):
        for record in records(file):
            if record.HasField("run"):
                run = record.run
                fields = {each.key: json.loads(each.value_json) for each in run.config.update}
                momenta[run.run_id] = fields.get("norm.momentum")
                assert run.project == "bn_regression"
            if record.HasField("history"):
                row = {each.key or "/".join(each.nested_key): json.loads(each.value_json)
                       for each in record.history.item}  # fmt: skip
                for name, value in row.items():
                    if not name.startswith("_"):
                        found[run.run_id, row["_step"], name] = value
    return found, momenta


def of_trackio(place: Path) -> tuple[Numbers, dict[str, Any]]:
    """The numbers, and the momentum of each run, by Trackio's own reader."""
    from trackio import Api, sqlite_storage

    sqlite_storage.TRACKIO_DIR = place
    found, momenta = {}, {}
    for run in Api().runs("bn_regression"):
        momenta[run.id] = run.config.get("norm.momentum")
        for row in sqlite_storage.SQLiteStorage.get_logs(run.project, run.name, run_id=run.id):
            step = row.pop("step")
            row.pop("timestamp")
            found.update({(run.id, step, name): value for name, value in row.items()})
    return found, momenta


OF_TOOLS = (of_csv, of_parquet, of_tensorboard, of_wandb, of_mlflow, of_trackio)
READERS = dict(zip(TOOLS, OF_TOOLS, strict=True))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What is asked of the network, which a proxy of this test hears first."""
    heard: list[bytes] = []

    def listen() -> None:
        content = b""
        while content != b"end":
            heard.extend([content] if content else [])
            with server.accept()[0] as each:
                content = each.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = threading.Thread(target=listen)
        listener.start()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield heard
        with socket.create_connection(server.getsockname()) as last:
            last.sendall(b"end")
        listener.join()


@pytest.mark.filterwarnings("ignore")  # of the tools
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.usefixtures("study")
def test_a_tool_reads_what_read_gives(tool: str, as_json: AsJson) -> None:
    """Every number of every run, and its momentum; a second export adds nothing."""
    if tool not in ("csv", "parquet"):
        pytest.importorskip(tool)
    first = as_json("export", "bn_regression", "seed=0", "--to", tool)
    second = as_json("export", "--to", tool)
    third = as_json("export", "bn_regression", "--to", tool)
    place = Path(first["place"])
    numbers, momenta = READERS[tool](place)
    wanted = stored()
    if tool == "tensorboard":
        wanted = {key: float(np.float32(value)) for key, value in wanted.items()}

    assert place == Path("runs/exports") / tool
    anew = tool in ("csv", "parquet")
    assert [(each["runs"], each["new"]) for each in (first, second, third)] == [
        (3, 3), (6, 6 if anew else 3), (6, 6 if anew else 0),
    ]  # fmt: skip
    assert numbers == wanted
    momentum = normexp.read("runs").set_index("run_id")["norm.momentum"]
    assert pd.Series(momenta, dtype=float).sort_index().equals(momentum.sort_index().rename(None))
    assert as_json("verify")["problems"] == []


@pytest.mark.filterwarnings("ignore")  # of the tools
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.usefixtures("study")
def test_a_sweep_hands_over_its_runs(
    tool: str, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new ones while it runs, in the end all; an export afterwards adds nothing."""
    if tool not in ("csv", "parquet"):
        pytest.importorskip(tool)
    monkeypatch.setattr("normexp.sweeps.events.EXPORT_SECONDS", 0.05)
    place, meanwhile = Path("runs/exports", tool), list[bool]()

    def wait(event: Event) -> None:
        if event.kind == "observed":
            end = time.monotonic() + 60
            while not any(place.rglob("*.*")) and time.monotonic() < end:
                time.sleep(0.01)
            meanwhile.append(any(place.rglob("*.*")))

    done = normexp.sweep(*STORED, "seed=range(3)", f"log.to={tool}", progress=wait)
    numbers, _ = READERS[tool](place)
    wanted = stored()
    if tool == "tensorboard":
        wanted = {key: float(np.float32(value)) for key, value in wanted.items()}

    assert (done.observed, done.warnings, meanwhile) == (3, [], [True] * 3)
    assert numbers == wanted
    assert as_json("export", "--to", tool)["new"] == (9 if tool in ("csv", "parquet") else 0)
    assert not any("log.to" in path.read_text() for path in Path("runs").rglob("manifest.json"))


@pytest.mark.usefixtures("study")
def test_a_sweep_outlives_its_export(command: Command) -> None:
    """One line says what failed, and what to type; a tool that is known and one only."""
    Path("runs/exports").symlink_to("elsewhere")
    done = command("sweep", *STORED, "log.to=csv")

    assert done.exit_code == 0
    (line,) = [each for each in done.stderr.splitlines() if "log.to" in each]
    assert line.startswith("warning: log.to=csv: runs/exports is a link")
    assert line.endswith("normexp export bn_regression --to csv --dir runs")
    assert command("sweep", *STORED, "log.to=csv,parquet").exit_code == 2
    assert f"{', '.join(TOOLS[:-1])} or {TOOLS[-1]}" in command("sweep", "log.to=excel").stderr
    assert set(TOOLS) == {*EXPORTERS}


@pytest.mark.parametrize("tool", ["wandb", "mlflow", "trackio"])
@pytest.mark.usefixtures("study")
def test_nothing_is_sent(tool: str, asked: list[bytes]) -> None:
    """Neither runs nor what a tool reports of itself, until its processes have ended."""
    pytest.importorskip(tool)
    command = [sys.executable, "-m", "normexp", "export", "norm=none", "--to", tool]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert asked == []


@pytest.mark.filterwarnings("ignore")  # of the tools
@pytest.mark.usefixtures("study")
def test_an_export_to_mlflow_that_was_killed_is_ended_by_the_next(as_json: AsJson) -> None:
    """By SIGKILL while MLflow makes its tables, then between the numbers of a run."""
    pytest.importorskip("mlflow")
    place = Path("runs/exports/mlflow")
    command = [sys.executable, "-m", "normexp", "export", "--to", "mlflow"]
    for moment in (lambda: [*place.rglob("*.db")], lambda: begun(place)):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(moment, process)
        process.kill()
        process.wait()
    made = as_json("export", "--to", "mlflow")

    assert made["new"] > 0
    assert of_mlflow(place)[0] == stored()


def begun(place: Path) -> int:
    """How many numbers of runs MLflow has."""
    try:
        with closing(sqlite3.connect(f"file:{place}/mlflow.db?mode=ro", uri=True)) as there:
            return int(there.execute("select count(*) from metrics").fetchone()[0])
    except sqlite3.OperationalError:  # none yet
        return 0


@pytest.mark.filterwarnings("ignore")  # of the tools
@pytest.mark.usefixtures("study")
def test_what_a_tool_refuses_is_said_in_a_line(command: Command) -> None:
    """A file that is no database stays as it was."""
    pytest.importorskip("mlflow")
    database = Path("runs/exports/mlflow/mlflow.db")
    database.parent.mkdir(parents=True)
    database.write_bytes(b"something else" * 100)
    done = command("export", "--to", "mlflow")

    assert done.exit_code == 1
    assert done.stderr.splitlines()[-2].startswith("error: mlflow cannot use runs/exports/mlflow: ")
    assert done.stderr.splitlines()[-1].startswith("hint: move it away")
    assert database.read_bytes() == b"something else" * 100


@pytest.mark.usefixtures("study")
def test_exports_have_their_place(as_json: AsJson, command: Command, tmp_path: Path) -> None:
    """In the store they count as no study; elsewhere where it was typed; no link is followed."""
    as_json("export", "--to", "csv")
    as_json("export", "--to", "csv", "--out", "tables", "norm=none")

    assert [row["study"] for row in as_json("du")] == ["bn_regression", "exports"]
    assert len(pd.read_csv("tables/runs.csv")) == 2
    shutil.rmtree("runs/exports")
    Path("runs/exports").symlink_to(tmp_path)
    assert "is a link" in command("export", "--to", "csv").stderr
    assert command("sweep", "norm=none", "--as", "exports").exit_code == 2


@pytest.mark.usefixtures("study")
def test_what_is_not_there_is_said(
    command: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line and one hint: a tool that nobody knows, or that is not installed."""
    tools = ("tensorboard", "mlflow", "wandb", "trackio")
    for module in [*tools, *(each for each in sys.modules if each.partition(".")[0] in tools)]:
        monkeypatch.setitem(sys.modules, module, None)
    for tool in tools:
        done = command("export", "--to", tool)

        assert done.exit_code == 2
        assert done.stderr.splitlines()[0].startswith(f"error: --to {tool} needs {tool}")
        assert done.stderr.splitlines()[1] == f"hint: type pip install {tool}"
        done = command("sweep", *STORED, "seed=2", f"log.to={tool}")
        assert done.exit_code == 2
        assert done.stderr.splitlines()[0] == f"error: log.to={tool} needs {tool}"
    assert len(as_json("ls")) == 1
    assert "tool 'excel' is unknown; there is csv" in command("export", "--to", "excel").stderr
    assert command("export", "nothing", "--to", "csv").exit_code == 3
