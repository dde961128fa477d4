"""JSON and YAML as normexp writes them: for people and machines, the same for equal content."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import yaml

from normexp.config.field import Scalar


def to_json(content: object) -> bytes:
    """JSON for people and machines: indented, and null for what is not a finite number."""
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def finite(content: Any) -> Any:  # noqa: ANN401
    """The same with None for nan and infinities, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    return [finite(value) for value in content] if isinstance(content, list | tuple) else content


def config_yaml(tree: Mapping[str, Any]) -> bytes:
    """A nested configuration as YAML; sections are cached, since runs share most of theirs."""
    parts = []
    for name, value in tree.items():
        items = tuple(value.items()) if isinstance(value, Mapping) else value
        parts.append(_section_yaml(name, items))
    return b"".join(parts)


class _Dumper(yaml.CSafeDumper):
    """Quotes texts that YAML 1.2, and so Hydra, reads as numbers: a digest such as 12e4567890ab."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def to_yaml(content: object) -> bytes:
    """YAML in the order given."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text).encode()


def list_yaml(items: Iterable[str], indent: int = 0) -> bytes:
    """A list of texts as YAML; items are cached, since runs share most of theirs."""
    return b"".join(b" " * indent + _item_yaml(item) for item in items)


@lru_cache(maxsize=16384)
def _item_yaml(item: str) -> bytes:
    return to_yaml([item])


@lru_cache(maxsize=16384, typed=True)
def _section_yaml(name: str, items: tuple[tuple[str, Scalar], ...] | Scalar) -> bytes:
    return to_yaml({name: dict(items) if isinstance(items, tuple) else items})
