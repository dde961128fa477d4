"""What has changed of what numbers depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

from normexp.config.field import spell
from normexp.console.columns import table_of
from normexp.console.streams import stdout


def print_changes(changes: Mapping[str, Any], unknown: Sequence[str]) -> None:
    """The entries of the environment that differ, and those that a record does not say."""
    console = stdout()
    if unknown:
        console.print(f"not recorded then: {', '.join(unknown)}", soft_wrap=True)
    if changes:
        table = table_of("changed", "recorded", "now")
        for name, (old, new) in changes.items():
            table.add_row(name, *_pair(old, new))
        console.print(table)
    elif not unknown:
        console.print("nothing has changed that numbers depend on")


def _pair(old: Any, new: Any) -> tuple[str, str]:  # noqa: ANN401
    """Two values; of lists, what each has and the other has not."""
    if isinstance(old, list) and isinstance(new, list):
        return (
            " ".join(str(part) for part in old if part not in new) or "fewer",
            " ".join(str(part) for part in new if part not in old) or "fewer",
        )
    return spell(old), spell(new)
