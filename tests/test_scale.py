"""What a study of a million runs needs of plans, stacks and the store."""

import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Command

from normexp.store.layout import FEW, looked
from normexp.store.sweep import tidy
from normexp.study.study import load
from normexp.sweeps import sweep
from normexp.sweeps.execute import execute
from normexp.sweeps.plan import Inventory, Plan, build

STACKS = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "executor.stack_size=32",
          "executor.workers=1"]  # fmt: skip
ONE = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0"]


def test_a_stack_takes_few_bytes_a_run_on_its_way_to_a_worker() -> None:
    """Runs share what they have in common, and carry no second copy of their fields."""
    sizes = [
        len(pickle.dumps(build(load(*STACKS, f"seed=range({n})"), Inventory()).stacks))
        for n in (16, 32)
    ]

    assert (sizes[1] - sizes[0]) / 32 < 400


def test_directories_are_looked_at_side_by_side_where_one_has_to_wait() -> None:
    """The first are waited for; then so many at a time that four meet, and the order is kept.

    Where none has to wait, threads would only take turns, and there are none.
    """
    paths = [Path(str(number)) for number in range(FEW + 8)]
    meeting = threading.Barrier(4, timeout=600)

    def wait(path: Path) -> str:
        if int(path.name) < FEW:
            time.sleep(0.001)
        else:
            meeting.wait()
        return path.name

    def work(_: Path) -> int:
        sum(range(2000))
        return threading.get_ident()

    assert list(looked(paths, wait)) == [path.name for path in paths]
    assert {*looked([Path()] * 4 * FEW, work)} == {threading.get_ident()}


def test_a_stack_does_not_read_the_directory_of_all_runs(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So often is it read for one stack as for three."""
    study, scandir = Path("runs/bn_regression"), os.scandir
    read: list[str] = []

    def reading(path: Any = ".") -> Any:  # noqa: ANN401
        read.extend([str(path)] if Path(path) == study else [])
        return scandir(path)

    monkeypatch.setattr(os, "scandir", reading)
    counts = []
    for seeds in ("range(32)", "range(100,196)"):
        read.clear()
        assert normexp("sweep", *STACKS, f"seed={seeds}").exit_code == 0
        counts.append(len(read))

    assert counts[0] == counts[1] > 0


def test_a_run_that_another_sweep_made_since_the_plan_is_found_under_its_label(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not made a second time beside it."""

    def meanwhile(*arguments: Any) -> None:  # noqa: ANN401
        monkeypatch.setattr(sweep, "tidy", tidy)
        assert normexp("sweep", *ONE, "train.epochs=2,3").exit_code == 0
        tidy(*arguments)

    monkeypatch.setattr(sweep, "tidy", meanwhile)
    result = normexp("sweep", *ONE)

    assert result.exit_code == 0, result.stderr
    names = sorted(path.parent.name for path in Path().glob("runs/*/*/metrics.parquet"))
    assert [name.rpartition("-")[0] for name in names] == ["batch-m0.1-e2-s0", "batch-m0.1-e3-s0"]


def test_a_stack_that_is_worked_on_again_makes_nothing_twice(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a worker was lost at the very end: its runs are found by their names."""
    before = dict[Path, int]()

    def again(plan: Plan, worker: Any, listen: Any) -> Any:  # noqa: ANN401
        worker.work(plan.stacks[0], listen)
        before.update(_times())
        return execute(plan, worker, listen)

    monkeypatch.setattr(sweep, "execute", again)
    result = normexp("sweep", *ONE, "norm.momentum=0.1,0.5")

    assert result.exit_code == 0, result.stderr
    assert len(before) == 2
    assert before == _times()


def _times() -> dict[Path, int]:
    """When each run was written."""
    return {path: path.stat().st_mtime_ns for path in Path().glob("runs/*/*/metrics.parquet")}
