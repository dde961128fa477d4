"""What an arm is called in charts and their legends: short, unique, and the same everywhere."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from normexp.config.field import specs, spell
from normexp.config.tree import section_class
from normexp.console.words import NOTHING, field_value, heading

KEPT = ("norm.kind", "norm.momentum", "source")
"""Whose values say by themselves what they are."""

SAID = {"norm.running_variance": "{} variance", "norm.normalizing_variance": "by {} variance"}
"""Fields whose value comes first."""

FEW = 4
"""Fields that a name has room for; of more, those of the norm at their defaults are not named."""


def arm_name(values: Mapping[str, Any], fields: Sequence[str]) -> str:
    """A name such as `batch 0.1` or `layer, lr 0.01`.

    Args:
        values: of the fields that the arm has.
        fields: that tell the arms apart.
    """
    head = [word for path in fields if path in KEPT and (word := _kept(path, values))]
    rest = [
        word
        for path in fields
        if path not in KEPT and path in values and (word := _said(path, values))
        if len(fields) <= FEW or not _is_ordinary(path, values)
    ]
    first = " ".join(head)
    if first.endswith(":"):  # a source, and what it is the source of
        return f"{first} {', '.join(rest)}" if rest else first.removesuffix(":")
    return ", ".join([first, *rest] if head else rest) or "all runs"


def unsaid(fields: Sequence[str]) -> str:
    """What is said of fields that names leave out; empty if they leave out none."""
    left = [path for path in fields if path.startswith("norm.") and path not in KEPT]
    if len(fields) <= FEW or not left:
        return ""
    return "Of the norm's fields names tell those that are not at their defaults."


def _is_ordinary(path: str, values: Mapping[str, Any]) -> bool:
    """Whether a field of the norm is at the default of its kind."""
    kind = values.get("norm.kind")
    if kind is None or not path.startswith("norm."):
        return False
    defaults = _defaults(str(kind))
    return path in defaults and bool(defaults[path] == values[path])


@cache
def _defaults(kind: str) -> Mapping[str, Any]:
    """Defaults of a norm's fields."""
    found = specs(section_class("norm", {"norm": {"kind": kind}}))
    return {f"norm.{field}": spec.default for field, spec in found.items()}


def _kept(path: str, values: Mapping[str, Any]) -> str:
    if path not in values:
        return ""
    if path == "source":
        return f"{values[path]}:"
    if path == "norm.kind" and values[path] == "none":
        return "no norm"
    word = field_value(path, values, keras=False)
    return "" if word == NOTHING else word


def _said(path: str, values: Mapping[str, Any]) -> str:
    """A field with its name, where its value alone would not say it."""
    if path == "norm.estimator":
        if values[path] in ("ema", "cumulative") and values.get("norm.momentum", 0) is None:
            return ""  # said by the momentum
        return "" if values[path] == "ema" else str(values[path])
    if path.endswith(".kind"):
        return spell(values[path])
    value = values[path]
    spelled = f"{value:g}" if isinstance(value, float) else spell(value)
    if path in SAID:
        return SAID[path].format(spelled)
    name = heading(path, keras=False).replace("\n", " ")
    return f"{name} {spelled}"
