"""Configurations in three forms: nested plain mappings, typed, and flat by dotted names."""

from collections.abc import Mapping
from functools import cache, lru_cache
from types import NoneType
from typing import Any, NoReturn

from normexp.config.field import FieldSpec, Scalar, specs, spell
from normexp.config.schema import GONE, IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.errors import UsageError, did_you_mean, pick
from normexp.theory.memory import turned

Tree = Mapping[str, Any]

PLAIN = (str, int, float, type(None))
"""Almost every value; to ask whether something is a mapping takes ten times as long."""


def from_tree(tree: Tree) -> RunConfig:
    """Return the typed configuration of a resolved tree; missing fields take their defaults.

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


def refuse_recorded() -> NoReturn:
    """Say why what is of a recorded loop cannot be trained.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        "data=loop and optim=own are of a training that was recorded in a loop outside "
        "of normexp: nothing else can train it",
        "run that loop with recorder = normexp.record(model, optimizer), and call "
        "recorder.save(DIR) after it",
    )


def without_gone(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration by dotted names, without the fields that are no longer there."""
    return {path: value for path, value in flat.items() if path not in GONE}


def section_class(name: str, tree: Tree) -> type:
    """Return the schema class that section `name` of `tree` is read as, by its `kind`.

    Raises:
        UsageError: it is one value, or of a kind that the schema does not know.
    """
    section = tree.get(name, {})
    if not isinstance(section, Mapping):
        raise UsageError(
            f"{name}={spell(section)}: {name} is a section", f"type {name}.FIELD=VALUE"
        )
    if name in SECTIONS:
        return SECTIONS[name]
    if name not in tree and name not in IDENTITY_GROUPS:
        return next(iter(KINDS[name].values()))  # a stored configuration has no executor
    kind = section.get("kind", "(none given)")
    return pick(str(kind), KINDS[name], f"{name}.kind")


def field_specs(tree: Tree) -> dict[str, FieldSpec]:
    """Return every field that a run of this tree has, by dotted name."""
    return _specs(*(section_class(name, tree) for name in (*KINDS, *SECTIONS)))


def specs_of(flat: Mapping[str, Any]) -> dict[str, FieldSpec]:
    """Return every field that a run has, from its configuration by dotted names.

    Raises:
        UsageError: it has a kind that the schema does not know, or lacks one.
    """
    kinds = {name: f"{name}.kind" for name in KINDS}
    return field_specs({n: {"kind": flat[path]} for n, path in kinds.items() if path in flat})


@cache
def _specs(*classes: type) -> dict[str, FieldSpec]:
    found = dict(specs(RunConfig))
    for name, cls in zip((*KINDS, *SECTIONS), classes, strict=True):
        found |= {f"{name}.{field}": spec for field, spec in specs(cls).items()}
    return found


@cache
def declared() -> tuple[tuple[str, str, FieldSpec], ...]:
    """Return every field of every kind: dotted name, the choice that has it (empty: all), spec."""
    sections = [("", "", RunConfig), *((f"{name}.", "", cls) for name, cls in SECTIONS.items())]
    for group, kinds in KINDS.items():
        sections += [(f"{group}.", f"{group}={kind}", cls) for kind, cls in kinds.items()]
    return tuple(
        (f"{start}{field}", choice, spec)
        for start, choice, cls in sections
        for field, spec in specs(cls).items()
    )


@cache
def known_keys() -> dict[str, tuple[str, ...]]:
    """Return every dotted field of the schema, and the choices that have it (empty: all)."""
    keys: dict[str, tuple[str, ...]] = {}
    for path, choice, _ in declared():
        keys[path] = (*keys.get(path, ()), choice) if choice else ()
    return keys


@cache
def field_types() -> dict[str, frozenset[type]]:
    """Return the Python types that every dotted field may have, an int for a float too."""
    found: dict[str, frozenset[type]] = {path: frozenset({kind}) for path, kind in GONE.items()}
    for path, _, spec in declared():
        types = {int, float} if spec.type is float else {spec.type}
        optional = {NoneType} if spec.optional else set()
        found[path] = found.get(path, frozenset()) | types | optional
    return found


def flatten(config: RunConfig) -> dict[str, Scalar]:
    """Return the configuration by dotted names, in the order of the schema."""
    flat: dict[str, Scalar] = {}
    for name in (*KINDS, *SECTIONS):
        flat.update(flatten_section(name, getattr(config, name)))
    return flat | {name: getattr(config, name) for name in specs(RunConfig)}


@lru_cache(maxsize=16384)
def flatten_section(name: str, section: Any) -> dict[str, Scalar]:  # noqa: ANN401
    """Return one section by dotted names; cached, since the runs of a sweep share most of them."""
    return {f"{name}.{field}": getattr(section, field) for field in specs(section.__class__)}


def nest(flat: Mapping[str, Any], tree: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the nested tree of dotted names, put into `tree` if there is one already."""
    found: dict[str, Any] = {} if tree is None else tree
    for path, value in flat.items():
        section, _, field = path.rpartition(".")
        (found.setdefault(section, {}) if section else found)[field] = value
    return found


def _items(name: str, section: Mapping[Any, Any]) -> tuple[tuple[str, type, Any], ...]:
    for field, value in section.items():
        if not isinstance(value, PLAIN) and isinstance(value, Mapping | list):
            raise UsageError(
                f"{name}.{field}={value}: one value is needed, not a collection",
                f"type {name}.{field}=VALUE, or {name}.{field}=A,B,C for a sweep",
            )
    return tuple((str(field), type(value), value) for field, value in section.items())


@lru_cache(maxsize=16384)
def _section(cls: type, name: str, items: tuple[tuple[str, type, Any], ...]) -> Any:  # noqa: ANN401
    """Return a section; cached, since the runs of a sweep share most of them."""
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
    if values.get("convention", "torch") != "torch":  # the only place that turns Keras's momentum
        for field in ("momentum", "final_momentum"):
            momentum = values.get(field)
            if momentum is not None:
                values[field] = turned(float(momentum))
        values["convention"] = "torch"
    return cls(**values)
