"""What tells stored runs apart, of several studies perhaps, and so names them."""

from collections.abc import Collection, Sequence

from normexp.config.schema import IDENTITY_GROUPS, OUTSIDE
from normexp.config.tree import known_keys
from normexp.store.rows import Row

KINDS = tuple(f"{group}.kind" for group in IDENTITY_GROUPS)


def telling(rows: Sequence[Row], without: Collection[str] = ()) -> list[str]:
    """The fields that differ between runs, seeds aside, in the order of the schema.

    The kinds of the groups, and what differs between runs of the same kinds: what a kind has and
    another has not tells nothing that the kind does not.

    Args:
        rows: as listings have them.
        without: fields that shall not count.
    """
    alike: dict[str, list[Row]] = {}
    for row in rows:
        alike.setdefault(repr([row.get(kind) for kind in KINDS]), []).append(row)
    return [
        path
        for path in known_keys()
        if path != "seed"
        and path not in without
        and path.split(".")[0] not in (*OUTSIDE, "log")
        and any(_differs(path, group) for group in ([rows] if path in KINDS else alike.values()))
    ]


def _differs(path: str, rows: Sequence[Row]) -> bool:
    return len({repr(row.get(path)) for row in rows}) > 1
