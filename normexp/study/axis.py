"""Axes: one swept field, group or section and its values, from an override or a study's YAML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from normexp.config.field import spell
from normexp.config.schema import FRAMEWORK, KINDS, SECTIONS
from normexp.config.tree import known_keys
from normexp.errors import UsageError
from normexp.registry import did_you_mean, nearest, pick
from normexp.study.compose import Composer
from normexp.study.grammar import values

GROUPS = ("study", *KINDS, FRAMEWORK)


@dataclass(frozen=True)
class Axis:
    """A key and the values it takes, one or many.

    `typed` tells a key of the command line from one of the study's YAML: what the user typed must
    apply somewhere. `values` are `None`-able scalars, group choices, or mappings for a section.
    """

    key: str
    values: tuple[Any, ...]
    typed: bool
    drops: bool = False  # ~key: back to the default; the study's axis, if any, is gone

    @property
    def is_group(self) -> bool:
        """Whether the values are choices of a config group."""
        return self.key in GROUPS

    @property
    def is_swept(self) -> bool:
        """Whether there is more than one value."""
        return len(self.values) > 1

    def assignments(self, value: Any) -> dict[str, Any]:  # noqa: ANN401
        """What one value sets, by dotted field name; a section's mapping sets several at once."""
        if isinstance(value, Mapping) and self.key in (*KINDS, *SECTIONS):
            return {f"{self.key}.{field}": part for field, part in value.items()}
        return {self.key: value}

    def fields(self) -> list[str]:
        """The dotted names that any value sets."""
        if self.drops:
            return [self.key]
        return list(dict.fromkeys(name for v in self.values for name in self.assignments(v)))

    def spelled(self) -> str:
        """The axis as one types it, for a person to read."""
        if self.drops and not self.values:
            return f"~{self.key}"
        return f"{self.key}={','.join(spell(value) for value in self.values)}"


def from_overrides(composer: Composer, overrides: Sequence[str]) -> list[Axis]:
    """The axes that the command line gives, as typed.

    Raises:
        UsageError: what Hydra's grammar knows but a study cannot use, each with its reason.
    """
    for typed in overrides:
        if "=" not in typed and not typed.startswith("~"):
            raise UsageError(
                f"{typed!r} is not in Hydra's override grammar: it has no '='",
                _meant(composer, typed),
            )
    parsed = composer.parse(overrides)
    return [_axis(composer, override, typed=True) for override in parsed]


def _meant(composer: Composer, word: str) -> str:
    """What to type for a word that is no override: a choice with its group, a key with a value."""
    choices = [f"{group}={word}" for group in GROUPS if word in composer.options(group)]
    if word in GROUPS:
        return f"type {word}=CHOICE"
    if not choices and nearest(word, known_keys()):
        return f"type {nearest(word, known_keys())[0]}=VALUE"
    return f"type {' or '.join(choices) or 'key=value, as in norm.momentum=0.1'}"


def from_study(composer: Composer, axes: object) -> list[Axis]:
    """The axes of a study's YAML: a mapping of keys to what an override takes, or to a list.

    Keys may be nested: `norm: {momentum: [0.1, 0.5]}` is `norm.momentum: [0.1, 0.5]`.
    """
    if not isinstance(axes, Mapping):
        raise UsageError(
            f"study.axes is {axes!r}, not a mapping of keys to values",
            "write for example 'axes: {seed: range(8)}'",
        )
    found = []
    for key, value in _dotted(axes):
        listed = value if isinstance(value, list) else None
        (override,) = composer.parse([f"{key}={spell(value) if listed is None else ''}"])
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
    _refuse(override)
    key, drops = override.key_or_group, override.is_delete()
    found = values(override) if listed is None else listed
    axis = Axis(key, () if drops and not found else _distinct(key, found), typed, drops)
    if axis.is_group:
        _check_choices(composer, axis)
    return axis


def _distinct(key: object, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values, each once, in order; a value of another type is another value.

    Raises:
        UsageError: there is none.
    """
    if not values:
        raise UsageError(f"{key} has no values", "type for example 'seed=range(8)'")
    return tuple({(type(value), repr(value)): value for value in values}.values())


def _refuse(override: Override) -> None:
    typed, key = str(override.input_line), override.key_or_group
    if override.is_add():
        plain = typed.removeprefix("+")
        raise UsageError(
            f"{typed}: the schema is closed, nothing would read an added key",
            f"type {plain}"
            if key in (*known_keys(), *GROUPS)
            else did_you_mean(key, [*known_keys(), *GROUPS], f"leave out {typed}"),
        )
    if override.is_interval_sweep():
        raise UsageError(
            f"{typed}: a study is a finite set of runs, an interval is not",
            f"type '{key}=range(START,STOP,STEP)' or {key}=A,B,C",
        )
    if override.package is not None:
        raise UsageError(f"{typed}: groups cannot be put elsewhere", f"type {key}=CHOICE")
    if override.is_hydra_override() or key == "hydra":
        raise UsageError(
            f"{typed}: normexp names its own directories and runs its own sweeps",
            "type store.dir=DIR for the place, executor.workers=N for the threads",
        )
    if key.endswith(".kind"):
        raise UsageError(f"{typed}: a kind comes with its group", f"type {key[:-5]}=CHOICE")
    if key.startswith("study."):
        raise UsageError(
            f"{typed}: a study's axes are replaced by typing their keys",
            "type for example 'seed=range(32)' or norm.momentum=0.1,0.5",
        )
    if override.is_delete() and key != FRAMEWORK and (key in GROUPS or key in SECTIONS):
        raise UsageError(f"{typed}: a run needs its {key}", f"type {key}=CHOICE to change it")


def _check_choices(composer: Composer, axis: Axis) -> None:
    options = composer.options(axis.key)
    for value in axis.values:
        if value in options or (axis.key == FRAMEWORK and value is None):
            continue
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
