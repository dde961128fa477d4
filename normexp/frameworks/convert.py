"""What to type in another framework, and what else must change so that results agree."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from normexp.errors import UsageError
from normexp.frameworks.framework import CALLER, Framework
from normexp.frameworks.momentum import Newest, as_given, as_typed, newest_of
from normexp.frameworks.table import named, with_momentum

UNKNOWN = "not verified"
DEBIAS = {
    ("none", "debiased"): "r*(1 - w) + w*r0",
    ("none", "divided"): "r*(1 - w)",
    ("debiased", "none"): "(r - w*r0)/(1 - w)",
    ("debiased", "divided"): "r - w*r0/(1 - w)",
    ("divided", "none"): "r/(1 - w)",
    ("divided", "debiased"): "r + w*r0/(1 - w)",
}
"""What a source uses, from what a target uses: r, with w the weight left on its start r0.

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
    one, other = named(source, "--from"), named(target, "--to")
    with_momentum(one, "--from")
    with_momentum(other, "--to")
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
        differences=tuple(differences(one, other, values or batch_size)),
        remarks=tuple(f"{each.title}: {each.remarks}" for each in (one, other) if each.remarks),
    )


def differences(
    source: Framework, target: Framework, values: int | None = None
) -> Iterator[Difference]:
    """What makes the target's results differ from the source's, momentum aside.

    Args:
        source: whose results are wanted.
        target: whose results are there.
        values: of a channel in a batch; None: not known.
    """
    yield from _eps(source, target)
    yield from _normalising(source, target)
    yield from _variance(source, target, values)
    yield from _debiasing(source, target)
    yield from _start(source, target)
    if source.affine != target.affine:
        todo = f"train {source.affine.partition(',')[0]}" * (source.affine != CALLER)
        yield Difference("scale and shift", source.affine, target.affine, todo)
    for what, one, other in (
        ("newest weighs 0", _at(source, 0), _at(target, 0)),
        ("newest weighs 1", _at(source, 1), _at(target, 1)),
        ("one value a channel", source.one_value, target.one_value),
    ):
        if one and other and one != other:
            yield Difference(what, one, other, "")
    if source.cumulative != target.cumulative:
        yield Difference("cumulative mean", _cumulative(source), _cumulative(target), "")


def variance_ratio(source: Framework, target: Framework, n: int) -> float | None:
    """By what to multiply the target's running variance to get the source's; None: not known.

    Args:
        source: whose result is wanted.
        target: that has averaged.
        n: values of a channel in a batch, N of vectors and N·H·W of images; from 2.
    """
    if not {source.averages, target.averages} <= {"biased", "unbiased"} or n <= 1:
        return None
    exponent = (source.averages == "biased") - (target.averages == "biased")
    return float(((n - 1) / n) ** exponent)


def _at(framework: Framework, newest: int) -> str:
    """What happens where the newest batch weighs all or nothing."""
    is_zero = (framework.weighs == "new") == (newest == 0)
    return framework.at_zero if is_zero else framework.at_one


def _cumulative(framework: Framework) -> str:
    value = framework.cumulative
    return f"{framework.parameter}={value}" if value else "no value"


def _eps(source: Framework, target: Framework) -> Iterator[Difference]:
    if source.eps != target.eps:
        known = source.eps is not None
        todo = f"eps={_plain(source.eps)}; it acts in training too" if known else ""
        yield Difference("eps", _plain(source.eps), _plain(target.eps), todo)


def _normalising(source: Framework, target: Framework) -> Iterator[Difference]:
    if source.normalises != target.normalises:
        todo = "nothing: training itself is another"
        yield Difference("training normalises by", source.normalises, target.normalises, todo)
    if source.normalises_by != target.normalises_by:
        yield Difference(
            "variance that normalises", source.normalises_by, target.normalises_by, UNKNOWN
        )


def _variance(source: Framework, target: Framework, n: int | None) -> Iterator[Difference]:
    one: str = source.averages
    other: str = target.averages
    if one == other != UNKNOWN:
        return
    unknown = {one, other} - {"biased", "unbiased"}
    if unknown:
        todo = max(unknown)
    else:
        factor = "(n - 1)/n" if one == "biased" else "n/(n - 1)"
        ratio = variance_ratio(source, target, n) if n else None
        known = f" = {ratio:.6g} of n = {n}" if ratio else ", n values a channel"
        todo = f"running variance times {factor}{known}"
    yield Difference("running variance", one, other, todo)


def _debiasing(source: Framework, target: Framework) -> Iterator[Difference]:
    one, other = source.debiasing, target.debiasing
    if one == other:
        return
    formula = DEBIAS[one, other]
    start = ""
    if "r0" in formula:
        whose = target if one == "debiased" else source
        start = f", r0 = {whose.starts_at}"
    todo = f"use {formula} instead of r; w = (old weight)^t{start}: fades"
    yield Difference("debiasing", one, other, todo)


def _start(source: Framework, target: Framework) -> Iterator[Difference]:
    """Where they start, unless one forgets it: the formula that undoes that knows r0."""
    one, other = source.starts_at, target.starts_at
    if one != other and "debiased" not in (source.debiasing, target.debiasing):
        yield Difference("running mean, variance at first", one, other, f"start at {one}")


def _plain(number: float | None) -> str:
    return CALLER if number is None or math.isnan(number) else f"{number:g}"
