"""Keys of axes that apply to no run are refused; notes say what else a person should know."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from normexp.config.data import ANSWERS
from normexp.config.field import Role, spell
from normexp.config.norm import ESTIMATOR_FIELDS
from normexp.config.schema import (
    FRAMEWORK,
    KINDS,
    OUTSIDE,
    SECTIONS,
    SOURCE,
    RunConfig,
    steps_per_epoch,
    total_steps,
)
from normexp.config.tree import known_keys, refuse_gone, section_class
from normexp.errors import UsageError, did_you_mean
from normexp.study.compose import Tree, resolve
from normexp.study.run import GROUPS, Axis, Base, Run

LENGTHS = ("train.epochs", "train.steps")
"""The fields that say how long a training is, of which one is typed."""

TURNED = ("norm.convention", "train.steps")
"""Fields whose values settling turns into those of other fields."""

WITHOUT = {"norm.momentum": ", since it keeps no running statistics"}
"""The reason for which a field is not there, where one may wonder."""


def refuse_unknown(axes: Sequence[Axis], bases: Sequence[Base]) -> None:
    """Refuse a key that does not exist, or is typed and applies to no combination of groups.

    Raises:
        UsageError: with the nearest names, or the choices that have the key.
    """
    known = known_keys()
    for axis in axes:
        for field in () if axis.is_group else axis.fields():
            if field not in known:
                refuse_gone(field)
                if field in SECTIONS:
                    section_class(field, {field: axis.values[0]})
                raise UsageError(
                    f"unknown key '{field}'",
                    did_you_mean(
                        field,
                        [*known, *GROUPS],
                        f"keys are seed, or begin with {', '.join((*KINDS, *SECTIONS))}",
                    ),
                )
            having = [base for base in bases if field in base.specs]
            if axis.typed and not axis.drops and not having:
                raise UsageError(
                    f"{axis.spelled()}: {_choices(bases, field)} has no {field}"
                    f"{WITHOUT.get(field, '')}",
                    f"type {' or '.join(known[field])}",
                )
            if axis.drops:
                _check_dropped(axis, having)
            roles = {base.specs[field].rule.role for base in having}
            if Role.RUNTIME in roles and field != "norm.convention":
                _refuse_several(axis, field)
        if axis.key in OUTSIDE:
            _refuse_several(axis, axis.key)


def refuse_untyped_source(axes: Sequence[Axis], bases: Sequence[Base]) -> None:
    """Refuse code of the user's that a config names: only what was typed is run.

    Raises:
        UsageError: a study or a group names it, and the command line does not.
    """
    naming = [axis for axis in axes if SOURCE in axis.fields() and not axis.drops]
    named = [base.tree["model"].get("source") for base in bases]
    named += [value for axis in naming for value in axis.values if not axis.typed]
    values = [value for axis in naming for value in axis.values if axis.typed]
    if any("${" in str(value) for value in values):
        raise UsageError(f"{SOURCE} takes no value from elsewhere", "type FILE.py:FUNCTION")
    if any(named) and not any(axis.typed for axis in naming):
        source = next(filter(None, named))
        raise UsageError(
            f"a config names {SOURCE}={source}, and only what is typed is run",
            f"look at that file, then type {SOURCE}={source} too",
        )


def _refuse_several(axis: Axis, key: str) -> None:
    if axis.is_swept:
        raise UsageError(
            f"{axis.spelled()}: {key} is no part of what a run is, it takes one value",
            f"type {key}={spell(axis.values[0])}",
        )


def _check_dropped(axis: Axis, bases: Sequence[Base]) -> None:
    """Refuse `~key=value` where the key has another value, as Hydra does."""
    section, _, field = axis.key.rpartition(".")
    for base in bases if axis.values else ():
        tree = resolve(base.tree)
        present = (tree.get(section, {}) if section else tree).get(field)
        if present != axis.values[0]:
            raise UsageError(
                f"~{axis.spelled()}: {axis.key} is {spell(present)}", f"type ~{axis.key}"
            )


def refuse_turned(axes: Sequence[Axis], bases: Sequence[Base]) -> None:
    """Refuse a typed convention that would turn a momentum around that is not typed.

    A framework's momentum, and the default of the final one, are in PyTorch's convention.

    Raises:
        UsageError: with the momentum that must be typed too.
    """
    typed = {axis.key: axis for axis in axes if axis.typed and not axis.drops}
    convention = typed.get("norm.convention")
    if convention is None or set(convention.values) == {"torch"}:
        return
    if "norm.momentum_schedule" in typed and "norm.final_momentum" not in typed:
        raise UsageError(
            f"{convention.spelled()} would turn the default of norm.final_momentum around",
            "type norm.final_momentum=VALUE too, in the same convention",
        )
    has_preset = any("norm.momentum" in base.preset for base in bases)
    if has_preset and "norm.momentum" not in typed:
        raise UsageError(
            f"{convention.spelled()} would turn the momentum of {FRAMEWORK} around",
            f"leave out {convention.key}, or type norm.momentum=VALUE too",
        )


def overruled(axis: Axis, bases: Sequence[Base]) -> bool:
    """Return true if frameworks overrule a study's own axis wherever it would apply."""
    having = [base for base in bases if all(field in base.specs for field in axis.fields())]
    return bool(having) and all(base.overrules(axis) for base in having)


