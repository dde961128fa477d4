"""Where the keys of the axes apply, and what to say when they do not."""

from collections import Counter
from collections.abc import Iterator, Sequence

from normexp.config.field import Role, spell
from normexp.config.schema import FRAMEWORK, KINDS, OUTSIDE, SECTIONS
from normexp.config.tree import known_keys, refuse_gone
from normexp.errors import UsageError
from normexp.registry import did_you_mean
from normexp.study.axis import GROUPS, Axis
from normexp.study.compose import resolve
from normexp.study.run import Base

NORM = "norm.kind"
WITHOUT = {"norm.momentum": ", since it keeps no running statistics"}
"""Why a field is not there, where one may wonder."""


def refuse_unknown(axes: Sequence[Axis], bases: Sequence[Base]) -> None:
    """Every key must exist, and a typed one must apply to at least one combination of groups.

    Raises:
        UsageError: with the nearest names, or the choices that have the key.
    """
    known = known_keys()
    for axis in axes:
        if axis.key in OUTSIDE:
            _refuse_several(axis, axis.key)
        for field in () if axis.is_group else axis.fields():
            if field not in known:
                refuse_gone(field)
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
                reason = WITHOUT.get(field, "")
                raise UsageError(
                    f"{axis.spelled()}: {_choices(bases, field)} has no {field}{reason}",
                    f"type {' or '.join(known[field])}",
                )
            if axis.drops:
                _check_dropped(axis, having)
            if any(_is_runtime(base, field) for base in having):
                _refuse_several(axis, field)


def _refuse_several(axis: Axis, key: str) -> None:
    """How and where runs are made is one thing for a sweep."""
    if axis.is_swept:
        raise UsageError(
            f"{axis.spelled()}: {key} is no part of what a run is, it takes one value",
            f"type {key}={spell(axis.values[0])}",
        )


def refuse_turned(axes: Sequence[Axis], bases: Sequence[Base]) -> None:
    """A framework's momentum is in PyTorch's convention, whichever one types in.

    Raises:
        UsageError: another convention is typed, and no momentum to be read in it.
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
    if "norm.momentum" in typed:
        return
    if any("norm.momentum" in base.preset for base in bases):
        raise UsageError(
            f"{convention.spelled()} would turn the momentum of {FRAMEWORK} around",
            f"leave out {convention.key}, or type norm.momentum=VALUE too",
        )


def overruled(axis: Axis, bases: Sequence[Base]) -> bool:
    """Whether frameworks have taken an axis of the study's own wherever it would apply."""
    having = [base for base in bases if all(field in base.specs for field in axis.fields())]
    return bool(having) and all(base.overrules(axis) for base in having)


def notes(axes: Sequence[Axis], bases: Sequence[Base], given: Sequence[Axis]) -> Iterator[str]:
    """What a person should know of how the axes were applied."""
    yield from _partial(axes, bases)
    yield from _overruled(axes, bases)
    yield from _framed(axes, bases)
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
    """Fields that some of the runs have not."""
    for axis in axes:
        gone = axis.is_group or axis.drops or overruled(axis, bases)
        for field in () if gone else axis.fields():
            without = [base for base in bases if field not in base.specs]
            having = [base for base in bases if field in base.specs]
            if without and having:
                yield (
                    f"{field} applies to {_choices(having, field)} only, not to "
                    f"{_choices(without, field)}"
                )
            elif without:
                without_it = _choices(without, field)
                yield f"{field} applies to none of these runs: {without_it} has no such field"
    for field in dict.fromkeys(field for base in bases for field in base.foreign):
        without = [base for base in bases if field in base.foreign and field not in base.preset]
        if without:
            yield f"the study's own {field} is left out with {_choices(without, field)}"


def _framed(axes: Sequence[Axis], bases: Sequence[Base]) -> Iterator[str]:
    """What a framework takes the place of, and where there is none."""
    for axis in axes:
        if any(base.overrules(axis) for base in bases):
            yield (
                f"{FRAMEWORK} sets {axis.key}, in place of the study's own {axis.spelled()}; type "
                "that to have it"
            )
    for base in bases:
        if unread := [field for field in base.foreign if field in base.preset]:
            yield (
                f"{FRAMEWORK}={base.choices[FRAMEWORK]} is not whole: norm={base.choices['norm']} "
                f"has no {', '.join(unread)}"
            )
    having = [base for base in bases if base.preset]
    chosen = [axis for axis in axes if axis.key == FRAMEWORK and axis.typed and not axis.drops]
    if chosen and not having and any(value is not None for value in chosen[0].values):
        yield f"{chosen[0].spelled()} applies to none of these runs: no running statistics"
    without = [base for base in bases if "norm.momentum" not in base.specs]
    if having and without:
        yield (
            f"{FRAMEWORK} applies to {_choices(having, NORM)} only, not to "
            f"{_choices(without, NORM)}"
        )


def _overruled(axes: Sequence[Axis], bases: Sequence[Base]) -> Iterator[str]:
    """Where a study's own axis takes the place of what a typed choice of the user's says."""
    typed = {axis.key for axis in axes if axis.typed and axis.is_group}
    for axis in axes:
        group, _, field = axis.key.rpartition(".")
        for base in bases if group in typed and not axis.typed and not axis.is_group else ():
            own = base.tree.get(group, {}).get(field)
            if base.overrules(axis):
                continue
            if axis.key in base.specs and own != base.specs[axis.key].default:
                yield (
                    f"the study's own {axis.spelled()} overrules {axis.key}={spell(own)} of "
                    f"{group}={base.choices[group]}; type ~{axis.key} to keep that"
                )


def _check_dropped(axis: Axis, bases: Sequence[Base]) -> None:
    """`~key=value` drops the key only where it has that value, as in Hydra."""
    section, _, field = axis.key.rpartition(".")
    for base in bases if axis.values else ():
        tree = resolve(base.tree)
        present = (tree.get(section, {}) if section else tree).get(field)
        if present != axis.values[0]:
            raise UsageError(
                f"~{axis.spelled()}: {axis.key} is {spell(present)}", f"type ~{axis.key}"
            )


def _is_runtime(base: Base, field: str) -> bool:
    """Whether sweeping a field would give the same runs again; a convention gives others."""
    return base.specs[field].rule.role is Role.RUNTIME and field != "norm.convention"


def _choices(bases: Sequence[Base], field: str) -> str:
    group = field.partition(".")[0]
    return ", ".join(sorted({f"{group}={base.choices.get(group)}" for base in bases}))
