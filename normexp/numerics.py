"""Streams of random numbers, and settings under which a network's bits do not depend on its stack.

One stream a purpose, all from a run's seed, so that drawing more of one never shifts another: arms
with the same seed share their data, their batch order and, where shapes agree, initial weights.

Three things could make bits depend on the stack: a scalar tail of an element-wise operation (stacks
are padded to whole vectors), the number of threads (a stack runs on one), and the alignment of its
matrices in memory. The last is MKL's doing: it picks kernels by alignment unless told otherwise,
and a network's place in the stack decides how its matrices are aligned. Measured on an AMD EPYC:
with 7 units and batches of 13, reversing a stack changed the weights by 2.8 after 60 steps; with
MKL_CBWR set, as `import normexp` does, not in the last bit.
"""

import ctypes
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


def stream(seed: int, *name: str | int) -> torch.Generator:
    """The generator for one purpose of one seed, such as `stream(3, "order", 0)`."""
    text = "/".join(map(str, (seed, *name)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


@cache
def company_matters() -> bool:
    """Return whether a matrix product depends on its place in a batch here: it must not.

    It does where MKL was called before normexp was imported, and may with another library.
    """
    rng = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((7, 13, 7), (10, 64, 1), (13, 50, 13), (10, 10, 64)):
        for dtype in (torch.float32, torch.float64):
            left = torch.randn(64, rows, inner, generator=rng, dtype=dtype)
            right = torch.randn(64, inner, columns, generator=rng, dtype=dtype)
            if not torch.equal(left.flip(0) @ right.flip(0), (left @ right).flip(0)):
                return True
    return False


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch's operations on the calling thread alone; parallelism comes from stacks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

KEPT_BYTES = 2**27
"""Free memory that the process keeps."""

LARGEST_BYTES = 2**24
"""Arrays up to this size are taken from that memory."""


def keep_freed_memory() -> None:
    """Ask the C library, if it is glibc, to give freed arrays to the next ones.

    By default it gives them back to the system, which clears every page anew. An evaluation of 128
    networks of 8 layers of 10 units took 0.90 ms a network without and 0.62 with it.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES)
