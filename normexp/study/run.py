"""A run, and the combination of group choices that it was made from, a framework among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from normexp.config.field import FieldSpec, Scalar, specs
from normexp.config.identity import run_id, stack_key, trajectory_id
from normexp.config.norm import BatchKind
from normexp.config.schema import FRAMEWORK, KINDS, SECTIONS, RunConfig
from normexp.config.tree import (
    field_specs,
    flatten,
    flatten_section,
    from_tree,
    known_keys,
    section_class,
)
from normexp.study.axis import Axis
from normexp.study.compose import Composer, Tree, resolve

NO_FRAMEWORK = "null"


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
        for path, value in (defaults | values).items():
            section, _, field = path.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[field] = value
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


def taken(runs: Iterable[Run]) -> dict[str, dict[Scalar, None]]:
    """Return the values of every field in these runs, by dotted names, in the order of the runs.

    Runs share most of their sections, so that few of them have to be looked into.
    """
    configs = [run.config for run in runs]
    found: dict[str, dict[Scalar, None]] = {}
    for name in (*KINDS, *SECTIONS):
        sections = {id(section): section for section in (getattr(c, name) for c in configs)}
        for section in sections.values():
            for path, value in flatten_section(name, section).items():
                found.setdefault(path, {})[value] = None
    for name in specs(RunConfig):
        found[name] = dict.fromkeys(getattr(config, name) for config in configs)
    return found


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
