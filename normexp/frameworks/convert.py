"""A momentum for another framework, and what else must change so that results agree."""

from dataclasses import dataclass

from normexp.errors import UsageError
from normexp.frameworks.momentum import Newest, as_given, as_typed, newest_of
from normexp.frameworks.table import CALLER, Framework, named

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
