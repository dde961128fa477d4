"""Names for people: what differs between the runs of a study, and nothing else."""

import re
from collections.abc import Sequence

from normexp.config.field import Role, Scalar, spell
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import known_keys
from normexp.study.run import Run

MOST_CHARACTERS = 96
KEYS = sorted(known_keys(), key=lambda path: not path.startswith("norm."))
"""All fields, those of the norm first, else in the order of the schema."""

ALWAYS = ("norm.kind", "norm.momentum")
KIND_FIELDS = tuple(f"{group}.kind" for group in IDENTITY_GROUPS)


def varying(runs: Sequence[Run]) -> list[str]:
    """The dotted names that tell these runs apart, the norm's first.

    The kinds of the groups, and what differs between runs of the same kinds: a field that merely
    follows from the choice of a kind tells nothing new. Runtime fields never do; norm and momentum,
    the subject, always do.
    """
    alike: dict[tuple[Scalar, ...], list[Run]] = {}
    for run in runs:
        alike.setdefault(tuple(run.flat[path] for path in KIND_FIELDS), []).append(run)
    found = {path for group in alike.values() for path in _differing(group)}
    found |= set(ALWAYS)
    found |= {path for path, *kinds in zip(KIND_FIELDS, *alike, strict=True) if len(set(kinds)) > 1}
    return [path for path in KEYS if path in found]


def label(run: Run, differing: Sequence[str]) -> str:
    """A run's name among its siblings, such as `batch-m0.1-b64-s3`."""
    parts = [
        run.base.specs[path].rule.short + spell(run.flat[path])
        for path in differing
        if path in run.flat and path not in ("norm.kind", "seed")
    ]
    name = "-".join([run.config.norm.kind, *parts, f"s{run.config.seed}"])
    return re.sub(r"[^\w.+-]", "_", name)[:MOST_CHARACTERS]


def _differing(runs: Sequence[Run]) -> list[str]:
    """The fields that do not have the same value in all of these runs of the same kinds."""
    specs = runs[0].base.specs
    columns = zip(runs[0].flat, *(run.flat.values() for run in runs), strict=True)
    return [
        path
        for path, first, *others in columns
        if specs[path].rule.role is not Role.RUNTIME and any(value != first for value in others)
    ]
