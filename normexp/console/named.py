"""Tables of figures by arm, whose figures are never cut: names give way."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from normexp.console.columns import fits, table_of
from normexp.console.words import NOTHING, field_value, heading

Line = tuple[Mapping[str, Any], Sequence[str]]
"""The fields of an arm, and its figures."""


def named_table(
    console: Console, fields: Sequence[str], figures: Sequence[str], lines: Sequence[Line]
) -> Table:
    """A column a field where there is room, else one column with all that an arm is.

    Args:
        console: to print on.
        fields: that tell the arms apart.
        figures: titles of the columns of figures.
        lines: one an arm.
    """
    wide = table_of(*(heading(path, keras=False) for path in fields), right=figures)
    narrow = table_of("arm", right=figures)
    for values, cells in lines:
        words = {path: field_value(path, values, keras=False) for path in fields}
        wide.add_row(*words.values(), *cells)
        said = (
            f"{heading(path, keras=False).replace(chr(10), ' ')} {word}"
            for path, word in words.items()
            if word != NOTHING
        )
        narrow.add_row(", ".join(said), *cells)
    return wide if fits(console, wide) else narrow
