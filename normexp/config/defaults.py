"""What of a stored configuration is worth saying: what it is, and what is not as by default."""

from collections.abc import Mapping

from normexp.config.field import Role, Scalar, spell
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import field_specs, nest
from normexp.errors import UsageError

ESSENTIAL = ("norm.momentum", "norm.estimator", "optim.lr", "train.epochs", "train.batch_size",
             "seed")  # fmt: skip
"""Fields that say which training it is, at their defaults too."""

KINDS = tuple(f"{group}.kind" for group in IDENTITY_GROUPS)


def told(flat: Mapping[str, Scalar]) -> list[str]:
    """The fields that are said of a run: its kinds, the essential ones, those not as by default."""
    departing = departures(flat)
    essential = [path for path in (*KINDS, *ESSENTIAL) if path in flat]
    return list(dict.fromkeys([*essential, *departing]))


def departures(flat: Mapping[str, Scalar]) -> list[str]:
    """The fields that are not at the schema's default, neither kinds nor runtime fields.

    All of them where the kinds are none that this schema knows.
    """
    try:
        specs = field_specs(nest(flat))
    except (UsageError, TypeError, AttributeError, ValueError):  # another version's, or nobody's
        return [path for path in flat if path not in KINDS]
    return [
        path
        for path, value in flat.items()
        if path not in KINDS
        and (
            path not in specs
            or (specs[path].rule.role is not Role.RUNTIME and specs[path].default != value)
        )
    ]


def typed(path: str, value: Scalar) -> str:
    """A field as one types it: a group's choice for its kind."""
    return f"{path.removesuffix('.kind') if path in KINDS else path}={spell(value)}"
