"""Named streams of random numbers, all from a run's seed.

One stream a purpose, so that drawing more of one never shifts another: arms with the same seed
share their data, their batch order and, where shapes agree, their initial weights.
"""

import hashlib

import torch


def stream(seed: int, *name: str | int) -> torch.Generator:
    """The generator for one purpose of one seed, such as `stream(3, "order", 0)`."""
    text = "/".join(map(str, (seed, *name)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)