def notes(axes: Sequence[Axis], bases: Sequence[Base], given: Sequence[Axis]) -> Iterator[str]:
    """Yield what a person should know of how the axes were applied.

    Args:
        axes: in force, the study's own and those typed.
        bases: the combinations of groups.
        given: every axis as typed, those that a later one replaces too.
    """
    yield from _partial(axes, bases)
    yield from _overruled_choices(axes, bases)
    yield from _frameworks(axes, bases)
    for key, times in Counter(axis.key for axis in given).items():
        if times > 1:
            yield f"{key} is typed {times} times; the last one counts"
    if any(axis.key == "norm.convention" and axis.typed for axis in axes):
        momenta = next((axis for axis in axes if axis.key == "norm.momentum"), None)
        if momenta is None or momenta.drops:
            yield "the configs' norm.momentum is read in the convention you typed"
        elif not momenta.typed:
            yield f"the study's own {momenta.spelled()} is read in the convention you typed"


def _partial(axes: Sequence[Axis], bases: Sequence[Base]) -> Iterator[str]:
    """Yield notes on fields that some of the combinations do not have."""
    for axis in axes:
        is_gone = axis.is_group or axis.drops or overruled(axis, bases)
        for field in () if is_gone else axis.fields():
            having = [base for base in bases if field in base.specs]
            without = _choices([base for base in bases if field not in base.specs], field)
            if without and having:
                yield f"{field} applies to {_choices(having, field)} only, not to {without}"
            elif without:
                yield f"{field} applies to none of these runs: {without} has no such field"
    for field in dict.fromkeys(field for base in bases for field in base.left_out):
        gone = [base for base in bases if field in base.left_out and field not in base.preset]
        if gone:
            yield f"the study's own {field} is left out with {_choices(gone, field)}"


def _overruled_choices(axes: Sequence[Axis], bases: Sequence[Base]) -> Iterator[str]:
    """Yield notes on a study's own axes that overrule a typed choice of the user's."""
    typed = {axis.key for axis in axes if axis.typed and axis.is_group}
    for axis in axes:
        group, _, field = axis.key.rpartition(".")
        if axis.typed or axis.is_group or group not in typed:
            continue
        for base in bases:
            own = base.tree.get(group, {}).get(field)
            applies = axis.key in base.specs and not base.overrules(axis)
            if applies and own != base.specs[axis.key].default:
                yield (
                    f"the study's own {axis.spelled()} overrules {axis.key}={spell(own)} of "
                    f"{group}={base.choices[group]}; type {axis.key}={spell(own)} to keep that"
                )


def _frameworks(axes: Sequence[Axis], bases: Sequence[Base]) -> Iterator[str]:
    """Yield notes on what a framework replaces, and where it does not apply."""
    for axis in axes:
        if any(base.overrules(axis) for base in bases):
            yield (
                f"{FRAMEWORK} sets {axis.key}, in place of the study's own {axis.spelled()}; type "
                "that to have it"
            )
    for base in bases:
        if unread := [field for field in base.left_out if field in base.preset]:
            yield (
                f"{FRAMEWORK}={base.choices[FRAMEWORK]} is not whole: norm={base.choices['norm']} "
                f"has no {', '.join(unread)}"
            )
    having = [base for base in bases if base.preset]
    without = [base for base in bases if "norm.momentum" not in base.specs]
    chosen = next((a for a in axes if a.key == FRAMEWORK and a.typed and not a.drops), None)
    if chosen and not having and any(value is not None for value in chosen.values):
        yield f"{chosen.spelled()} applies to none of these runs: no running statistics"
    if having and without:
        yield (
            f"{FRAMEWORK} applies to {_choices(having, 'norm')} only, not to "
            f"{_choices(without, 'norm')}"
        )


