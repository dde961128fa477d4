"""One field of the schema: its role, its type and the values it takes.

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

from normexp.errors import UsageError, nearest

Scalar = bool | int | float | str | None

LARGEST = 2**63 - 1
"""The largest whole number that a table's column holds."""

TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Role(StrEnum):
    """The part that a field takes in identity."""

    STRUCTURAL = "structural"  # shapes, operations, number of steps: splits stacks
    STACKABLE = "stackable"  # may differ between the networks of one stack
    OBSERVED = "observed"  # read by estimators and evaluation only, never by the weights
    RUNTIME = "runtime"  # no part of identity


MEANINGS = {
    Role.STRUCTURAL: "networks that differ in it train apart",
    Role.STACKABLE: "networks that differ in it train side by side, in one stack",
    Role.OBSERVED: "runs that differ in it share one training: more values cost next to nothing",
    Role.RUNTIME: "no part of what a run is",
}
"""The consequence of a difference, by the role of the field."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """A field beyond its name, type and default; its meaning stands in `configs/`.

    `unit` is what a number of it counts or measures, where it has a unit.

    `neutral` is for a field added to a published schema: where the field has that value it is
    left out of the identity, so that older runs keep their names.
    """

    role: Role
    short: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    exclusive: bool = False
    neutral: Scalar = "no neutral value"
    unit: str = ""

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        above, below = ("above", "below") if self.exclusive else ("from", "to")
        low = f" {above} {self.minimum:g}" if math.isfinite(self.minimum) else ""
        high = f" {below} {self.maximum:g}" if math.isfinite(self.maximum) else ""
        return low + high


def declare(role: Role, default: Scalar, **rule: Any) -> Any:  # noqa: ANN401
    """Return a dataclass field with its role; `rule` are the further fields of `Rule`."""
    return use(Rule(role, **rule), default)


def use(rule: Rule, default: Scalar, **changes: Any) -> Any:  # noqa: ANN401
    """Return a dataclass field of a rule that several classes share, changed for this one."""
    rule = dataclasses.replace(rule, **changes)
    return dataclasses.field(default=default, metadata={"rule": rule})


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """A field as declared: its name in its section, Python type and rule."""

    name: str
    type: type
    optional: bool
    choices: tuple[str, ...]
    default: Any
    rule: Rule

    def coerce(self, path: str, value: object) -> Scalar:
        """Return `value` in the field's type.

        Raises:
            UsageError: it does not fit; the message names `path`.
        """
        if value is None and self.optional:
            return None
        if self.type is str and not self.choices and type(value) is int:
            value = str(value)  # as Hydra does: store.dir=2026
        if isinstance(value, str) and not value.isprintable():
            _check_text(path, value)
        if self._fits(value):
            return float(value) + 0.0 if self.type is float else value  # type: ignore[arg-type,return-value]
        shown = repr(value) if isinstance(value, str) and not self.choices else spell(value)
        near = [f"{path}={choice}" for choice in nearest(str(value), self.choices)]
        raise UsageError(
            f"{path}={shown}: {self.allowed} is needed",
            f"did you mean {' or '.join(near)}?"
            if near
            else f"type for example {path}={spell(self.default)}",
        )

    @property
    def allowed(self) -> str:
        """The values that it takes, in words."""
        *others, last = self.choices or (TYPE_NAMES[self.type],)
        words = f"{', '.join(others)} or {last}" if others else last
        bounds = self.rule.bounds if self.type in (int, float) else ""
        return f"{words}{bounds}, or null" if self.optional else f"{words}{bounds}"

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


def _check_text(path: str, text: str) -> None:
    """Refuse a name that is not UTF-8, as file systems allow: no manifest could hold it."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(
            f"{path}={text!r}: a text in UTF-8 without NUL is needed", "use another name"
        )


@cache
def specs(section: type) -> dict[str, FieldSpec]:
    """Return the fields of a schema class by name, in order of declaration."""
    hints = get_type_hints(section)
    found = {}
    for field in dataclasses.fields(section):
        if "rule" not in field.metadata:
            continue
        hint = hints[field.name]
        members = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
        base = next(member for member in members if member is not NoneType)
        choices = get_args(base) if get_origin(base) is Literal else ()
        found[field.name] = FieldSpec(
            name=field.name,
            type=str if choices else base,
            optional=NoneType in members,
            choices=choices,
            default=field.default,
            rule=field.metadata["rule"],
        )
    return found


def spell(value: object) -> str:
    """Return a value as one types it in an override."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_override(path: str, value: Scalar) -> str:
    """Return a field as one types it: a kind by its group."""
    return f"{path.removesuffix('.kind')}={spell(value)}"


def expanded(path: str | Path) -> Path:
    """Return a path with the home directory for its ~; as it is where ~NAME names no user."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


RESERVED = ("true", "false", "null", "inf", "nan")
"""Words that Hydra's grammar does not read as text, in capitals either."""


def quoted(value: object) -> str:
    """Return an override's right side that gives this value: a text in quotes if it needs them."""
    if not isinstance(value, str):
        return spell(value)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", value) and value.lower() not in RESERVED:
        return value
    # To OmegaConf ${ begins an interpolation, and to both a backslash counts only where it stands
    # before something special: a quote that is escaped, or the closing one.
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return "'" + re.sub(r"(\\*)('|\Z)", _escaped, literal) + "'"


def unquoted(text: str) -> str:
    """Return the text that `quoted` has made this of."""
    if not (len(text) > 1 and text[0] == text[-1] == "'"):
        return text
    literal = re.sub(r"(\\*)('|\Z)", _halved, text[1:-1])
    return re.sub(r"(\\*)(\$\{)", _halved, literal)


def _escaped(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")


def _halved(found: re.Match[str]) -> str:
    return found[1][: len(found[1]) // 2] + found[2]
