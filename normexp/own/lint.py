"""`normexp lint`: what is wrong with batch norms, seen without data and without a training."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from normexp.own.moves import Moves, compare
from normexp.own.norms import Given, Source, source
from normexp.own.rules import ADVICE, Found, Severity, all_still, places, settings, statistics


@dataclass(frozen=True)
class Finding:
    """One rule's word on one layer.

    Attributes:
        severity: a `fault` is wrong; a `note` may be meant so.
        rule: its name.
        layer: its name in the model; empty for the whole model.
        number: what the rule looks at: channels, batches, a momentum, an eps.
        found: the same in words.
        costs: why it matters.
        to_do: what to type, or to look at.
    """

    severity: Severity
    rule: str
    layer: str
    number: float
    found: str
    costs: str
    to_do: str


@dataclass(frozen=True)
class Report:
    """Findings on a model or checkpoint; printed, alike ones are together.

    Attributes:
        source: the file, or the model's class.
        is_module: all rules were looked at; a file has no momentum, eps, mode, or order.
        layers: batch norms.
        channels: of those that have running statistics.
        findings: faults first, by rule.
        moves: of two states: what has moved between them.
    """

    source: str
    is_module: bool
    layers: int
    channels: int
    findings: list[Finding]
    moves: Moves | None

    @property
    def faults(self) -> list[Finding]:
        """Findings that are wrong whatever was meant."""
        return [each for each in self.findings if each.severity == "fault"]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data."""
        return asdict(self)

    def __str__(self) -> str:
        norms = f"{self.layers or 'no'} batch norm{'s' * (self.layers > 1)}"
        lines = [f"{self.source}: {norms}, {self.channels:,} channels with running statistics"]
        for _, group in groupby(self.findings, lambda each: (each.severity, each.rule)):
            first, *more = sorted(group, key=lambda each: -each.number)
            others = f" and {len(more)} more" if more else ""
            place = f"{first.layer or 'all'}{others}"
            lines += [
                f"{first.severity}: {first.rule}: {place}: {first.found}",
                f"  {first.costs}",
                f"  to do: {first.to_do}",
            ]
        notes = len(self.findings) - len(self.faults)
        return "\n".join([*lines, f"faults: {len(self.faults)}, notes: {notes}"])


def lint(model: Given, other: Given | None = None) -> Report:
    """Return what is wrong with batch norms, or deserves a look.

    Nothing is run. A checkpoint tells less than a module, which has momentum, eps and mode.

    Args:
        model: a module, a state dict, or the path of a checkpoint: `.safetensors`, or what
            `torch.save` wrote of tensors alone.
        other: a later state of the same model. It is judged then, and compared with the first.

    Raises:
        UsageError: a file cannot be read without running code, or two have no layer in common.
    """
    first = source(model)
    judged, moves = first, None
    found = list(_found(judged))
    if other is not None:
        judged = source(other)
        moves, told = compare(first, judged)
        found = [*_found(judged), *told]
    findings = [
        Finding(
            severity, rule, layer, value, words, *(e.format(rest=1 - value) for e in ADVICE[rule])
        )
        for layer, (severity, rule, value, words) in found
    ]
    findings.sort(key=lambda each: (each.severity, [*ADVICE].index(each.rule)))
    widths = [len(layer.statistics[0]) for layer in judged.layers if layer.statistics]
    is_module = judged.model is not None
    return Report(judged.name, is_module, len(judged.layers), sum(widths), findings, moves)


def _found(judged: Source) -> Iterator[tuple[str, Found]]:
    """Yield every rule's word on every layer."""
    model = judged.model
    for layer in judged.layers:
        yield from ((layer.name, each) for each in statistics(layer))
        if model is not None:
            yield from ((layer.name, each) for each in settings(layer, model))
    if model is not None:
        names = {layer.module: layer.name for layer in judged.layers}
        yield from ((names[norm], each) for norm, each in places(model))
    yield from (("", each) for each in all_still(judged.layers))