def without_effect(
    axes: Sequence[Axis], values: Mapping[str, Collection[Any]], read: Collection[str]
) -> Iterator[str]:
    """Yield notes on axes whose values all come to one, and on those that no estimator reads."""
    for axis in axes:
        is_single = len(values.get(axis.key, ())) == 1 and axis.key not in TURNED
        if axis.is_group or not is_single:
            continue
        if axis.is_swept:
            yield f"{axis.spelled()} has no effect here: one run for all its values"
        elif axis.typed and axis.key in ESTIMATOR_FIELDS and axis.key not in read:
            yield f"{axis.spelled()} has no effect here: no run's estimator reads it"


def equal_frameworks(parts: Iterable[Sequence[Run]]) -> Iterator[str]:
    """Yield notes on frameworks that set the same, and so are the same runs.

    Args:
        parts: the runs of every base.
    """
    runs: dict[str, set[str]] = {}
    for run in itertools.chain.from_iterable(parts):
        if run.base.preset:
            runs.setdefault(run.base.choices[FRAMEWORK], set()).add(run.id)
    names: dict[frozenset[str], list[str]] = {}
    for framework, ids in runs.items():
        names.setdefault(frozenset(ids), []).append(framework)
    for same in names.values():
        if len(same) > 1:
            yield f"{FRAMEWORK}={','.join(same)} set the same here: they are the same runs"


def on_other_data(
    typed: Sequence[Axis], swept: Sequence[Axis], choices: Mapping[str, str], tree: Tree
) -> Iterator[str]:
    """Yield a note if other data, or another model, are typed than the study itself has.

    Args:
        typed: axes of the command line.
        swept: axes of the study's YAML.
        choices: of the study itself, in every group.
        tree: of the study itself.
    """
    fields = {f"data.{field}": value for field, value in resolve(tree)["data"].items()}
    own = {path: (value,) for path, value in {**fields, **choices}.items()}
    own |= {axis.key: axis.values for axis in swept}
    about = [axis for axis in typed if axis.key in ("data", "model", "data.path", *ANSWERS)]
    others = [axis for axis in about if any(v not in own.get(axis.key, ()) for v in axis.values)]
    if others:
        yield (
            f"{' '.join(axis.spelled() for axis in others)}: {choices['study']} has other data or "
            "another model; --as NAME keeps these runs as a study of their own"
        )


def _choices(bases: Sequence[Base], field: str) -> str:
    group = field.partition(".")[0]
    return ", ".join(sorted({f"{group}={base.choices.get(group)}" for base in bases}))


def unequal_steps(runs: Iterable[Run]) -> Iterator[str]:
    """Yield a note where batch sizes are compared at equal epochs, and so at unequal steps."""
    trainings = {run.config.train: total_steps(run.config) for run in runs}
    if len({each.batch_size for each in trainings}) > 1 and len(set(trainings.values())) > 1:
        low, high = min(trainings.values()), max(trainings.values())
        yield f"batch sizes at equal epochs differ in steps: {low:,} to {high:,}"


def one_length(assigned: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a run's axes; epochs among them take the place of a study's steps.

    Raises:
        UsageError: both epochs and steps are among them.
    """
    epochs, steps = (assigned.get(path) for path in LENGTHS)
    if epochs is not None and steps is not None:
        raise UsageError(
            f"train.epochs={epochs} train.steps={steps} both say how long to train",
            "leave one of them out",
        )
    return assigned if epochs is None else {"train.steps": None, **assigned}


def in_epochs(steps: int, config: RunConfig) -> str:
    """Return a note on the whole epochs that so many steps became."""
    epochs, each = config.train.epochs, steps_per_epoch(config)
    word = "epoch" if epochs == 1 else "epochs"
    return f"train.steps={steps} are {epochs} {word} of {each} steps = {epochs * each:,} steps"
