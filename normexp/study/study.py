"""A study: a base configuration, its axes, and the runs they multiply out to."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from normexp.config.data import Data
from normexp.config.field import Role, Scalar, quoted, specs, spell
from normexp.config.identity import fields_of_identity, varying
from normexp.config.norm import ESTIMATOR_FIELDS
from normexp.config.schema import (
    EXPORT,
    FRAMEWORK,
    IDENTITY_GROUPS,
    INSIDE,
    KINDS,
    SECTIONS,
    RunConfig,
)
from normexp.config.tree import flatten_section
from normexp.data.scale import check_scale
from normexp.errors import UsageError
from normexp.study.compose import MOST_VALUES, Composer, Tree, composer, resolve, texts_of
from normexp.study.notes import (
    LENGTHS,
    equal_frameworks,
    in_epochs,
    notes,
    on_other_data,
    one_length,
    overruled,
    refuse_turned,
    refuse_unknown,
    refuse_untyped_source,
    unequal_steps,
    without_effect,
)
from normexp.study.run import (
    NO_FRAMEWORK,
    Axis,
    Base,
    Run,
    framed,
    from_overrides,
    from_study,
)
from normexp.study.settle import check, remarks, settle

Overrides = str | Sequence[str]
"""One override, or a list of them."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LONGEST_NAME = 100
"""The characters of a name that the user gives a study."""

SUBJECT = ("norm.kind", "norm.momentum")
"""Fields that tell runs apart, even where all have one value."""

MOST_CHARACTERS = 96
"""Of a label."""

TAKEN = ("exports", "reports", "sweeps", "trajectories")
"""Directories of a store or of a study that are none of a study's."""


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
        own = not self.base or self.base.replace("/", "-") == self.name
        return () if own else ("--as", self.name)

    def command(self, config: RunConfig, choices: Mapping[str, str] | None = None) -> list[str]:
        """Return the overrides that give this run alone, whatever sweep it came from.

        Every field that says what the run is stands there, so that neither an edited default nor
        an edited study gives another run. What a framework has set stands there with the rest.

        Args:
            config: of the run.
            choices: that it was made from.
        """
        groups = [f"{group}={getattr(config, group).kind}" for group in IDENTITY_GROUPS]
        values = [each for name in INSIDE for each in _typed(name, getattr(config, name))]
        values += [f"{name}={quoted(getattr(config, name))}" for name in specs(RunConfig)]
        none = [f"{FRAMEWORK}=null"] if choices and FRAMEWORK in choices else []
        return [f"study={self.base or self.name}", *groups, *none, *values]


