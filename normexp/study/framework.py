"""A combination of group choices composed, a framework among them where the norm can follow one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from normexp.config.field import specs
from normexp.config.norm import BatchKind
from normexp.config.tree import known_keys, section_class
from normexp.errors import UsageError
from normexp.study.axis import FRAMEWORK
from normexp.study.compose import Composer
from normexp.study.run import Base, Run

NO_FRAMEWORK = "null"


def framed(hydra: Composer, choices: Mapping[str, str], *, is_typed: bool) -> Base:
    """The base of these choices.

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
        preset = _of_norm(framework, hydra.preset(FRAMEWORK, framework))
        kind = tree["norm"]["kind"]
        if preset.get("kind", kind) != kind:
            tree, chosen = hydra.tree(plain | {"norm": preset["kind"]})
        tree["norm"] |= preset
        chosen[FRAMEWORK] = framework
        plain["norm"] = chosen["norm"]
    tree.pop("study", None)
    fields = frozenset(f"norm.{field}" for field in preset)
    return Base(chosen, *_fitting(tree, list(plain)), fields, is_typed)


def _of_norm(framework: str, preset: dict[str, Any]) -> dict[str, Any]:
    """What a framework sets, by field of the norm."""
    if others := sorted(set(preset) - {"norm"}):
        raise UsageError(
            f"{FRAMEWORK}={framework} sets {others[0]}, and a framework sets fields of the norm",
            "begin its file with '# @package norm' and put the fields below it",
        )
    fields: dict[str, Any] = preset.get("norm", {})
    return fields


def alike(parts: Iterable[Sequence[Run]]) -> Iterator[str]:
    """Frameworks that set the same, and so are one run.

    Args:
        parts: the runs of every base.
    """
    runs: dict[str, set[str]] = {}
    for part in parts:
        for run in part:
            if run.base.preset:
                runs.setdefault(run.base.choices[FRAMEWORK], set()).add(run.id)
    names: dict[frozenset[str], list[str]] = {}
    for framework, ids in runs.items():
        names.setdefault(frozenset(ids), []).append(framework)
    for same in names.values():
        if len(same) > 1:
            yield f"{FRAMEWORK}={','.join(same)} set the same here: they are the same runs"


def _fitting(tree: dict[str, Any], chosen: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tree without what the study says of other choices of these groups, and what that was."""
    foreign = [
        f"{group}.{field}"
        for group in chosen
        if group != "study"
        for field in tree.get(group, {})
        if field not in specs(section_class(group, tree)) and f"{group}.{field}" in known_keys()
    ]
    for path in foreign:
        group, _, field = path.rpartition(".")
        del tree[group][field]
    return tree, tuple(foreign)
