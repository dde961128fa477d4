"""Axes with their values, the bases that they vary, and the runs that come of both."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from hydra.core.override_parser.types import Override

from normexp.config.field import FieldSpec, Scalar, specs, spell
from normexp.config.identity import run_id, stack_key, trajectory_id
from normexp.config.norm import BatchKind
from normexp.config.schema import FRAMEWORK, KINDS, RECORDED, SECTIONS, RunConfig
from normexp.config.tree import (
    field_specs,
    flatten,
    from_tree,
    known_keys,
    nest,
    refuse_recorded,
    section_class,
)
from normexp.errors import UsageError, did_you_mean, nearest, pick
from normexp.study.compose import Composer, Tree, resolve, values

ARGUMENTS = "model.arguments"

GROUPS = ("study", *KINDS, FRAMEWORK)
NO_FRAMEWORK = "null"


@dataclass(frozen=True)
class Axis:
    """A key and its values.

    Attributes:
        key: of a field, a group or a section.
        values: scalars or None, group choices, or mappings for a section.
        typed: on the command line, not in the study's YAML: it must apply somewhere.
        drops: `~key`, back to the default; the study's axis, if any, is gone.
    """

    key: str
    values: tuple[Any, ...]
    typed: bool
    drops: bool = False

    @property
    def is_group(self) -> bool:
        """True if the values are choices of a config group."""
        return self.key in GROUPS

    @property
    def is_swept(self) -> bool:
        """True if there is more than one value."""
        return len(self.values) > 1

    def assignments(self, value: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the fields that one value sets, by dotted name."""
        if isinstance(value, Mapping) and self.key in (*KINDS, *SECTIONS):
            return {f"{self.key}.{field}": part for field, part in value.items()}
        return {self.key: value}

    def fields(self) -> list[str]:
        """Return the dotted names of the fields that any value sets."""
        if self.drops:
            return [self.key]
        return list(dict.fromkeys(name for v in self.values for name in self.assignments(v)))

    def spelled(self) -> str:
        """Return the axis as one types it."""
        if self.drops and not self.values:
            return f"~{self.key}"
        return f"{self.key}={','.join(spell(value) for value in self.values)}"


def from_overrides(composer: Composer, overrides: Sequence[str]) -> list[Axis]:
    """Return the axes of the command line.

    Raises:
        UsageError: an override that Hydra's grammar refuses, or a study cannot use.
    """
    for typed in overrides:
        if "=" not in typed and not typed.startswith("~"):
            raise UsageError(
                f"{typed!r} is not in Hydra's override grammar: it has no '='",
                f"type {_meant(composer, typed)}",
            )
    parsed = [composer.parse(typed) for typed in overrides]
    return [_axis(composer, override, typed=True) for override in parsed]


def _meant(composer: Composer, word: str) -> str:
    """Return the override that was probably meant by a word."""
    if word in GROUPS:
        return f"{word}=CHOICE"
    if choices := [f"{group}={word}" for group in GROUPS if word in composer.options(group)]:
        return " or ".join(choices)
    if near := nearest(word, known_keys()):
        return f"{near[0]}=VALUE"
    return "key=value, as in norm.momentum=0.1"


def from_study(composer: Composer, axes: object) -> list[Axis]:
    """Return the axes of a study's YAML: a mapping of keys to an override's values, or to a list.

    Keys may be nested: `norm: {momentum: [0.1, 0.5]}` is `norm.momentum: [0.1, 0.5]`.
    """
    if not isinstance(axes, Mapping):
        raise UsageError(
            f"study.axes is {axes!r}, not a mapping of keys to values",
            "write for example 'axes: {seed: range(8)}'",
        )
    found = []
    for key, value in _dotted(axes):
        if key == "study":
            raise UsageError("study.axes has study: a sweep is of one study", "leave it out")
        listed = value if isinstance(value, list) else None
        override = composer.parse(f"{key}={spell(value) if listed is None else ''}")
        found.append(_axis(composer, override, listed, typed=False))
    return found


