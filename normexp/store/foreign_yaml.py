"""YAML that a stranger may have written: plain, shallow, without aliases, tags or objects."""

import re
from functools import lru_cache
from typing import Any

import yaml

MOST_CHARACTERS = 2**24
MOST_DEPTH = 4

Errors = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What PyYAML's own constructors raise on rubbish, such as a date of month 13."""


def read_sections(content: bytes) -> dict[str, Any]:
    """A configuration, a section at a time; cached, since trajectories share most of theirs.

    Raises:
        ValueError: it is no plain mapping.
    """
    tree: dict[str, Any] = {}
    for part in re.split(r"(?m)^(?=\S)", _text(content)):
        if part:
            tree |= _section(part)
    return tree


def read_yaml(content: bytes) -> dict[str, Any]:
    """A plain mapping.

    Raises:
        ValueError: it is something else.
    """
    return _plain(_text(content))


def _text(content: bytes) -> str:
    if len(content) > MOST_CHARACTERS:
        raise ValueError("too large")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, Any]:
    return _plain(text)


def _plain(text: str) -> dict[str, Any]:
    try:
        _check_events(text)
        loader = yaml.CSafeLoader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except (*Errors, RecursionError) as error:
        raise ValueError("not plain YAML") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError("no YAML mapping")
    return content


def _check_events(text: str) -> None:
    """Refuse what could grow without end or make objects, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise ValueError("an alias")
        if getattr(event, "tag", None) is not None or depth > MOST_DEPTH:
            raise ValueError("a tag, or too deep")
