"""What every peer logs of a run: test losses and running statistics, as Parquet."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peers.work import Run, Work

Numbers = np.ndarray[Any, Any]


def write(  # noqa: PLR0913, PLR0917
    place: Path,
    work: Work,
    run: Run,
    sites: dict[str, int],
    test_loss: Numbers,
    mean: Numbers,
    var: Numbers,
) -> None:
    """Leave `metrics.parquet` and `stats.parquet` in a directory of the run's own.

    Args:
        place: where the runs' directories stand.
        work: that the run belongs to.
        run: whose results these are.
        sites: its norms by name and their channels.
        test_loss: [points].
        mean: running means at the logged steps, [rows, channels].
        var: running variances there.
    """
    own = place / f"m{run.momentum:g}-s{run.seed}"
    own.mkdir(parents=True, exist_ok=True)
    points = np.arange(work.epochs + 1, dtype=np.int32)
    metrics = {"step": points * len(work.sizes), "epoch": points, "test_loss": test_loss}
    pq.write_table(pa.table(metrics), own / "metrics.parquet")
    grid = _grid(tuple(work.logged), tuple(sites.items()))
    stats = {**grid, "running_mean": mean.ravel(), "running_var": var.ravel()}
    pq.write_table(pa.table(stats), own / "stats.parquet")


@cache
def _grid(steps: tuple[int, ...], sites: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """The columns step, layer and channel, which all runs of a work share."""
    widths = [width for _, width in sites]
    layers = np.tile(np.repeat(np.arange(len(sites), dtype=np.int32), widths), len(steps))
    names = pa.array([name for name, _ in sites])
    channels = np.concatenate([np.arange(width, dtype=np.int32) for width in widths])
    return {
        "step": np.repeat(np.array(steps, dtype=np.int32), sum(widths)),
        "layer": pa.DictionaryArray.from_arrays(pa.array(layers), names),
        "channel": np.tile(channels, len(steps)),
    }
