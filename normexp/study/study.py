"""A study: a base configuration, its axes, and the runs they multiply out to."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from normexp.config.field import Role, quoted, specs
from normexp.config.norm_fields import OF_ESTIMATORS
from normexp.config.schema import (
    FRAMEWORK,
    IDENTITY_GROUPS,
    KINDS,
    OUTSIDE,
    SECTIONS,
    RunConfig,
)
from normexp.config.tree import flatten_section, from_tree
from normexp.data.scale import check_scale
from normexp.errors import UsageError
from normexp.study.axis import Axis, from_overrides, from_study
from normexp.study.check import check, remarks
from normexp.study.compose import Composer, composer, resolve
from normexp.study.filing import chosen_name, foreign, is_about_data, safe
from normexp.study.framework import NO_FRAMEWORK, alike, framed
from normexp.study.grammar import MOST_VALUES
from normexp.study.keys import notes, overruled, refuse_turned, refuse_unknown
from normexp.study.run import Base, Run, taken
from normexp.study.settle import settle


@dataclass(frozen=True)
class Study:
    """A named set of runs.

    Attributes:
        name: of its directory.
        about: one line that says what it shows.
        axes: the axes in force, the study's own and those typed.
        runs: every run once, in the order of the axes.
        notes: what a person should know of how the axes were applied.
        overrides: as typed.
        config_dir: the user's own configs, if given.
        base: of the study's YAML, where that is another name.
    """

    name: str
    about: str
    axes: tuple[Axis, ...]
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    overrides: tuple[str, ...]
    config_dir: Path | None
    base: str = ""

    @property
    def filed(self) -> tuple[str, ...]:
        """The words that give it its name, where its YAML does not."""
        own = not self.base or safe(self.base) == self.name
        return () if own else ("--as", self.name)

    def command(self, config: RunConfig, choices: Mapping[str, str] | None = None) -> list[str]:
        """The overrides that give this run alone, whatever sweep it came from.

        Every field that says what the run is stands there, so that neither an edited default nor
        an edited study gives another run. What a framework has set stands there with the rest.

        Args:
            config: of the run.
            choices: that it was made from.
        """
        groups = [f"{group}={getattr(config, group).kind}" for group in IDENTITY_GROUPS]
        inside = [name for name in (*KINDS, *SECTIONS) if name not in OUTSIDE]
        values = [each for name in inside for each in _typed(name, getattr(config, name))]
        values += [f"{name}={quoted(getattr(config, name))}" for name in specs(RunConfig)]
        none = [f"{FRAMEWORK}=null"] if choices and FRAMEWORK in choices else []
        return [f"study={self.base or self.name}", *groups, *none, *values]


@lru_cache(maxsize=16384)
def _typed(name: str, section: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The overrides that give a section's fields; cached, since runs share most of theirs."""
    flat = flatten_section(name, section)
    return tuple(f"{path}={quoted(v)}" for path, v in flat.items() if not path.endswith(".kind"))


def load(
    overrides: Sequence[str] = (), config_dir: Path | None = None, filed_as: str | None = None
) -> Study:
    """The study that the overrides describe.

    Args:
        overrides: as in Hydra: `norm=none,batch`, `norm.momentum=0.1,0.5`, `seed=range(8)`.
        config_dir: a directory of the user's own configs, searched before the packaged ones.
        filed_as: the name that it is kept under; else its own.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
    """
    with composer(config_dir) as hydra:
        given = from_overrides(hydra, overrides)
        typed = list({axis.key: axis for axis in given}.values())  # the last one counts
        name = _study_name(typed)
        tree, chosen = hydra.tree({"study": name} if name else {})
        name = name or chosen["study"]
        head = resolve({"study": tree.get("study") or {}})["study"]
        _check_head(name, head)
        own = from_study(hydra, head.get("axes", {}))
        keys = {axis.key for axis in typed}
        axes = [axis for axis in own if axis.key not in keys] + typed
        bases = list(_bases(hydra, name, axes, own))
        filed = safe(name) if filed_as is None else chosen_name(filed_as, hydra.options("study"))
        others = [] if filed_as else list(_foreign(hydra, name, typed, own))
    refuse_unknown(axes, bases)
    refuse_turned(axes, bases)
    read: set[str] = set()
    parts = [list(_runs(base, axes, read)) for base in bases]
    runs = {run.id: run for part in parts for run in part}
    _check_runtime(list(runs.values()))
    return Study(
        name=filed,
        about=str(head.get("about", "")),
        axes=tuple(axis for axis in axes if _in_force(axis, bases)),
        runs=tuple(runs.values()),
        notes=(
            *notes(axes, bases, given),
            *_without_effect([a for a in axes if not overruled(a, bases)], runs.values(), read),
            *alike(parts),
            *others,
            *dict.fromkeys(line for run in runs.values() for line in remarks(run.config)),
        ),
        overrides=tuple(overrides),
        config_dir=config_dir,
        base=name,
    )


