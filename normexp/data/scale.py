"""Numbers that a training's arithmetic cannot hold, refused before it trains.

Values alone are not enough: the squares that a variance or a squared error is made of must be
finite and above zero, and the steps between neighbouring floating-point numbers small against what
the values vary by. Needs neither torch nor, for data that are drawn, NumPy.
"""

import math
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from normexp.config.data import Arrays, Data, Drift, Quadratic
from normexp.config.network import Mlp
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig, total_steps, train_size
from normexp.errors import UsageError


class Arithmetic(NamedTuple):
    """IEEE 754: the largest and the smallest normal number, and the digits of a mantissa."""

    largest: float
    smallest: float
    digits: int


DTYPES = {
    "float32": Arithmetic(float.fromhex("0x1.fffffep127"), 2.0**-126, 24),
    "float64": Arithmetic(sys.float_info.max, sys.float_info.min, 53),
}

COARSE = 1 / 8
"""Largest step that is let through, in standard deviations.

Standard normal features with an offset, trained in float32: with steps of 1/16 as well as without
(accuracy .984 and .974), of 1/4 the loss is half as high again, of 1/2 thrice as high.
"""

CONSTANT = 4
"""Steps of float64 that a feature may vary by, below `MODEST`, and be a constant's rounding."""

MODEST = 2.0**20


class Spread(NamedTuple):
    """Largest absolute value of a column, and its standard deviation."""

    name: str
    largest: float
    std: float


def check_scale(config: RunConfig) -> None:
    """Refuse data whose variance or whose steps the run's dtype cannot hold.

    Raises:
        UsageError: the column, what is wrong with it, and what to do.
    """
    model, data, dtype = config.model, config.data, config.train.dtype
    standardised = isinstance(model, Mlp) and bool(model.input_norm)
    before_cast = standardised and not isinstance(config.norm, BatchKind)
    dtypes = ("float64" if before_cast else dtype, dtype)
    batch = min(config.train.batch_size, train_size(config))
    steps = total_steps(config) if isinstance(data, Drift) else 0
    _check(data, dtypes, batch, steps, isinstance(model, Mlp) and not standardised)


@lru_cache(maxsize=256)
def _check(
    data: Data,
    dtypes: tuple[str, str],
    batch: int,
    steps: int,
    may_standardise: bool,  # noqa: FBT001
) -> None:
    """`check_scale` by what it depends on, which most runs of a sweep share."""
    for column in _spreads(data, steps):
        is_x = column.name.startswith(("x", "test_x"))
        problem = _problem(column, dtypes[0] if is_x else dtypes[1], batch)
        if problem is None:
            continue
        place = f"{data.path}: " if isinstance(data, Arrays) else f"data={data.kind}: "
        hint = _remedy(data, column.name)
        if _problem(column, "float64", batch) is None:
            hint += ", or type train.dtype=float64"
            hint += " or model.input_norm=true" if is_x and may_standardise else ""
        raise UsageError(f"{place}{column.name} {problem}", hint)


def _problem(column: Spread, dtype: str, batch: int) -> str | None:
    """Return the problem that a dtype has with a column, if any."""
    _, largest, std = column
    arithmetic = DTYPES[dtype]
    if not largest <= math.sqrt(arithmetic.largest / batch):
        return (
            f"reaches {largest:.3g}: in {dtype} the squares of a batch of {batch} sum up to more "
            f"than {arithmetic.largest:.2g}, its largest number"
        )
    if std == 0 or (largest < MODEST and std <= CONSTANT * math.ulp(largest)):
        return None
    if std < math.sqrt(arithmetic.smallest):
        return (
            f"varies by {std:.3g}: its variance is below {arithmetic.smallest:.2g}, the smallest "
            f"number of {dtype}"
        )
    step = math.ldexp(1, math.frexp(largest)[1] - arithmetic.digits)
    if step > COARSE * std:
        return (
            f"reaches {largest:.6g} and varies by {std:.3g}: there {dtype} has steps of {step:.3g}"
        )
    return None


def _remedy(data: Data, name: str) -> str:
    if isinstance(data, Arrays):
        part = name.partition("[")[0]
        return f"save it scaled, such as ({part} - {part}.mean(0)) / {part}.std(0)"
    if isinstance(data, Drift):
        return "type a smaller data.rate or data.noise_std"
    return "type data.low=-7 data.high=10 data.noise_std=2, or others like these"


def _spreads(data: Data, steps: int) -> Iterator[Spread]:
    """The columns of data that can have any scale."""
    if isinstance(data, Arrays):
        from normexp.data.files import spreads

        yield from spreads(data)
    if isinstance(data, Quadratic):
        x = [data.low + (data.high - data.low) * part / 64 for part in range(65)]
        y = [each * each for each in x]
        yield Spread("x", max(map(abs, x)), _std(x))
        yield Spread("y", max(y) + 5 + 4 * data.noise_std, math.hypot(_std(y), data.noise_std))
    if isinstance(data, Drift):
        shift = data.rate * (steps if data.motion == "linear" else 4 * math.sqrt(steps))
        yield Spread("x", shift + 4, 1)
        yield Spread("y", 16 + 4 * data.noise_std, math.hypot(1, data.noise_std))


def _std(values: list[float]) -> float:
    """Standard deviation of numbers scaled by the largest, so that none overflows."""
    largest = max(map(abs, values))
    if not 0 < largest < math.inf:
        return 0.0
    scaled = [each / largest for each in values]
    mean = math.fsum(scaled) / len(scaled)
    return largest * math.hypot(*(each - mean for each in scaled)) / math.sqrt(len(scaled))
