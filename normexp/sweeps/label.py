"""Names for people: what differs between the runs of a study, and nothing else."""

import re
from collections.abc import Sequence

from normexp.config.field import Role, Scalar, spell
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import known_keys
from normexp.study.run import Run, taken

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
        config = run.config
        alike.setdefault(
            (config.data.kind, config.model.kind, config.norm.kind, config.optim.kind), []
        ).append(run)
    found = {path for group in alike.values() for path in _differing(group)}
    found |= set(ALWAYS)
    found |= {path for path, *kinds in zip(KIND_FIELDS, *alike, strict=True) if len(set(kinds)) > 1}
    return [path for path in KEYS if path in found]


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


def _differing(runs: Sequence[Run]) -> list[str]:
    """The fields that do not have the same value in all of these runs of the same kinds."""
    specs = runs[0].base.specs
    return [
        path
        for path, values in taken(runs).items()
        if len(values) > 1 and specs[path].rule.role is not Role.RUNTIME
    ]
