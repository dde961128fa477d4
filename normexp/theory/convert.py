"""A momentum for another framework, and what else must change so that results agree."""

import math
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from normexp.errors import UsageError
from normexp.theory.frameworks import CALLER, Framework, named
from normexp.theory.memory import turned

Newest = float | Literal["cumulative"]
"""The weight of the newest batch; cumulative: 1/t at step t."""

CUMULATIVE: Literal["cumulative"] = "cumulative"
NULL = ("null", "none", CUMULATIVE)


def newest_of(framework: Framework, given: str, batch_size: int | None) -> Newest:
    """Return the weight of the newest batch that a value gives in a framework.

    A time constant of T samples gives 1 − exp(−B/T): the last batch alone for T = 0
    (microsoft/CNTK@498a4c4, `BatchNormalizationNode::ComputeExpAvgFactor`).

    Args:
        framework: that the value is typed in.
        given: as typed: a number, or null.
        batch_size: needed only for a time constant.

    Raises:
        UsageError: the framework takes no such value.
    """
    is_null = given.lower() in NULL
    number = framework.none_is if is_null and given.lower() != CUMULATIVE else None
    if is_null and number is None:
        if framework.cumulative == "None":
            return CUMULATIVE
        how = f"it is {framework.parameter}={framework.cumulative} there; "
        raise UsageError(
            f"{framework.title} has no {framework.parameter}={given}",
            f"{how * bool(framework.cumulative)}type null --from torch for the cumulative mean",
        )
    if number is None:
        number = math.nan
        with suppress(InvalidOperation, ValueError):  # ValueError: a signalling NaN
            number = float(Decimal(given))
    if math.isnan(number):
        raise UsageError(
            f"{framework.parameter}={given}: a number is needed",
            "type for example normexp convert 0.99 --from keras --to torch",
        )
    if number == _cumulative_number(framework):
        return CUMULATIVE
    if framework.weighs == "time constant":
        if number < 0:
            return CUMULATIVE
        size = _needed(batch_size, framework)
        return 1.0 if number == 0 else -math.expm1(-size / number)
    if 0 <= number <= 1:
        return number if framework.weighs == "new" else turned(number)
    whose = "the new batch's" if framework.weighs == "new" else "the old value's"
    hint = "type a number from 0 to 1"
    if 1 < number <= 100:  # noqa: PLR2004  per cent
        percent = Decimal(given) / 100
        hint = f"type {percent} if you mean {given} %, --from cntk if it is a time constant"
    raise UsageError(
        f"{framework.parameter}={given}: a weight from 0 to 1 is needed "
        f"({whose} in {framework.title})",
        hint,
    )


def as_given(framework: Framework, given: str, newest: Newest) -> str:
    """Return a value as typed in its framework: PyTorch takes None alone, not `cumulative`."""
    none = framework.cumulative if newest == CUMULATIVE else "None"
    return f"{framework.parameter}={none if given.lower() in NULL else given}"


def as_typed(framework: Framework, newest: Newest, batch_size: int | None) -> str:
    """Return the words to type in a framework, `momentum=0.01`, or why there are none."""
    parameter = framework.parameter
    if newest == CUMULATIVE:
        if framework.cumulative:
            return f"{parameter}={framework.cumulative}"
        step = "1 - 1/t" if framework.weighs == "old" else "1/t"
        return f"{parameter}={step} at step t = 1, 2, ..."
    if framework.weighs == "time constant":
        size = _needed(batch_size, framework)
        ends = {0.0: math.inf, 1.0: 0.0}
        value = ends[newest] if newest in ends else -size / math.log1p(-newest)
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


def _needed(batch_size: int | None, framework: Framework) -> int:
    if batch_size is None:
        raise UsageError(
            f"{framework.title}'s {framework.parameter} is in samples: what a batch weighs depends "
            "on its size",
            "type --batch-size 32, or yours",
        )
    return batch_size


UNKNOWN = "not verified"
DEBIAS = {
    ("none", "debiased"): "r*(1 - w) + w*r0",
    ("none", "divided"): "r*(1 - w)",
    ("debiased", "none"): "(r - w*r0)/(1 - w)",
    ("debiased", "divided"): "r - w*r0/(1 - w)",
    ("divided", "none"): "r/(1 - w)",
    ("divided", "debiased"): "r + w*r0/(1 - w)",
}
"""The source's average from the target's: r, with w the weight left on its start r0.

With m what batches have brought, `none` uses w r0 + m, `debiased` m/(1 - w), and `divided`
(w r0 + m)/(1 - w). r0 is the start of the one that is not debiased; where neither is, both start
alike.
"""


@dataclass(frozen=True)
class Difference:
    """One thing in which two frameworks do not agree, and what to do about it."""

    what: str
    source: str
    target: str
    todo: str


