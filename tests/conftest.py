"""What the tests share: a store of their own and the command line, in this process or a new one."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch: workers of pytest share the cores

import pytest
from typer.testing import CliRunner, Result

from normexp.cli import app

if TYPE_CHECKING:
    from ray_cluster import Cluster

Command = Callable[..., Result]
"""Type of the fixture `normexp`."""

AsJson = Callable[..., Any]
"""Type of the fixture `as_json`."""

SMALL = ["model.depth=2", "model.width=4", "data.train_size=40", "data.test_size=20",
         "train.batch_size=16", "train.epochs=2"]  # fmt: skip
"""Overrides for a study that trains in milliseconds: 3 batches an epoch, the last of 8."""

STORED = [*SMALL, "norm=none,batch", "norm.momentum=0.1,null", "seed=0,1"]
"""The study of the store that tests share: six runs of four trajectories."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has an empty working directory, and so a store of its own, and no screen."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "RAY_ADDRESS"):  # whoever runs the tests may have set them
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def normexp() -> Command:
    """The command line, in this process."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return call


@pytest.fixture
def command(normexp: Command) -> Command:
    """The same, for tests that import the package."""
    return normexp


@pytest.fixture
def as_json(normexp: Command) -> AsJson:
    """The command line with `--json`, its answer read."""

    def call(*arguments: str) -> Any:  # noqa: ANN401
        result = normexp(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return call


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Slurm; where it cannot be started the tests say so, and in CI they fail."""
    import slurm

    reason = slurm.missing()
    if reason is not None:
        assert "NORMEXP_NEEDS_CLUSTER" not in os.environ, f"{reason}, though CI needs it"
        pytest.skip(reason)
    with slurm.cluster() as conf:
        yield conf


@pytest.fixture(scope="session")
def two_nodes() -> Iterator["Cluster"]:
    """A Ray cluster that every test leaves as it was."""
    import ray_cluster

    ray_cluster.need_ray()
    with ray_cluster.cluster() as there:
        yield there


class Blank:
    """Draws nothing, in the place of a report's renderer."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def draw(self, figure: Any) -> None:  # noqa: ANN401
        """Remember a figure that has a chart."""
        self._names += [figure.name] if getattr(figure, "chart", None) is not None else []

    def pictures(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield names, and files without content."""
        yield from ((name, b"", b"") for name in self._names)

    def close(self) -> None:
        """There is no process to end."""


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports whose pictures are empty: drawing takes seconds, and other reports have them."""
    monkeypatch.setattr("normexp.report.render.Renderer", Blank)


def in_new_process(code: str) -> str:
    """What a new interpreter prints for this code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def run_files(store: Path) -> dict[str, bytes]:
    """Every file of every run, manifests aside, by run id and relative name."""
    found = {}
    for metrics in store.glob("*/*/metrics.parquet"):
        run = metrics.parent
        for path in run.rglob("*"):
            if path.is_file() and path.name != "manifest.json":
                found[f"{run.name[-12:]}/{path.relative_to(run)}"] = path.read_bytes()
    return found


def store_of(place: Path, *overrides: str) -> Path:
    """A store with one sweep in it, for fixtures that outlive a test."""
    result = CliRunner().invoke(app, ["sweep", *overrides, f"store.dir={place}"])
    assert result.exit_code == 0, result.output
    return place


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of `STORED`, made once and never changed."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *STORED)


@pytest.fixture
def study(whole: Path) -> Path:
    """The directory of that study in this test's own store."""
    shutil.copytree(whole, "runs")
    return Path("runs/bn_regression")


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with eight arms of three seeds, and its report: no test changes it.

    The first of pytest's workers makes it for all.
    """
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    with (place / "reported.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "reported").exists():
            making = tmp_path_factory.mktemp("reported")
            small = [each for each in SMALL if "batch_size" not in each]
            axes = ["norm=none,batch", "norm.momentum=0.1,0.5,null", "train.batch_size=8,16"]
            store_of(making, *small, *axes, "seed=range(3)")
            result = CliRunner().invoke(app, ["report", "bn_regression", "--dir", str(making)])
            assert result.exit_code == 0, result.output
            making.rename(place / "reported")
    return place / "reported"


@pytest.fixture(scope="session")
def page(reported: Path) -> str:
    """The page of that report."""
    return (reported / "reports/bn_regression/report.html").read_text("utf-8")
