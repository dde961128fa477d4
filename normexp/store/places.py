"""Where the data of stored runs stand. A run is named by what its data are, so no id says where."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.field import Scalar, specs, unquoted
from normexp.config.schema import KINDS, PLACES, RunConfig
from normexp.config.tree import nest, without_gone
from normexp.errors import UsageError
from normexp.store.expected import understood

Place = Mapping[str, Scalar]
"""Values of fields that say where data stand, by dotted name."""


def recorded_place(manifest: Mapping[str, Any]) -> Place:
    """Where the data of a run stood when it was made: its command says so; empty if nowhere."""
    kind: Any = KINDS["data"].get(manifest["config"].get("data.kind"))
    if kind not in (Arrays, Cifar10):
        return {}
    found: dict[str, Scalar] = {}
    with suppress(ValueError):
        for word in shlex.split(str(manifest["command"])):
            key, _, value = word.partition("=")
            if key in PLACES and key.removeprefix("data.") in specs(kind):
                found[key] = unquoted(value) if key == "data.path" else value == "true"
    return found


def located(manifest: Mapping[str, Any]) -> RunConfig:
    """The configuration of a stored run, its data where they stood when it was made.

    Raises:
        NormexpError: it is none, or not one of a run.
    """
    config = without_gone(manifest["config"])
    return understood(nest({**config, **recorded_place(manifest)}))


def typed_places(overrides: Iterable[str]) -> list[Place]:
    """Places as typed: one for each `data.path=FILE`.

    Raises:
        UsageError: an override says something else.
    """
    paths: list[Place] = []
    verify: dict[str, Scalar] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in PLACES or not value:
            raise UsageError(
                f"{override}: stored runs are taken as they are recorded; {' and '.join(PLACES)} "
                "alone say where their data are",
                "type data.path=FILE, or normexp sweep with this override for another run",
            )
        if key == "data.path":
            paths.append({key: unquoted(value)})
        elif value in ("true", "false"):
            verify = {key: value == "true"}
        else:
            raise UsageError(f"{override}: true or false is needed", f"type {key}=false")
    return [{**place, **verify} for place in paths] or ([verify] if verify else [])


def find_data(wanted: Iterable[Data], places: Sequence[Place]) -> dict[Data, Data | UsageError]:
    """The data of stored runs as they can be read here, or why they cannot.

    Args:
        wanted: as recorded.
        places: where they may stand now; where they stood is looked at after these.

    Raises:
        UsageError: a place has none of these data.
    """
    found: dict[Data, Data | UsageError] = {}
    errors: dict[int, UsageError] = {}
    used = set()
    for data in sorted(
        dict.fromkeys(wanted), key=lambda each: not isinstance(each, Arrays | Cifar10)
    ):
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


def _at(data: Data, place: Place) -> Data:
    """The data, read at a place and compared with what is recorded of them."""
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
