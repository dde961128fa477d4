"""The configuration of a stored run as it is read, and where its data stand."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from normexp.config.data import Arrays, Cifar10, Data, Loop
from normexp.config.field import specs, unquoted
from normexp.config.network import Own
from normexp.config.norm import BatchNorm
from normexp.config.schema import KINDS, PLACES, SOURCE, RunConfig, is_recorded
from normexp.config.tree import from_tree, nest, without_gone
from normexp.errors import NormexpError, UsageError
from normexp.study.asked import Place

DEEPEST = 10_000
"""Layers of a model that anyone has trained; a stranger's number may be without end."""


def understood(tree: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a stored tree, in which any plain values may stand.

    Raises:
        NormexpError: it is none, or not one of a run.
    """
    config = from_tree(tree)
    sizes = (config.data.train_size, getattr(config.data, "test_size", 0))
    kinds = ((config.data, Loop), (config.model, Own), (config.norm, BatchNorm))
    is_loop = all(isinstance(section, kind) for section, kind in kinds)
    deep = getattr(config.model, "depth", 0) > DEEPEST
    of_nobody = isinstance(config.model, Own) and config.model.digest is None and not is_loop
    if None in sizes or deep or of_nobody or is_recorded(config) != is_loop:
        raise NormexpError("its configuration is not one of a run")
    return config


def located(manifest: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a stored run, its data where its command says that they stood.

    Raises:
        NormexpError: it is none, or not one of a run.
    """
    flat = without_gone(manifest["config"])
    kind: Any = KINDS["data"].get(flat.get("data.kind", ""))
    if kind in (Arrays, Cifar10):
        for key, value in _typed(manifest).items():
            if key in PLACES and key.removeprefix("data.") in specs(kind):
                flat[key] = unquoted(value) if key == "data.path" else value == "true"
    return understood(nest(flat))


def source_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the file and function of a run's network, as its command has them."""
    found = _typed(manifest).get(SOURCE)
    return None if found is None else unquoted(found)


def _typed(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the values in a run's command by their keys; none where it is no command."""
    with suppress(ValueError):
        parts = (word.partition("=") for word in shlex.split(manifest["command"]))
        return {key: value for key, _, value in parts}
    return {}


def find_data(wanted: Iterable[Data], places: Sequence[Place]) -> dict[Data, Data | UsageError]:
    """Return the data of stored runs as they can be read here, or why they cannot.

    Args:
        wanted: as recorded.
        places: where they may stand now; where they stood is looked at after these.

    Raises:
        UsageError: a place has none of these data.
    """
    found: dict[Data, Data | UsageError] = {}
    errors: dict[int, UsageError] = {}
    used = set()
    distinct = dict.fromkeys(wanted)
    in_files = [data for data in distinct if isinstance(data, Arrays | Cifar10)]
    for data in dict.fromkeys([*in_files, *distinct]):
        for number, place in enumerate((*places, {})):
            try:
                found[data] = _at(data, place)
            except UsageError as error:
                found[data] = error
                errors.setdefault(number, error)
            else:
                used.add(number)
                break
    for number in range(len(places)):
        if number not in used and number in errors:
            raise errors[number]
    return found


def fitting(wanted: Sequence[Data], places: Iterable[Place]) -> list[Place]:
    """Return those of the places that have any of these data."""
    found = []
    for place in places:
        with suppress(UsageError):
            find_data(wanted, [place])
            found.append(place)
    return found


def _at(data: Data, place: Place) -> Data:
    """Return the data, read at a place and compared with what is recorded of them."""
    kind: Any = data.__class__
    fields: dict[str, Any] = {path.removeprefix("data."): v for path, v in place.items()}
    if unknown := [name for name in fields if name not in specs(kind)]:
        raise UsageError(
            f"data={data.kind} has no data.{unknown[0]}", f"leave out data.{unknown[0]}"
        )
    if not isinstance(data, Arrays | Cifar10):
        return data
    from normexp.data.files import settled_data  # NumPy, which listings need not wait for

    try:
        return settled_data(replace(data, **fields))
    except UsageError as error:
        raise UsageError(
            f"{error.message}; the data of a run are not in its directory",
            f"add data.path=FILE to the command, where those of digest {data.digest} are",
        ) from error