def _dotted(axes: Mapping[Any, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in axes.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value


def _axis(
    composer: Composer, override: Override, listed: Sequence[Any] | None = None, *, typed: bool
) -> Axis:
    _check_key(override)
    key, drops = override.key_or_group, override.is_delete()
    found = values(override) if listed is None else listed
    if not found and not drops:
        raise UsageError(f"{key} has no values", "type for example 'seed=range(8)'")
    if key == ARGUMENTS:
        found = [_words(value) if isinstance(value, Mapping) else value for value in found]
    distinct = {(type(value), repr(value)): value for value in found}  # true is not 1
    axis = Axis(key, tuple(distinct.values()), typed, drops)
    if axis.is_group:
        _check_choices(composer, axis)
    return axis


def _words(arguments: Mapping[str, Any]) -> str:
    """Arguments of a function as one text, which a field can hold."""
    return " ".join(f"{name}={shlex.quote(spell(value))}" for name, value in arguments.items())


def _check_key(override: Override) -> None:
    """Refuse what Hydra's grammar knows and a study cannot use."""
    typed, key = str(override.input_line), override.key_or_group
    hint = f"type {key}=CHOICE"
    if override.is_add():
        known = (*known_keys(), *GROUPS)
        plain = typed.removeprefix("+")
        message = "the schema is closed, nothing would read an added key"
        hint = f"type {plain}" if key in known else did_you_mean(key, known, f"leave out {typed}")
    elif override.is_interval_sweep():
        message = "a study is a finite set of runs, an interval is not"
        hint = f"type normexp search {typed!r}, or '{key}=range(START,STOP,STEP)' or {key}=A,B,C"
    elif override.package is not None:
        message = "groups cannot be put elsewhere"
    elif override.is_hydra_override() or key == "hydra":
        message = "normexp names its own directories and runs its own sweeps"
        hint = "type store.dir=DIR for the place, executor.workers=N for the threads"
    elif key.endswith(".kind"):
        message = "a kind comes with its group"
        hint = f"type {key.removesuffix('.kind')}=CHOICE"
    elif key.startswith("study."):
        message = "a study's axes are replaced by typing their keys"
        hint = "type for example 'seed=range(32)' or norm.momentum=0.1,0.5"
    elif override.is_delete() and key != FRAMEWORK and (key in GROUPS or key in SECTIONS):
        message = f"a run needs its {key}"
        hint = f"type {key}.FIELD=VALUE" if key in SECTIONS else hint
    else:
        return
    raise UsageError(f"{typed}: {message}", hint)


def _check_choices(composer: Composer, axis: Axis) -> None:
    options = composer.options(axis.key)
    for value in axis.values:
        if value in options or (axis.key == FRAMEWORK and value is None):
            continue
        if axis.key in RECORDED and value == RECORDED[axis.key]:
            refuse_recorded()
        if isinstance(value, Mapping | list):
            raise UsageError(
                f"{axis.key}={value}: one of {', '.join(options)} is needed, not a collection",
                f"type {axis.key}={options[0]}, or {axis.key}.FIELD=VALUE for what is in it",
            )
        try:
            pick(spell(value), dict.fromkeys(options), axis.key)
        except UsageError as error:
            error.hint = composer.misplaced(axis.key, spell(value)) or error.hint
            raise


@dataclass(frozen=True)
class Base:
    """One combination of group choices, before the values of the axes are put in.

    Attributes:
        choices: of every group.
        tree: as composed.
        left_out: fields that the study or the framework sets and these choices do not have.
        preset: fields that the framework sets.
        is_typed: whether the framework is typed, so that a study's own axes give way to it.
    """

    choices: dict[str, str]
    tree: Tree
    left_out: tuple[str, ...] = ()
    preset: frozenset[str] = frozenset()
    is_typed: bool = False

    @cached_property
    def specs(self) -> dict[str, FieldSpec]:
        """The fields that runs of this combination have."""
        return field_specs(self.tree)

    def overrules(self, axis: Axis) -> bool:
        """Return true if a typed framework sets fields of this axis of the study's own."""
        return self.is_typed and not axis.typed and not self.preset.isdisjoint(axis.fields())

    def with_values(self, values: dict[str, Any], dropped: Sequence[str]) -> RunConfig:
        """Return the configuration with these fields set and the dropped ones at their defaults.

        It is still to be settled. A dropped field that the framework sets stays as it sets it.
        """
        tree = {k: dict(v) if isinstance(v, dict) else v for k, v in self.tree.items()}
        own = self.specs.keys() - self.preset
        defaults = {name: self.specs[name].default for name in dropped if name in own}
        nest(defaults | values, tree)
        parts = (part.values() if isinstance(part, dict) else (part,) for part in tree.values())
        has_interpolations = any(isinstance(v, str) and "${" in v for part in parts for v in part)
        return from_tree(resolve(tree) if has_interpolations else tree)


@dataclass(frozen=True)
class Run:
    """One full configuration, seed included, and the choices that it was made from."""

    config: RunConfig
    base: Base

    @cached_property
    def id(self) -> str:
        """See `normexp.config.identity`."""
        return run_id(self.config)

    @cached_property
    def trajectory_id(self) -> str:
        """Equal for runs whose weights are equal at every step."""
        return trajectory_id(self.config)

    @cached_property
    def stack_key(self) -> str:
        """Equal for runs whose networks can train together."""
        return stack_key(self.config)

    @property
    def flat(self) -> dict[str, Scalar]:
        """The configuration by dotted names; not kept, since a million of them are 2 GB."""
        return flatten(self.config)


def framed(hydra: Composer, choices: Mapping[str, str], *, is_typed: bool) -> Base:
    """Return the base of these choices.

    A norm without running statistics has no framework. A framework of another kind of norm, such
    as Equinox that normalises by its average in training, takes the place of the norm chosen.

    Args:
        hydra: to compose with.
        choices: by group.
        is_typed: whether the framework is.
    """
    plain = {group: choice for group, choice in choices.items() if group != FRAMEWORK}
    tree, chosen = hydra.tree(plain)
    preset: dict[str, Any] = {}
    framework = choices.get(FRAMEWORK)
    if framework == NO_FRAMEWORK:
        chosen[FRAMEWORK] = framework
    elif framework and section_class("norm", tree) in get_args(BatchKind):
        # The last group of configs/config.yaml, so that this is what Hydra gives, in less time.
        preset = hydra.preset(FRAMEWORK, framework)
        kind = tree["norm"]["kind"]
        if preset.get("kind", kind) != kind:
            tree, chosen = hydra.tree(plain | {"norm": preset["kind"]})
        tree["norm"] |= preset
        chosen[FRAMEWORK] = framework
        plain["norm"] = chosen["norm"]
    tree.pop("study", None)
    known = {group: specs(section_class(group, tree)) for group in plain if group != "study"}
    left_out = [
        (group, field)
        for group, fields in known.items()
        for field in tree.get(group, {})
        if field not in fields and f"{group}.{field}" in known_keys()
    ]
    for group, field in left_out:
        del tree[group][field]
    return Base(
        chosen,
        tree,
        tuple(f"{group}.{field}" for group, field in left_out),
        frozenset(f"norm.{field}" for field in preset),
        is_typed,
    )
