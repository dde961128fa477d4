"""What a store takes, and what goes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from normexp.console.output import print_table, stdout
from normexp.console.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from normexp.store.removal import Removal


def print_sizes(rows: Sequence[Mapping[str, Any]]) -> None:
    """A row a study, and the sum."""
    total: dict[str, Any] = {"study": "all"}
    parts = [name for name in rows[0] if name != "study"]
    total |= {part: sum(row[part] for row in rows) for part in parts}
    print_table(
        [
            {"study": row["study"]} | {part: decimal(row[part]) for part in parts}
            for row in [*rows, *([total] if len(rows) > 1 else [])]
        ],
    )


def print_removal(
    found: "Removal", console: "Console | None" = None, *, removed: bool = False
) -> None:
    """What goes, in numbers, and the bytes."""
    parts = [
        counted(len(paths), noun)
        for noun, kind in (
            ("study", "studies"),
            ("sweep", "sweeps"),
            ("run", "runs"),
            ("trajectory", "trajectories"),
            ("file", "hidden"),
        )
        if (paths := found.of_kind.get(kind))
    ]
    console = console or stdout()
    if not parts:
        console.print("nothing to remove")
        return
    done = "removed" if removed else "to remove"
    console.print(f"{done}: {', '.join(parts)}; {decimal(found.bytes)}")
    staying = {path: runs for path, runs in found.losing.items() if path not in found.going}
    for sweep, runs in staying.items():
        console.print(f"{sweep.name} stays, without {counted(len(runs), 'run')}")
