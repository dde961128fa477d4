"""Schedules: what the learning rate is multiplied with, by step."""

import math


def scale(schedule: str, step: int, steps: int) -> float:
    """The factor of the step-th of so many steps, counted from 0.

    Constant, or half a cosine from 1 to 0 as `torch.optim.lr_scheduler.CosineAnnealingLR` stepped
    after every batch (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    return (1 + math.cos(math.pi * step / steps)) / 2 if schedule == "cosine" else 1.0
