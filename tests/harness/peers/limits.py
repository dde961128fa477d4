"""What this machine allows: arithmetic, memory bandwidth, and writing Parquet and nothing else."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from reference import batch_norm

from peers import draws
from peers.work import WORKS, Work

NETWORKS = 32
"""So many networks' matrices stay in a core's second-level cache."""

SAMPLE = 400
"""Runs whose tables are written."""


def main(store: Path) -> None:
    """One line of JSON: microseconds of a network-step, GB/s, and milliseconds of a run.

    Args:
        store: a study's directory that normexp has left.
    """
    torch.set_num_threads(1)
    work = WORKS["b"]
    bandwidth = copy_bytes_a_second()
    print(
        json.dumps(
            {
                "products": products_seconds(work) * 1e6,
                "copy": bandwidth / 1e9,
                "traffic": step_bytes(work) / bandwidth * 1e6,
                "parquet": parquet_seconds(store) * 1e3,
            }
        )
    )


def products_seconds(work: Work) -> float:
    """A step's matrix products of one network: forward, and by weights and inputs backward."""
    shapes = {n: s for n, s in draws.shapes(work).items() if len(s) > 1}
    batch = work.batch_size
    products = [(out, into, batch) for out, into in shapes.values()]
    products += [(out, batch, into) for out, into in shapes.values()]
    products += [(into, out, batch) for out, into in list(shapes.values())[1:]]
    return sum(_product_seconds(*each) for each in products) / NETWORKS


def copy_bytes_a_second() -> float:
    """Bytes read and written by copying 256 MB, on one core."""
    source = torch.ones(2**26)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _seconds(lambda: target.copy_(source), 1)


def step_bytes(work: Work) -> float:
    """Bytes of a network-step if nothing stayed in any cache, each number moved seldom.

    Each layer's product, norm and activation are read and written, forward and backward; Adam reads
    weight, gradient and two moments, and writes all but the gradient.
    """
    network = draws.network(work, batch_norm())
    numbers = sum(parameter.numel() for parameter in network.parameters())
    activations = work.batch_size * sum(draws.sites(work).values())
    return 4.0 * (activations * 3 * 2 * 2 + numbers * 8)


def parquet_seconds(store: Path) -> float:
    """Writing a run's tables as normexp has encoded them, trajectories' shared between runs."""
    runs = sorted(path.parent for path in store.glob("*/metrics.parquet"))
    some = [*runs[:SAMPLE], *_share(store, len(runs), min(SAMPLE, len(runs)))]
    tables = [pq.read_table(path) for own in some for path in own.glob("*.parquet")]
    with tempfile.TemporaryDirectory(dir=store) as place:
        start = time.perf_counter()
        for number, table in enumerate(tables):
            numbers = [f.name for f in table.schema if pa.types.is_floating(f.type)]
            keys = [name for name in table.column_names if name not in numbers]
            pq.write_table(
                table,
                f"{place}/{number}.parquet",
                compression="zstd",
                use_dictionary=keys,
                column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
                write_statistics=False,
            )
        return (time.perf_counter() - start) / min(SAMPLE, len(runs))


def _share(store: Path, runs: int, some: int) -> list[Path]:
    """As many trajectories as so many of the runs have."""
    trajectories = sorted((store / "trajectories").iterdir())
    return trajectories[: max(1, len(trajectories) * some // runs)]


def _product_seconds(rows: int, inner: int, columns: int) -> float:
    """Of 32 networks at once."""
    left, right = torch.randn(NETWORKS, rows, inner), torch.randn(NETWORKS, inner, columns)
    out = torch.empty(NETWORKS, rows, columns)
    return _seconds(lambda: torch.bmm(left, right, out=out), 50)


def _seconds(work: Callable[[], object], times: int) -> float:
    """The median of some tries, after one that does not count."""
    tries = []
    for _ in range(8):
        start = time.perf_counter()
        for _ in range(times):
            work()
        tries.append((time.perf_counter() - start) / times)
    return median(tries[1:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
