"""normexp runs studies of normalization momentum, and says what can be trusted.

A *study* is a named set of *runs*: a base configuration and its sweep axes. Runs whose weights are
equal at every step share a *trajectory*, what one training yields; trajectories of one structure
train together as a *stack*. A run differs from its siblings by its *estimator*, which turns the
trajectory's batch statistics into the running statistics that evaluation uses.

    >>> import normexp
    >>> result = normexp.sweep("norm=batch", "norm.momentum=0.1,0.5", "seed=range(8)")
    >>> result = normexp.sweep(norm="batch", seed=range(8), **{"norm.momentum": [0.1, 0.5]})
    >>> frame = normexp.read(result.directory)

`load`, `plan` and `sweep` take what the commands take, as texts or as keywords, and do what they
do; `read` gives pandas, and `budget` says in pandas what running statistics are off by. `record`
sits in a loop of your own, and says the same of any `torch.nn.Module`; `lint` says what is wrong
with its batch norms, and `recalibrate` takes their statistics anew from data.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from normexp.errors import NormexpError as NormexpError
    from normexp.insight.budget import budget as budget
    from normexp.own.lint import lint as lint
    from normexp.own.population import recalibrate as recalibrate
    from normexp.own.recorder import record as record
    from normexp.store.stored import read as read
    from normexp.study.study import load as load
    from normexp.sweeps.sweep import plan as plan
    from normexp.sweeps.sweep import sweep as sweep

# Read by MKL at its first call, hence set before anybody can make one. The same bits on all
# processors that have AVX2.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")

__all__ = [
    "NormexpError",
    "budget",
    "lint",
    "load",
    "plan",
    "read",
    "recalibrate",
    "record",
    "sweep",
]

_ROOMS = {
    "NormexpError": "normexp.errors",
    "load": "normexp.study.study",
    "plan": "normexp.sweeps.sweep",
    "sweep": "normexp.console.progress",
    "read": "normexp.store.stored",
    "budget": "normexp.insight.budget",
    "lint": "normexp.own.lint",
    "recalibrate": "normexp.own.population",
    "record": "normexp.own.recorder",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import what is first asked for: completion and `--help` must not wait for Hydra."""
    if name == "__version__":
        from importlib.metadata import version  # slow, and completion needs none

        return version("normexp")
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'normexp' has no attribute {name!r}")