@lru_cache(maxsize=16384)
def _typed(name: str, section: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the overrides of a section's fields; cached, since runs share most of them."""
    flat = flatten_section(name, section)
    return tuple(
        f"{path}={quoted(v)}" for path, v in flat.items() if not path.endswith((".kind", EXPORT))
    )


def load(
    *overrides: "Overrides | Study",
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    **keywords: object,
) -> Study:
    """Return the study that the overrides describe, as `normexp sweep` would take them.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do, or a study
            that has been loaded, alone.
        config_dir: the user's own configs, searched before the packaged ones.
        filed_as: the name that the study is kept under; else its own.
        keywords: more overrides, such as `norm="batch"`, `seed=[0, 1]`.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
    """
    match overrides:
        case (Study() as study,) if not (keywords or config_dir or filed_as):
            return study
    texts = texts_of(overrides, keywords)
    user = None if config_dir is None else Path(config_dir)
    with composer(user) as hydra:
        given = from_overrides(hydra, texts)
        typed = list({axis.key: axis for axis in given}.values())  # the last one counts
        tree, chosen, head = _head(hydra, typed)
        name = chosen["study"]
        own = from_study(hydra, head.get("axes", {}))
        keys = {axis.key for axis in typed}
        keys |= set(LENGTHS) if keys & set(LENGTHS) else set()
        axes = [axis for axis in own if axis.key not in keys] + typed
        bases = list(_bases(hydra, name, axes, own))
        filed = _directory_name(name, filed_as, hydra.options("study"))
    refuse_unknown(axes, bases)
    refuse_turned(axes, bases)
    refuse_untyped_source(axes, bases)
    read, rounded = set[str](), dict[str, None]()
    settled: dict[Data, Data] = {}
    parts = [list(_runs(base, axes, read, settled, rounded)) for base in bases]
    runs = {run.id: run for part in parts for run in part}
    values = dict[str, set[Scalar]]()
    for flat in telling([*runs.values()]):
        for path, value in flat.items():
            values.setdefault(path, set()).add(value)
    for path, spec in bases[0].specs.items():
        if spec.rule.role is Role.RUNTIME and len(values[path]) > 1:
            raise UsageError(
                f"{path} differs between the runs of this sweep", f"type {path}=VALUE, one for all"
            )
    in_force = [axis for axis in axes if not (axis.drops or overruled(axis, bases))]
    return Study(
        name=filed,
        about=str(head.get("about", "")),
        axes=tuple(axis for axis in in_force if axis.key != "study"),
        runs=tuple(runs.values()),
        notes=(
            *notes(axes, bases, given),
            *without_effect(in_force, values, read),
            *equal_frameworks(parts),
            *(rounded or unequal_steps(runs.values())),
            *(() if filed_as else on_other_data(typed, own, chosen, tree)),
            *dict.fromkeys(line for run in runs.values() for line in remarks(run.config)),
        ),
        overrides=tuple(texts),
        config_dir=user,
        base=name,
    )


def _head(hydra: Composer, typed: Sequence[Axis]) -> tuple[Tree, dict[str, str], dict[str, Any]]:
    """Return a study as its YAML has it, its choices, and what is said of it: a line and axes."""
    names = next((axis.values for axis in typed if axis.key == "study"), ())
    if len(names) > 1:
        raise UsageError(
            f"study={','.join(names)}: a sweep is of one study",
            "type the command once for each study",
        )
    tree, chosen = hydra.tree({"study": str(names[0])} if names else {})
    head = resolve({"study": tree.get("study") or {}})["study"]
    unknown = sorted(set(head) - {"about", "axes"}) if isinstance(head, dict) else [head]
    if unknown:
        raise UsageError(
            f"study {chosen['study']} has {unknown[0]!r} where only 'about' and 'axes' can be",
            "begin its file with '# @package _global_' and put the axes below 'study: axes:'",
        )
    return tree, chosen, head


def _directory_name(name: str, filed_as: str | None, studies: Sequence[str]) -> str:
    """Return the name of the study's directory, which must not lead out of the store."""
    typed = f"study={name}" if filed_as is None else f"--as {filed_as}"
    wanted = name.replace("/", "-") if filed_as is None else filed_as
    if not NAME.fullmatch(wanted) or len(filed_as or "") > LONGEST_NAME:
        raise UsageError(
            f"{typed}: a letter, a digit or '_' is needed, then more of these, '-' and '.'; "
            f"{LONGEST_NAME} characters at most",
            "type for example --as my_study",
        )
    is_configs = filed_as in studies
    if is_configs or wanted in TAKEN:
        whose = (
            "the configs have a study of that name"
            if is_configs
            else "normexp uses a directory of that name"
        )
        raise UsageError(f"{typed}: {whose}", f"type another name, such as --as my_{wanted}")
    return wanted


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


def _runs(
    base: Base,
    axes: Sequence[Axis],
    read: set[str],
    settled: dict[Data, Data],
    rounded: dict[str, None],
) -> Iterator[Run]:
    """Yield the product of the axes that apply to this combination of groups.

    Fields of estimators that settling leaves as they are join `read`; for `settled` see `settle`.
    Notes on steps that became epochs join `rounded`.
    """
    dropped = [axis.key for axis in axes if axis.drops]
    applying = [
        axis
        for axis in axes
        if not (axis.is_group or axis.drops or base.overrules(axis))
        and all(field in base.specs for field in axis.fields())
    ]
    number = prod(len(axis.values) for axis in applying)
    if number > MOST_VALUES:
        raise UsageError(
            f"this study has {number:,} runs, more than {MOST_VALUES:,}",
            "leave values out, or split it into several sweeps",
        )
    estimators = [axis.key for axis in applying if axis.key in ESTIMATOR_FIELDS]

    def checked(assigned: dict[str, Any]) -> RunConfig:
        given = base.with_values(one_length(assigned), dropped)
        config = settle(given, settled)
        check(config)
        check_scale(config)
        if given.train.steps is not None:
            rounded[in_epochs(given.train.steps, config)] = None
        for key in estimators:
            field = key.removeprefix("norm.")
            if getattr(given.norm, field) == getattr(config.norm, field):
                read.add(key)
        return config

    of_any_seed: dict[str, RunConfig] = {}  # by the other values: a seed alone changes nothing else
    others = [axis.values for axis in applying if axis.key != "seed"]
    shared = len(others) < len(applying) and "${" not in f"{base.tree}{others}"
    for values in itertools.product(*(axis.values for axis in applying)):
        assigned: dict[str, Any] = {}
        for axis, value in zip(applying, values, strict=True):
            assigned |= axis.assignments(value)
        if not shared:
            yield Run(checked(assigned), base)
            continue
        seed: Any = base.specs["seed"].coerce("seed", assigned.pop("seed"))
        if (known := repr(assigned)) not in of_any_seed:
            of_any_seed[known] = checked(assigned)
        yield Run(replace(of_any_seed[known], seed=seed), base)


def differing(runs: Sequence[Run]) -> tuple[str, ...]:
    """The dotted names of the fields that tell runs apart, norm and momentum always."""
    found = {*SUBJECT, *varying(telling(runs))}
    return tuple(path for path in fields_of_identity() if path in found)


def label(run: Run, differing: Sequence[str]) -> str:
    """A run's name among its siblings, such as `batch-m0.1-b64-s3`."""
    flat = run.flat
    parts = [
        run.base.specs[path].rule.short + spell(flat[path])
        for path in differing
        if path in flat and path not in ("norm.kind", "seed")
    ]
    name = "-".join([run.config.norm.kind, *parts, f"s{run.config.seed}"])
    return re.sub(r"[^\w.+-]", "_", name)[:MOST_CHARACTERS]


def telling(runs: Sequence[Run]) -> Iterator[Mapping[str, Scalar]]:
    """Some of the configurations, in which every field differs that does in all of them.

    A million runs share most of their sections: few of them have to be looked into.
    """
    seen: set[object] = set()
    for run in runs:
        config = run.config
        kinds = tuple([getattr(config, group).kind for group in IDENTITY_GROUPS])
        parts: set[object] = {(kinds, id(getattr(config, name))) for name in (*KINDS, *SECTIONS)}
        if config.seed != runs[0].config.seed:
            parts.add("several seeds")
        if not parts <= seen:
            seen |= parts
            yield run.flat
