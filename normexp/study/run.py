"""A run, and the combination of group choices that it was made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normexp.config.field import FieldSpec, Scalar, specs
from normexp.config.identity import run_id, stack_key, trajectory_id
from normexp.config.schema import KINDS, SECTIONS, RunConfig
from normexp.config.tree import field_specs, flatten, flatten_section, from_tree
from normexp.study.axis import Axis
from normexp.study.compose import resolve


@dataclass(frozen=True)
class Base:
    """One combination of group choices, before the values of the axes are put in.

    Attributes:
        choices: of every group.
        tree: as composed.
        foreign: fields that the study or the framework sets and these choices have not.
        preset: fields that the framework sets.
        is_typed: whether the framework is typed, so that a study's own axes give way to it.
    """

    choices: dict[str, str]
    tree: dict[str, Any]
    foreign: tuple[str, ...] = ()
    preset: frozenset[str] = frozenset()
    is_typed: bool = False

    @cached_property
    def specs(self) -> dict[str, FieldSpec]:
        """The fields that runs of this combination have."""
        return field_specs(self.tree)

    def overrules(self, axis: Axis) -> bool:
        """Whether a typed framework sets what this axis of the study's own would."""
        return self.is_typed and not axis.typed and not self.preset.isdisjoint(axis.fields())

    def with_values(self, values: dict[str, Any], dropped: Sequence[str]) -> RunConfig:
        """The configuration with these fields set and the dropped ones at their defaults.

        It is still to be settled. The default of what a framework sets is the framework's.
        """
        tree = {k: dict(v) if isinstance(v, dict) else v for k, v in self.tree.items()}
        own = self.specs.keys() - self.preset
        defaults = {name: self.specs[name].default for name in dropped if name in own}
        for path, value in (defaults | values).items():
            section, _, field = path.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[field] = value
        return from_tree(resolve(tree) if _interpolated(tree) else tree)


@dataclass(frozen=True)
class Run:
    """One full configuration, seed included, and where it came from."""

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
    """The values that every field takes in these runs, by dotted names, in the order of the runs.

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


def _interpolated(tree: dict[str, Any]) -> bool:
    sections = (part.values() if isinstance(part, dict) else (part,) for part in tree.values())
    return any(isinstance(v, str) and "${" in v for values in sections for v in values)
