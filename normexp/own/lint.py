"""`normexp lint`: what is wrong with batch norms, seen without data and without a training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import torch
from torch import nn

from normexp.own import rules
from normexp.own.moves import Move, compare
from normexp.own.norms import Source, source
from normexp.own.rules import ADVICE, Found, Severity


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
    """Findings on a model or checkpoint.

    Attributes:
        source: the file, or the model's class.
        is_module: all rules were looked at; a checkpoint has no momentum, eps, mode, or order.
        layers: batch norms.
        channels: of all of them.
        findings: faults first, alike ones together.
        moves: of two checkpoints: what has moved in each layer.
        weights: of two checkpoints: tensors that both have, buffers of batch norms aside.
        weights_moved: those of them that differ.
    """

    source: str
    is_module: bool
    layers: int
    channels: int
    findings: tuple[Finding, ...]
    moves: tuple[Move, ...] = ()
    weights: int = 0
    weights_moved: int = 0

    @property
    def faults(self) -> list[Finding]:
        """Findings that are wrong whatever was meant."""
        return [each for each in self.findings if each.severity == "fault"]

    @property
    def groups(self) -> list[list[Finding]]:
        """Findings of one severity and rule, the largest number first."""
        grouped = groupby(self.findings, lambda each: (each.severity, each.rule))
        return [sorted(each, key=lambda one: -one.number) for _, each in grouped]

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.layers} batch norms with {self.channels:,} channels"]
        for first, *more in self.groups:
            others = f" and {len(more)} more" if more else ""
            lines.append(f"{first.severity}: {first.rule}: {first.layer}{others}: {first.found}")
            lines.append(f"  {first.costs}; to do: {first.to_do}")
        return "\n".join(lines)


def lint(
    model: nn.Module | Mapping[str, torch.Tensor] | str | Path,
    other: nn.Module | Mapping[str, torch.Tensor] | str | Path | None = None,
) -> Report:
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
    judged = first if other is None else source(other)
    found = list(_found(judged))
    moves: list[Move] = []
    numbers = (0, 0)
    if other is not None:
        moves, more, numbers = compare(first, judged)
        found += more
    findings = [
        Finding(
            each.severity,
            each.rule,
            layer,
            each.number,
            each.words,
            *(text.format(rest=1 - each.number) for text in ADVICE[each.rule]),
        )
        for layer, each in found
    ]
    findings.sort(key=lambda each: (each.severity, list(ADVICE).index(each.rule)))
    widths = (each.statistics.mean.numel() for each in judged.layers if each.statistics)
    return Report(
        judged.name,
        judged.model is not None,
        len(judged.layers),
        sum(widths),
        tuple(findings),
        tuple(moves),
        *numbers,
    )


def _found(judged: Source) -> Iterator[tuple[str, Found]]:
    """Yield every rule's word on every layer."""
    for layer in judged.layers:
        yield from ((layer.name, each) for each in rules.statistics(layer))
        if judged.model is not None:
            both = chain(rules.setting(layer), rules.mode(layer, judged.model))
            yield from ((layer.name, each) for each in both)
    if judged.model is not None:
        names = {layer.module: layer.name for layer in judged.layers}
        yield from ((names[norm], each) for norm, each in rules.places(judged.model))
    yield from (("", each) for each in rules.all_still(judged.layers))
