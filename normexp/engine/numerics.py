"""The settings under which a network's bits do not depend on its company.

Three things could make them: a scalar tail of an element-wise operation (stacks are padded to whole
vectors), the number of threads (a stack runs on one), and the alignment of its matrices in memory.
The last is MKL's doing: it picks its kernels by alignment unless told otherwise, and a network's
place in the stack decides how its matrices are aligned. Measured on an AMD EPYC: with 7 units and
batches of 13, reversing a stack changed the weights by 2.8 after 60 steps; with MKL_CBWR set, as
`import normexp` does, not in the last bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


@cache
def company_matters() -> bool:
    """Whether a matrix product depends on its place in a batch here: it must not.

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
    """PyTorch's operations on the calling thread alone; parallelism comes from stacks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
