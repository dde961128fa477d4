"""A momentum from one framework's words into another's."""

import math
from decimal import Decimal, InvalidOperation
from typing import Literal

from normexp.errors import UsageError
from normexp.frameworks.direction import (
    newest_of_time_constant,
    time_constant_of_newest,
    turned,
)
from normexp.frameworks.framework import Framework

Newest = float | Literal["cumulative"]
"""The weight of the newest batch; cumulative: 1/t at step t."""

CUMULATIVE: Literal["cumulative"] = "cumulative"
NULL = ("null", "none", CUMULATIVE)


def newest_of(framework: Framework, given: str, batch_size: int | None) -> Newest:
    """What a value means in a framework.

    Args:
        framework: whose words they are.
        given: as typed: a number, or null.
        batch_size: needed for a time constant alone.

    Raises:
        UsageError: the framework takes no such value.
    """
    is_none = given.lower() in NULL
    if is_none and (framework.none_is is None or given.lower() == CUMULATIVE):
        return _cumulative(framework, given)
    number = framework.none_is if is_none else _number(framework, given)
    assert number is not None  # noqa: S101  of the framework, as above
    if number == _cumulative_number(framework):
        return "cumulative"
    if framework.weighs == "time constant":
        if number < 0:
            return "cumulative"
        return newest_of_time_constant(number, _known(batch_size, framework))
    if not 0 <= number <= 1:
        raise _outside(framework, given, number)
    return number if framework.weighs == "new" else turned(number)


def as_given(framework: Framework, given: str, newest: Newest) -> str:
    """A value as one types it in its framework: PyTorch takes None alone, not `cumulative`."""
    none = framework.cumulative if newest == CUMULATIVE else "None"
    return f"{framework.parameter}={none if given.lower() in NULL else given}"


def as_typed(framework: Framework, newest: Newest, batch_size: int | None) -> str:
    """What to type in a framework, `momentum=0.01`; words where no value says it."""
    parameter = framework.parameter
    if newest == "cumulative":
        if framework.cumulative:
            return f"{parameter}={framework.cumulative}"
        step = "1 - 1/t" if framework.weighs == "old" else "1/t"
        return f"{parameter}={step} at step t = 1, 2, ..."
    value = value_of(framework, newest, batch_size)
    if value == _cumulative_number(framework):
        return f"nothing: {parameter}={spelled(value)} is {framework.at_one}"
    if value in {0, 1} and newest not in {0, 1}:
        return f"nothing: the nearest number is {parameter}={spelled(value)}"
    return f"{parameter}={spelled(value)}"


def value_of(framework: Framework, newest: float, batch_size: int | None) -> float:
    """The number that gives the newest batch this weight."""
    if framework.weighs == "time constant":
        return time_constant_of_newest(newest, _known(batch_size, framework))
    return newest if framework.weighs == "new" else turned(newest)


def spelled(value: float) -> str:
    """A number so that it comes back, 1 not 1.0."""
    return repr(float(value)).removesuffix(".0")


def _cumulative_number(framework: Framework) -> float | None:
    """The number that gives the cumulative mean; None where no number or another word does."""
    try:
        return float(framework.cumulative)
    except ValueError:
        return None


def _cumulative(framework: Framework, given: str) -> Newest:
    if framework.cumulative == "None":
        return "cumulative"
    how = f"it is {framework.parameter}={framework.cumulative} there; " * bool(framework.cumulative)
    raise UsageError(
        f"{framework.title} has no {framework.parameter}={given}",
        f"{how}type null --from torch for the cumulative mean",
    )


def _number(framework: Framework, given: str) -> float:
    try:
        number = float(Decimal(given))
    except (InvalidOperation, ValueError):  # ValueError: a signalling NaN
        number = math.nan
    if math.isnan(number):
        raise UsageError(
            f"{framework.parameter}={given}: a number is needed",
            "type for example normexp convert 0.99 --from keras --to torch",
        )
    return number


def _outside(framework: Framework, given: str, number: float) -> UsageError:
    """The error for a weight below 0 or above 1, with what was probably meant."""
    percent = Decimal(given) / 100
    if 1 < number <= 100:  # noqa: PLR2004  per cent
        hint = f"type {percent} if you mean {given} %, --from cntk if it is a time constant"
    else:
        hint = "type a number from 0 to 1"
    return UsageError(
        f"{framework.parameter}={given}: a weight from 0 to 1 is needed "
        f"({_whose(framework)} in {framework.title})",
        hint,
    )


def _whose(framework: Framework) -> str:
    return "the new batch's" if framework.weighs == "new" else "the old value's"


def _known(batch_size: int | None, framework: Framework) -> int:
    if batch_size is None:
        raise UsageError(
            f"{framework.title}'s {framework.parameter} is in samples: what a batch weighs depends "
            "on its size",
            "type --batch-size 32, or yours",
        )
    return batch_size
