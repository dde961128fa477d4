"""The names of arms in charts and legends: short, unique, and the same everywhere."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from normexp.config.field import specs, spell
from normexp.config.tree import section_class
from normexp.console.words import NOTHING, field_value, title_of

KEPT = ("norm.kind", "norm.momentum", "source")
"""Fields whose values need no name of the field."""

FEW = 4
"""Fields that a name has room for; of more, those of the norm at their defaults are not named."""


def arm_name(values: Mapping[str, Any], fields: Sequence[str]) -> str:
    """A name such as `batch 0.1` or `layer, lr 0.01`.

    Args:
        values: of the fields that the arm has.
        fields: that tell the arms apart.
    """
    there = [path for path in fields if path in values]
    head = [word for path in there if path in KEPT and (word := _kept(path, values))]
    rest = [
        word
        for path in there
        if path not in KEPT and (word := _named(path, values))
        if len(fields) <= FEW or _defaults(values.get("norm.kind")).get(path, "") != values[path]
    ]
    first = " ".join(head)
    if first.endswith(":"):  # a source, and the fields beside norm and momentum
        return f"{first} {', '.join(rest)}" if rest else first.removesuffix(":")
    return ", ".join([first, *rest] if head else rest) or "all runs"


def unnamed(fields: Sequence[str]) -> str:
    """A sentence on the fields that names leave out; empty if they leave out none."""
    left = [path for path in fields if path.startswith("norm.") and path not in KEPT]
    if len(fields) <= FEW or not left:
        return ""
    return "Names leave out fields of the norm that are at their defaults."


@cache
def _defaults(kind: str | None) -> Mapping[str, Any]:
    """The default values of a norm's fields."""
    found = specs(section_class("norm", {"norm": {"kind": kind}})) if kind else {}
    return {f"norm.{field}": spec.default for field, spec in found.items()}


def _kept(path: str, values: Mapping[str, Any]) -> str:
    if path == "source":
        return f"{values[path]}:"
    if path == "norm.kind" and values[path] == "none":
        return "no norm"
    word = field_value(path, values)
    return "" if word == NOTHING else word


def _named(path: str, values: Mapping[str, Any]) -> str:
    """A field with its name, where its value alone would not say it."""
    value = values[path]
    if path == "norm.estimator":
        by_momentum = value in ("ema", "cumulative") and values.get("norm.momentum", 0) is None
        return "" if by_momentum or value == "ema" else str(value)
    if path.endswith(".kind"):
        return spell(value)
    word = f"{value:g}" if isinstance(value, float) else spell(value)
    return f"{title_of(path)} {word}"
