"""What an arm is called in charts and their legends: short, unique, and the same everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from normexp.config.field import spell
from normexp.config.norm_fields import WITHOUT_MOMENTUM
from normexp.console.words import NOTHING, field_value, heading

KEPT = ("norm.kind", "norm.momentum", "source")
"""Whose values say by themselves what they are."""


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
    ]
    return ", ".join([" ".join(head), *rest] if head else rest) or "all runs"


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
    if path.endswith(".kind") or path in WITHOUT_MOMENTUM:
        return spell(values[path])
    name = heading(path, keras=False).replace("\n", " ")
    return f"{name} {spell(values[path])}"
