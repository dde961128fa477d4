"""Tables made of columns: words to the left, figures to the right, and whether they fit."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

Item = TypeVar("Item")


class Column(NamedTuple, Generic[Item]):
    """A column of a table with a row an item."""

    title: str
    cell: Callable[[Item], str]
    is_figure: bool = True


def filled(columns: Sequence[Column[Item]], items: Sequence[Item]) -> Table:
    """A row for each of the items."""
    words = [column.title for column in columns if not column.is_figure]
    table = table_of(*words, right=[column.title for column in columns if column.is_figure])
    for item in items:
        table.add_row(*(column.cell(item) for column in columns))
    return table


def table_of(*left: str, right: Sequence[str] = ()) -> Table:
    """An empty table: words to the left, numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in left:
        table.add_column(
            name, overflow="fold", min_width=max(map(len, name.split("\n")), default=0)
        )
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def fits(console: Console, table: Table) -> bool:
    """Whether the table has its natural width on this console."""
    natural = console.measure(table, options=console.options.update(width=10**4))
    return natural.maximum <= console.width