@dataclass(frozen=True)
class Conversion:
    """A momentum in two frameworks' words.

    Attributes:
        source: the framework that it comes from.
        target: the framework that it goes to.
        given: as one types it in the source.
        typed: as one types it in the target.
        newest: the weight of the newest batch; cumulative: 1/t at step t.
        differences: what else makes results differ.
        remarks: of both frameworks.
    """

    source: Framework
    target: Framework
    given: str
    typed: str
    newest: Newest
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]


def convert(
    value: str,
    source: str,
    target: str,
    batch_size: int | None = None,
    values: int | None = None,
) -> Conversion:
    """A momentum of one framework for another.

    Args:
        value: as one types it in the source; null is PyTorch's None.
        source: a framework's name.
        target: another's.
        batch_size: examples of a batch, for CNTK's time constants.
        values: of a channel in a batch, N·H·W of images, for the ratio of variances; by default as
            many as examples.

    Raises:
        UsageError: an unknown framework, or a value that it does not take.
    """
    one, other = _with_momentum(source, "--from"), _with_momentum(target, "--to")
    for option, size in (("--batch-size", batch_size), ("--values", values)):
        if size is not None and size < 1:
            raise UsageError(f"{option} {size}: a size from 1 is needed", "type 32, or yours")
    newest = newest_of(one, value, batch_size)
    return Conversion(
        source=one,
        target=other,
        given=as_given(one, value, newest),
        typed=as_typed(other, newest, batch_size),
        newest=newest,
        differences=differences(one, other, values or batch_size),
        remarks=tuple(f"{each.title}: {each.remarks}" for each in (one, other) if each.remarks),
    )


def differences(
    source: Framework, target: Framework, values: int | None = None
) -> tuple[Difference, ...]:
    """Everything but momentum that makes the target's results differ from the source's.

    Args:
        source: whose results are wanted.
        target: whose results are there.
        values: of a channel in a batch; None: not known.
    """
    eps = f"eps={_eps(source)}; it acts in training too" if source.eps is not None else ""
    train = "" if source.affine == CALLER else f"train {source.affine.partition(',')[0]}"
    is_forgotten = "debiased" in (source.debiasing, target.debiasing)  # the advice has it then
    aspects = [
        Difference("eps", _eps(source), _eps(target), eps),
        Difference(
            "training normalises by",
            source.normalises,
            target.normalises,
            "nothing: training itself is another",
        ),
        Difference("variance that normalises", source.normalises_by, target.normalises_by, UNKNOWN),
        Difference(
            "running variance",
            source.averages,
            target.averages,
            _variance_advice(source, target, values),
        ),
        Difference(
            "debiasing", source.debiasing, target.debiasing, _debiasing_advice(source, target)
        ),
        Difference(
            "running mean, variance at first",
            "" if is_forgotten else source.starts_at,
            target.starts_at,
            f"start at {source.starts_at}",
        ),
        Difference("scale and shift", source.affine, target.affine, train),
        Difference("newest weighs 0", _at(source, 0), _at(target, 0), ""),
        Difference("newest weighs 1", _at(source, 1), _at(target, 1), ""),
        Difference("one value a channel", source.one_value, target.one_value, ""),
        Difference("cumulative mean", _cumulative(source), _cumulative(target), ""),
    ]
    return tuple(
        each
        for each in aspects
        if each.source and each.target
        if each.source != each.target or (each.what, each.source) == ("running variance", UNKNOWN)
    )


def _with_momentum(name: str, option: str) -> Framework:
    framework = named(name, option)
    if framework.parameter is None:
        raise UsageError(
            f"{option} {framework.name}: it takes no momentum; {framework.remarks}",
            "type --from torch or another framework; normexp convert --list names them",
        )
    return framework


def _eps(framework: Framework) -> str:
    return CALLER if framework.eps is None else f"{framework.eps:g}"


def _at(framework: Framework, newest: int) -> str:
    """The effect of a newest batch that weighs all or nothing; empty if not known."""
    is_zero = (framework.weighs == "new") == (newest == 0)
    return framework.at_zero if is_zero else framework.at_one


def _cumulative(framework: Framework) -> str:
    value = framework.cumulative
    return f"{framework.parameter}={value}" if value else "no value"


def _variance_advice(source: Framework, target: Framework, n: int | None) -> str:
    """The factor for the target's running variance, or why none is known."""
    unknown = {source.averages, target.averages} - {"biased", "unbiased"}
    if unknown:
        return max(unknown)
    exponent = (source.averages == "biased") - (target.averages == "biased")
    factor = "(n - 1)/n" if exponent > 0 else "n/(n - 1)"
    if n is None or n == 1:
        return f"running variance times {factor}, n values a channel"
    return f"running variance times {factor} = {((n - 1) / n) ** exponent:.6g} of n = {n}"


def _debiasing_advice(source: Framework, target: Framework) -> str:
    """The formula that gives the source's average from the target's."""
    formula = DEBIAS.get((source.debiasing, target.debiasing), "")
    start = ""
    if "r0" in formula:
        start = f", r0 = {(target if source.debiasing == 'debiased' else source).starts_at}"
    return f"use {formula} instead of r; w = (old weight)^t{start}: fades"
