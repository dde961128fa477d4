"""Freed memory, kept for the arrays to come."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

KEPT_BYTES = 2**27
"""Free memory that the process keeps."""

LARGEST_BYTES = 2**24
"""Arrays up to this size come from what is kept."""


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
