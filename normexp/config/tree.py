"""Nested plain mappings to typed configurations and back."""

import dataclasses
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from normexp.config.field import FieldSpec, Scalar, specs
from normexp.config.schema import GONE, IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.errors import UsageError
from normexp.frameworks.momentum import turned
from normexp.registry import did_you_mean, pick

Tree = Mapping[str, Any]

PLAIN = (str, int, float, type(None))
"""Almost every value; to ask whether something is a mapping takes ten times as long."""


def from_tree(tree: Tree) -> RunConfig:
    """The typed configuration of a resolved tree; missing fields take their defaults.

    Raises:
        UsageError: an unknown section, kind or field, or a value that does not fit.
    """
    known = [*KINDS, *SECTIONS, *specs(RunConfig)]
    for name in tree:
        if name not in known:
            raise UsageError(
                f"unknown section {name!r} in the configuration",
                did_you_mean(name, known, f"there is {', '.join(known)}"),
            )
    values: dict[str, Any] = {
        name: _section(section_class(name, tree), name, _items(name, tree.get(name, {})))
        for name in (*KINDS, *SECTIONS)
    }
    for name, spec in specs(RunConfig).items():
        values[name] = spec.coerce(name, tree.get(name, spec.default))
    return RunConfig(**values)


def refuse_gone(path: str) -> None:
    """Say why a field is unknown that older versions had.

    Raises:
        UsageError: it is such a field.
    """
    if path in GONE:
        raise UsageError(
            f"{path} is no longer a field: normexp report makes the pictures itself, from what is "
            "stored",
            f"leave out {path}",
        )


def without_gone(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration by dotted names, without the fields that are no longer there."""
    return {path: value for path, value in flat.items() if path not in GONE}


def section_class(name: str, tree: Tree) -> type:
    """The schema class that section `name` of `tree` is read as, by its `kind`."""
    if name in SECTIONS:
        return SECTIONS[name]
    if name not in tree and name not in IDENTITY_GROUPS:
        return next(iter(KINDS[name].values()))  # a stored configuration says what, not how
    kind = tree.get(name, {}).get("kind", "(none given)")
    return pick(str(kind), KINDS[name], f"{name}.kind")


def field_specs(tree: Tree) -> dict[str, FieldSpec]:
    """Every field that a run of this tree has, by dotted name."""
    found = dict(specs(RunConfig))
    for name in (*KINDS, *SECTIONS):
        for field, spec in specs(section_class(name, tree)).items():
            found[f"{name}.{field}"] = spec
    return found


@cache
def known_keys() -> dict[str, tuple[str, ...]]:
    """Every dotted field of the schema, and the choices that have it (empty: all runs do)."""
    keys: dict[str, tuple[str, ...]] = dict.fromkeys(specs(RunConfig), ())
    for section, cls in SECTIONS.items():
        keys |= {f"{section}.{field}": () for field in specs(cls)}
    for group, kinds in KINDS.items():
        for kind, cls in kinds.items():
            for path in (f"{group}.{field}" for field in specs(cls)):
                keys[path] = (*keys.get(path, ()), f"{group}={kind}")
    return keys


def flatten(config: RunConfig) -> dict[str, Scalar]:
    """The configuration by dotted names, in the order of the schema."""
    flat: dict[str, Scalar] = {}
    for name in (*KINDS, *SECTIONS):
        flat.update(flatten_section(name, getattr(config, name)))
    return flat | {name: getattr(config, name) for name in specs(RunConfig)}


@lru_cache(maxsize=16384)
def flatten_section(name: str, section: Any) -> dict[str, Scalar]:  # noqa: ANN401
    """One section by dotted names; cached, since the runs of a sweep share most of theirs."""
    return {f"{name}.{field}": getattr(section, field) for field in specs(section.__class__)}


def nest(flat: Mapping[str, Scalar]) -> dict[str, Any]:
    """The nested tree of dotted names; the inverse of `flatten` up to types."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        section, _, field = path.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[field] = value
    return tree


def _items(name: str, section: object) -> tuple[tuple[str, type, Any], ...]:
    if not isinstance(section, Mapping):
        raise UsageError(f"{name}={section}: {name} is a section", f"type {name}.FIELD=VALUE")
    for field, value in section.items():
        if not isinstance(value, PLAIN) and isinstance(value, Mapping | list):
            raise UsageError(
                f"{name}.{field}={value}: one value is needed, not a collection",
                f"type {name}.{field}=VALUE, or {name}.{field}=A,B,C for a sweep",
            )
    return tuple((str(field), type(value), value) for field, value in section.items())


@lru_cache(maxsize=16384)
def _section(cls: type, name: str, items: tuple[tuple[str, type, Any], ...]) -> Any:  # noqa: ANN401
    """A section; cached, since the runs of a sweep share most of theirs."""
    given = {field: value for field, _, value in items}
    fields = specs(cls)
    for field in given:
        if field not in fields:
            refuse_gone(f"{name}.{field}")
            known = [f"{name}.{known}" for known in fields]
            raise UsageError(
                f"unknown field '{name}.{field}'",
                did_you_mean(f"{name}.{field}", known, f"there is {', '.join(known)}"),
            )
    values = {
        field: spec.coerce(f"{name}.{field}", given.get(field, spec.default))
        for field, spec in fields.items()
    }
    return _in_torch_convention(cls(**values))


def _in_torch_convention(section: Any) -> Any:  # noqa: ANN401
    """The door: Keras's momentum becomes PyTorch's here, and nowhere else."""
    if getattr(section, "convention", "torch") == "torch":
        return section
    names = [name for name in ("momentum", "final_momentum") if hasattr(section, name)]
    old = {name: getattr(section, name) for name in names}
    new = {name: None if value is None else turned(value) for name, value in old.items()}
    return dataclasses.replace(section, **new, convention="torch")
