"""One field of the schema: its role, its type and what values it takes.

A role says how a field takes part in identity; everything else in normexp follows from it.
"""

import dataclasses
import math
import re
from contextlib import suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from normexp.errors import UsageError
from normexp.registry import nearest

Scalar = bool | int | float | str | None

LARGEST = 2**63 - 1
"""Of whole numbers: what a table's column holds."""


class Role(StrEnum):
    """How a field takes part in identity."""

    STRUCTURAL = "structural"  # shapes, operations, number of steps: splits stacks
    STACKABLE = "stackable"  # may differ between the networks of one stack
    OBSERVED = "observed"  # read by estimators and evaluation only, never by the weights
    RUNTIME = "runtime"  # no part of identity


@dataclasses.dataclass(frozen=True)
class Rule:
    """What the schema says of one field beyond its type.

    `neutral` is for a field added to a published schema: where the field has that value it is
    left out of the identity, so that older runs keep their names.
    """

    role: Role
    doc: str
    short: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    exclusive: bool = False
    neutral: Scalar = "no neutral value"


def declare(role: Role, default: Scalar, doc: str, **rule: Any) -> Any:  # noqa: ANN401
    """A dataclass field with its role; `rule` are the further fields of `Rule`."""
    return dataclasses.field(default=default, metadata={"rule": Rule(role, doc, **rule)})


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """A field as declared: dotted-path-free name, Python types and rule."""

    name: str
    type: type
    optional: bool
    choices: tuple[str, ...]
    default: Any
    rule: Rule

    def coerce(self, path: str, value: object) -> Scalar:
        """`value` in the field's type, or a `UsageError` that names `path`."""
        if value is None and self.optional:
            return None
        if self.type is str and not self.choices and type(value) is int:
            value = str(value)  # as Hydra does: store.dir=2026
        if isinstance(value, str) and not value.isprintable():
            _refuse_unwritable(path, value)
        if self._fits(value):
            return float(value) + 0.0 if self.type is float else value  # type: ignore[arg-type,return-value]
        example = f"type for example {path}={spell(self.default)}"
        near = [f"{path}={choice}" for choice in nearest(str(value), self.choices)]
        raise UsageError(
            f"{path}={self._given(value)}: {self.allowed()} is needed",
            f"did you mean {' or '.join(near)}?" if near else example,
        )

    def allowed(self) -> str:
        """The allowed values in words."""
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        several = ", ".join(self.choices[:-1]) + " or " if len(self.choices) > 1 else ""
        words = several + self.choices[-1] if self.choices else kind[self.type]
        if self.type in (int, float):
            words += _bounds(self.rule)
        return f"{words}, or null" if self.optional else words

    def _given(self, value: object) -> str:
        """A value as a person sees what is wrong with it: a text among numbers in quotes."""
        return repr(value) if isinstance(value, str) and not self.choices else spell(value)

    def _fits(self, value: object) -> bool:
        if self.type is bool:
            return isinstance(value, bool)
        if self.type is str:
            return isinstance(value, str) and value in (self.choices or {value} - {""})
        if isinstance(value, bool) or not isinstance(value, int | self.type):
            return False
        if isinstance(value, int) and abs(value) > LARGEST:
            return False
        number = float(value)  # type: ignore[arg-type]
        low, high = self.rule.minimum, self.rule.maximum
        inside = low < number < high if self.rule.exclusive else low <= number <= high
        return math.isfinite(number) and inside


def _refuse_unwritable(path: str, text: str) -> None:
    """A name that is not UTF-8, as file systems allow, could be written into no manifest."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(
            f"{path}={text!r}: a text in UTF-8 without NUL is needed", "use another name"
        )


def _bounds(rule: Rule) -> str:
    above, below = ("above", "below") if rule.exclusive else ("from", "to")
    low = f" {above} {rule.minimum:g}" if math.isfinite(rule.minimum) else ""
    high = f" {below} {rule.maximum:g}" if math.isfinite(rule.maximum) else ""
    return low + high


@cache
def specs(section: type) -> dict[str, FieldSpec]:
    """The fields of a schema class by name, in order of declaration."""
    hints = get_type_hints(section)
    declared = (field for field in dataclasses.fields(section) if "rule" in field.metadata)
    return {field.name: _spec(field, hints[field.name]) for field in declared}


def _spec(field: "dataclasses.Field[Any]", hint: Any) -> FieldSpec:  # noqa: ANN401
    members = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    optional = NoneType in members
    base = next(member for member in members if member is not NoneType)
    choices = get_args(base) if get_origin(base) is Literal else ()
    return FieldSpec(
        name=field.name,
        type=str if choices else base,
        optional=optional,
        choices=choices,
        default=field.default,
        rule=field.metadata["rule"],
    )


def spell(value: object) -> str:
    """A value as one types it in an override."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def expanded(path: str | Path) -> Path:
    """A path with the home directory for its ~; as it is where ~NAME names no user."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


RESERVED = ("true", "false", "null", "inf", "nan")
"""What Hydra's grammar reads as no text, in capitals too."""


def quoted(value: object) -> str:
    """A value as an override that gives exactly it back: a text in quotes where it needs them."""
    if not isinstance(value, str):
        return spell(value)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", value) and value.lower() not in RESERVED:
        return value
    # To OmegaConf ${ begins an interpolation, and to both a backslash counts only where it stands
    # before something special.
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return "'" + re.sub(r"(\\*)('|\Z)", _escaped, literal) + "'"


def unquoted(text: str) -> str:
    """The text that `quoted` has made this of."""
    if not (len(text) > 1 and text[0] == text[-1] == "'"):
        return text
    literal = re.sub(r"(\\*)('|\Z)", _halved, text[1:-1])
    return re.sub(r"(\\*)(\$\{)", _halved, literal)


def _halved(found: re.Match[str]) -> str:
    return found[1][: len(found[1]) // 2] + found[2]


def _escaped(found: re.Match[str]) -> str:
    """Backslashes doubled before a quote that is escaped, or before the closing one."""
    return found[1] * 2 + ("\\'" if found[2] else "")
