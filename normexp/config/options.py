"""Every choice and every field that an override can name, with the meaning that `configs/` gives.

Files are read as text: the shell's completion waits for no YAML and no Hydra.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from normexp.config.field import FieldSpec, Scalar
from normexp.config.schema import FRAMEWORK, KINDS, RECORDED, packaged_configs
from normexp.config.tree import declared
from normexp.errors import UsageError, did_you_mean

GROUPS = ("study", "data", "model", "norm", FRAMEWORK, "optim", "executor")

COMMENTED = re.compile(r"((?:^ *#.*\n)+) *(\w+):", re.MULTILINE)


class Option(NamedTuple):
    """A field with one meaning and one default, and the choices that have it (none: all runs)."""

    path: str
    of: tuple[str, ...]
    default: Scalar
    spec: FieldSpec
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as data."""
        rule = self.spec.rule
        shown = {"field": self.path, "of": list(self.of), "default": self.default}
        words = {"type": self.spec.allowed, "unit": rule.unit, "role": rule.role.value}
        return shown | words | {"meaning": self.meaning}


class Options(NamedTuple):
    """Choices with a line each, by group, and fields."""

    choices: dict[str, dict[str, str]]
    fields: list[Option]

    def as_dict(self) -> dict[str, Any]:
        """Return them as data."""
        return {"choices": self.choices, "fields": [each.as_dict() for each in self.fields]}

    def about(self, word: str) -> "Options":
        """Return those that a word means: a group, a section, a choice, a field or its last part.

        Raises:
            UsageError: it means none.
        """
        pairs = [(group, each) for group, kinds in self.choices.items() for each in kinds]
        meant = [(g, each) for g, each in pairs if word in (g, each, f"{g}={each}")]
        chosen = {f"{group}={each}" for group, each in meant}
        fields = [
            e for e in self.fields if chosen & {*e.of} or word in (e.path, *e.path.split("."))
        ]
        if not meant and not fields:
            words = [f"{group}={each}" if "=" in word else each for group, each in pairs]
            known = [*words, *self.choices, *(each.path for each in self.fields)]
            hint = did_you_mean(word, dict.fromkeys(known), "type normexp options for all groups")
            raise UsageError(f"{word!r} is no option", hint)
        choices: dict[str, dict[str, str]] = {}
        for group, each in meant:
            choices.setdefault(group, {})[each] = self.choices[group][each]
        return Options(choices, fields)


def options(user: Path | None = None) -> Options:
    """Return all, with the choices in the user's own configs."""
    choices = {group: dict(_choices(group, user)) for group in GROUPS}
    merged: dict[tuple[Any, ...], Option] = {}
    for path, choice, spec in declared():
        group, _, kind = choice.partition("=")
        if spec.name == "kind" or RECORDED.get(group) == kind != "":
            continue
        meaning = _meanings(f"{group}/{kind}" if group in KINDS else "config")[spec.name]
        rule = spec.rule
        key = (path, meaning, spec.default, spec.allowed, rule.role, rule.unit)
        of = merged[key].of if key in merged else ()
        merged[key] = Option(path, (*of, choice) if choice else (), spec.default, spec, meaning)
    return Options(choices, list(merged.values()))


def _choices(group: str, user: Path | None) -> Iterator[tuple[str, str]]:
    for directory in filter(None, (packaged_configs(), user)):
        for path in sorted((directory / group).glob("*.yaml")):
            text = path.read_text(encoding="utf-8", errors="replace")
            about = re.search(r"^ +about: *(.+)", text, re.MULTILINE) if group == "study" else None
            head = re.match(r"(?:#.*\n)*", text)
            yield path.stem, about[1] if about else _words(head[0] if head else "")


@cache
def _meanings(name: str) -> dict[str, str]:
    """Return the comment above each field of a packaged file."""
    text = (packaged_configs() / f"{name}.yaml").read_text(encoding="utf-8")
    return {field: _words(comment) for comment, field in COMMENTED.findall(text)}


def _words(comment: str) -> str:
    lines = (line.strip(" #") for line in comment.splitlines() if "@package" not in line)
    return " ".join(lines)