def _foreign(
    hydra: Composer, name: str, typed: Sequence[Axis], swept: Sequence[Axis]
) -> Iterator[str]:
    """Says that runs on other data, or of another model, have little to do with the study."""
    if about := [axis for axis in typed if is_about_data(axis)]:
        own = from_tree(resolve(framed(hydra, {"study": name}, is_typed=False).tree))
        if words := foreign(about, own, swept):
            yield (
                f"{' '.join(words)}: {name} has other data or another model; --as NAME keeps these "
                "runs as a study of their own"
            )


def _in_force(axis: Axis, bases: Sequence[Base]) -> bool:
    """Whether an axis says anything of the runs."""
    return axis.key != "study" and not axis.drops and not overruled(axis, bases)


def _check_head(name: str, head: dict[str, Any]) -> None:
    """A study says what it is about and its axes; all else it sets is at the root."""
    if unknown := sorted(set(head) - {"about", "axes"}):
        raise UsageError(
            f"study {name} has {unknown[0]!r} where only 'about' and 'axes' can be",
            "begin its file with '# @package _global_' and put the axes below 'study: axes:'",
        )


def _check_runtime(runs: Sequence[Run]) -> None:
    """How a sweep is run is one thing for all of its runs."""
    values, specs = taken(runs), runs[0].base.specs
    for path, spec in specs.items():
        if spec.rule.role is Role.RUNTIME and len(values[path]) > 1:
            raise UsageError(
                f"{path} differs between the runs of this sweep", f"type {path}=VALUE, one for all"
            )


def _study_name(typed: Sequence[Axis]) -> str | None:
    names = next((axis.values for axis in typed if axis.key == "study"), None)
    if names is not None and len(names) > 1:
        raise UsageError(
            f"study={','.join(names)}: a sweep is of one study",
            "type the command once for each study",
        )
    return str(names[0]) if names else None


def _bases(
    hydra: Composer, study: str, axes: Sequence[Axis], own: Sequence[Axis]
) -> Iterator[Base]:
    groups = [axis for axis in axes if axis.is_group and axis.key != "study" and not axis.drops]
    is_typed = any(axis.key == FRAMEWORK and axis.typed for axis in groups)
    # Where the study has frameworks of its own, that a run has none is worth a word.
    none = {FRAMEWORK: NO_FRAMEWORK} if any(axis.key == FRAMEWORK for axis in own) else {}
    for choice in itertools.product(*(axis.values for axis in groups)):
        pairs = zip(groups, choice, strict=True)
        choices = {axis.key: str(value) for axis, value in pairs if value is not None}
        yield framed(hydra, {"study": study, **none, **choices}, is_typed=is_typed)


def _without_effect(
    axes: Sequence[Axis], runs: Collection[Run], read: Collection[str]
) -> Iterator[str]:
    """Axes whose values all come to one, such as the std of weights that are not normal.

    And a single one that no estimator has `read`.
    """
    everywhere = taken(runs)
    for axis in axes:
        values = everywhere.get(axis.key, {})
        if axis.is_group or axis.drops or axis.key == "norm.convention" or len(values) != 1:
            continue
        if axis.is_swept:
            yield f"{axis.spelled()} has no effect here: one run for all its values"
        elif axis.typed and axis.key in OF_ESTIMATORS and axis.key not in read:
            yield f"{axis.spelled()} has no effect here: no run's estimator reads it"


def _runs(base: Base, axes: Sequence[Axis], read: set[str]) -> Iterator[Run]:
    """The product of the axes that apply to this combination of groups.

    Fields of estimators that keep the value they come to, whatever their text, join `read`.
    """
    applying = [
        axis
        for axis in axes
        if not axis.is_group
        and not axis.drops
        and not base.overrules(axis)
        and all(f in base.specs for f in axis.fields())
    ]
    dropped = [axis.key for axis in axes if axis.drops]
    of_estimators = [axis.key for axis in applying if axis.key in OF_ESTIMATORS]
    number = prod(len(axis.values) for axis in applying)
    if number > MOST_VALUES:
        raise UsageError(
            f"this study has {number:,} runs, more than {MOST_VALUES:,}",
            "leave values out, or split it into several sweeps",
        )
    for values in itertools.product(*(axis.values for axis in applying)):
        assigned: dict[str, Any] = {}
        for axis, value in zip(applying, values, strict=True):
            assigned |= axis.assignments(value)
        given = base.with_values(assigned, dropped)
        config = settle(given)
        check(config)
        check_scale(config)
        read.update(
            key
            for key in of_estimators
            if getattr(given.norm, key[5:]) == getattr(config.norm, key[5:])
        )
        yield Run(config, base)
