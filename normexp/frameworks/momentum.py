"""A momentum in a framework's words: read to the weight of the newest batch, and written."""

import math
from decimal import Decimal, InvalidOperation
from typing import Literal

from normexp.errors import UsageError
from normexp.frameworks.table import Framework

Newest = float | Literal["cumulative"]
"""The weight of the newest batch; cumulative: 1/t at step t."""

CUMULATIVE: Literal["cumulative"] = "cumulative"
NULL = ("null", "none", CUMULATIVE)


def turned(momentum: float) -> float:
    """1 − momentum: the weight of the new batch from that of the old value, and back.

    In decimals as they are written: 1 − 0.9 is 0.09999999999999998 in binary, and would be another
    run than 0.1.
    """
    return float(1 - Decimal(repr(float(momentum))))


def newest_of(framework: Framework, given: str, batch_size: int | None) -> Newest:
    """The weight of the newest batch that a value gives in a framework.

    A time constant of T samples gives 1 − exp(−B/T): the last batch alone for T = 0
    (microsoft/CNTK@498a4c4, `BatchNormalizationNode::ComputeExpAvgFactor`).

    Args:
        framework: that the value is typed in.
        given: as typed: a number, or null.
        batch_size: needed only for a time constant.

    Raises:
        UsageError: the framework takes no such value.
    """
    if given.lower() in NULL:
        if framework.none_is is None or given.lower() == CUMULATIVE:
            return _cumulative(framework, given)
        number = framework.none_is
    else:
        number = _number(framework, given)
    if number == _cumulative_number(framework):
        return CUMULATIVE
    if framework.weighs == "time constant":
        if number < 0:
            return CUMULATIVE
        size = _needed(batch_size, framework)
        return 1.0 if number == 0 else -math.expm1(-size / number)
    if not 0 <= number <= 1:
        raise _outside(framework, given, number)
    return number if framework.weighs == "new" else turned(number)


def as_given(framework: Framework, given: str, newest: Newest) -> str:
    """A value as one types it in its framework: PyTorch takes None alone, not `cumulative`."""
    none = framework.cumulative if newest == CUMULATIVE else "None"
    return f"{framework.parameter}={none if given.lower() in NULL else given}"


def as_typed(framework: Framework, newest: Newest, batch_size: int | None) -> str:
    """The words to type in a framework, `momentum=0.01`, or why there are none."""
    parameter = framework.parameter
    if newest == CUMULATIVE:
        if framework.cumulative:
            return f"{parameter}={framework.cumulative}"
        step = "1 - 1/t" if framework.weighs == "old" else "1/t"
        return f"{parameter}={step} at step t = 1, 2, ..."
    if framework.weighs == "time constant":
        value = _time_constant(newest, _needed(batch_size, framework))
    else:
        value = newest if framework.weighs == "new" else turned(newest)
    spelled = repr(float(value)).removesuffix(".0")
    if value == _cumulative_number(framework):
        return f"nothing: {parameter}={spelled} is {framework.at_one}"
    if value in {0, 1} and newest not in {0, 1}:
        return f"nothing: the nearest number is {parameter}={spelled}"
    return f"{parameter}={spelled}"


def _cumulative_number(framework: Framework) -> float | None:
    """The number that gives the cumulative mean; None if no number gives it."""
    try:
        return float(framework.cumulative)
    except ValueError:
        return None


def _cumulative(framework: Framework, given: str) -> Newest:
    if framework.cumulative == "None":
        return CUMULATIVE
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
    whose = "the new batch's" if framework.weighs == "new" else "the old value's"
    hint = "type a number from 0 to 1"
    if 1 < number <= 100:  # noqa: PLR2004  per cent
        percent = Decimal(given) / 100
        hint = f"type {percent} if you mean {given} %, --from cntk if it is a time constant"
    return UsageError(
        f"{framework.parameter}={given}: a weight from 0 to 1 is needed "
        f"({whose} in {framework.title})",
        hint,
    )


def _time_constant(newest: float, batch_size: int) -> float:
    """In samples: −B / ln(1 − a)."""
    if newest in {0, 1}:
        return 0.0 if newest else math.inf
    return -batch_size / math.log1p(-newest)


def _needed(batch_size: int | None, framework: Framework) -> int:
    if batch_size is None:
        raise UsageError(
            f"{framework.title}'s {framework.parameter} is in samples: what a batch weighs depends "
            "on its size",
            "type --batch-size 32, or yours",
        )
    return batch_size
