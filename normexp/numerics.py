"""Streams of random numbers, and PyTorch on one thread.

One stream a purpose, all from a run's seed, so that drawing more of one never shifts another: arms
with the same seed share their data, their batch order and, where shapes agree, initial weights.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, *name: str | int) -> torch.Generator:
    """The generator for one purpose of one seed, such as `stream(3, "order", 0)`."""
    text = "/".join(map(str, (seed, *name)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch's operations on the calling thread alone; parallelism comes from stacks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
