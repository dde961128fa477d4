"""Axes: one swept field, group or section and its values, from an override or a study's YAML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from normexp.config.field import spell
from normexp.config.schema import FRAMEWORK, KINDS, RECORDED, SECTIONS
from normexp.config.tree import known_keys, refuse_recorded
from normexp.errors import UsageError, did_you_mean, nearest, pick
from normexp.study.compose import Composer, values

GROUPS = ("study", *KINDS, FRAMEWORK)


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
    distinct = {(type(value), repr(value)): value for value in found}  # true is not 1
    axis = Axis(key, tuple(distinct.values()), typed, drops)
    if axis.is_group:
        _check_choices(composer, axis)
    return axis


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
        hint = f"type '{key}=range(START,STOP,STEP)' or {key}=A,B,C"
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
    else:
        return
    raise UsageError(f"{typed}: {message}", hint)


def _check_choices(composer: Composer, axis: Axis) -> None:
    options = composer.options(axis.key)
    for value in axis.values:
        if value in options or (axis.key == FRAMEWORK and value is None):
            continue
        if value == RECORDED.get(axis.key):
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
