"""Axes: one swept field, group or section and its values, from an override or a study's YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString, RangeSweep

from normexp.config.field import spell
from normexp.config.schema import KINDS, SECTIONS
from normexp.config.tree import known_keys
from normexp.errors import UsageError
from normexp.registry import did_you_mean, pick
from normexp.study.compose import Composer

FRAMEWORK = "norm/framework"
"""A group whose choices set fields of the norm, and are no part of what a run is."""

GROUPS = ("study", *KINDS, FRAMEWORK)

MOST_VALUES = 1_000_000
"""Of an axis, and runs of a study: beyond it is a slip of the finger."""


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
        """What one value sets, by dotted field name; a mapping sets several fields at once."""
        if isinstance(value, Mapping):
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
    parsed = composer.parse(overrides)
    return [_axis(composer, override, typed=True) for override in parsed]


def from_study(composer: Composer, axes: object) -> list[Axis]:
    """The axes of a study's YAML: a mapping of keys to what an override takes, or to a list."""
    if not isinstance(axes, Mapping):
        raise UsageError(f"study.axes is {axes!r}, not a mapping of keys to values")
    found = []
    for key, value in axes.items():
        if isinstance(value, list):
            found.append(Axis(str(key), _distinct(key, value), typed=False))
        else:
            (override,) = composer.parse([f"{key}={spell(value)}"])
            found.append(_axis(composer, override, typed=False))
    return found


def _axis(composer: Composer, override: Override, *, typed: bool) -> Axis:
    _refuse(override)
    key = override.key_or_group
    axis = Axis(key, _values(override), typed=typed, drops=override.is_delete())
    if axis.is_group:
        _check_choices(composer, axis)
    return axis


def _values(override: Override) -> tuple[Any, ...]:
    if override.value_type is None:
        return ()  # ~key
    if not override.is_sweep_override():
        return (override.value(),)
    sweep, key = override.value(), override.key_or_group
    if isinstance(sweep, RangeSweep) and _length(sweep) > MOST_VALUES:
        raise UsageError(f"{override.input_line}: more than {MOST_VALUES:,} values")
    values = [_plain(value) for value in override.sweep_iterator()]
    return _distinct(key, _as_decimals(sweep, values) if isinstance(sweep, RangeSweep) else values)


def _length(sweep: RangeSweep) -> float:
    """About how many values a range has."""
    start, stop, step = (float(part or 0) for part in (sweep.start, sweep.stop, sweep.step))
    return abs(stop - start) / abs(step) if step else 0.0


def _distinct(key: object, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values, each once, in order; a value of another type is another value.

    Raises:
        UsageError: there is none.
    """
    if not values:
        raise UsageError(f"{key} has no values", "type for example 'seed=range(8)'")
    return tuple({(type(value), repr(value)): value for value in values}.values())


def _as_decimals(sweep: RangeSweep, values: Sequence[Any]) -> list[Any]:
    """The values of a range as its decimals mean them.

    Hydra adds in binary: its range(0.1,0.4,0.1) ends in 0.30000000000000004, which would be
    another run than 0.3.
    """
    exponents = [Decimal(repr(part)).as_tuple().exponent for part in (sweep.start, sweep.step)]
    digits = max(0, *(-exponent for exponent in exponents if isinstance(exponent, int)))
    return [round(value, digits) if isinstance(value, float) else value for value in values]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A parsed element without Hydra's quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {_plain(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


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
        if value not in options and not (axis.key == FRAMEWORK and value is None):
            pick(spell(value), dict.fromkeys(options), axis.key)
