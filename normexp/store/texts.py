"""JSON and YAML: written the same for equal content, and read as a stranger may have written it."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import yaml

from normexp.config.field import Scalar

T = TypeVar("T")

MOST_CHARACTERS = 2**24
MOST_DEPTH = 4
"""Bounds of a YAML document that is read."""


def to_json(content: object) -> bytes:
    """Return indented JSON, with null for what is not a finite number."""
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def finite(content: Any) -> Any:  # noqa: ANN401
    """Return the same with None for nan and infinities, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    return [finite(value) for value in content] if isinstance(content, list | tuple) else content


def from_json(content: bytes, kind: type[T]) -> T:
    """Return JSON as a value of a type.

    Raises:
        ValueError: it is none, or of another type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not JSON") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class _Dumper(yaml.CSafeDumper):
    """Quotes texts that YAML 1.2, and so Hydra, reads as numbers: a digest such as 12e4567890ab."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def to_yaml(content: object) -> bytes:
    """Return YAML in the order given."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text).encode()


def config_yaml(tree: Mapping[str, Any]) -> bytes:
    """Return a nested configuration as YAML; sections are cached, since runs share most."""
    return b"".join(
        _section_yaml(name, tuple(value.items()) if isinstance(value, Mapping) else value)
        for name, value in tree.items()
    )


@lru_cache(maxsize=16384, typed=True)
def _section_yaml(name: str, items: tuple[tuple[str, Scalar], ...] | Scalar) -> bytes:
    return to_yaml({name: dict(items) if isinstance(items, tuple) else items})


def list_yaml(items: Iterable[str], indent: int = 0) -> bytes:
    """Return a list of texts as YAML; items are cached, since runs share most of theirs."""
    return b"".join(b" " * indent + _item_yaml(item) for item in items)


@lru_cache(maxsize=16384)
def _item_yaml(item: str) -> bytes:
    return to_yaml([item])


def from_yaml(content: bytes) -> dict[str, Any]:
    """Return a mapping in plain YAML: shallow, without aliases, tags or objects.

    It is read a section at a time; these are cached, since trajectories share most of theirs.

    Raises:
        ValueError: it is something else.
    """
    if len(content) > MOST_CHARACTERS:
        raise ValueError("too large")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    tree: dict[str, Any] = {}
    for section in re.split(r"(?m)^(?=\w)", text):
        if section:
            tree |= _section(section)
    return tree


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, Any]:
    try:
        _refuse_unbounded(text)
        content = yaml.CSafeLoader(text).get_single_data()
    except (
        yaml.YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:  # as PyYAML's constructors raise, on a month 13 for example
        raise ValueError("not plain YAML") from error  # fmt: skip
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError("not plain YAML")
    return content


def _refuse_unbounded(text: str) -> None:
    """Refuse what could grow without end or make objects, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None or tag is not None or depth > MOST_DEPTH:
            raise ValueError("an alias, a tag, or too deep")
