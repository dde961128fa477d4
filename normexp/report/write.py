"""A report's files: the page, its figures as SVG and PNG, and Markdown."""

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from normexp.errors import UsageError
from normexp.report.contents import Report
from normexp.report.figure import Figure, Table
from normexp.report.page import page
from normexp.report.source import Source
from normexp.report.style import specification
from normexp.store.files import write_file
from normexp.store.regular import MOST_BYTES, read_regular

PAGE = "report.html"
MARKDOWN = "report.md"
FIGURES = "figures"
REPORTS = "reports"
MOST_CHARACTERS = 120

PIXELS = 2
"""Of a PNG for each of the chart's."""


def place(store: Path, source: Source) -> Path:
    """Where a report goes if nobody says: `reports/` of the store, by the names of its sources."""
    name = "+".join(each.replace("/", "-") for each in source.names)
    if len(name) > MOST_CHARACTERS or name.startswith("."):
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[:MOST_CHARACTERS].lstrip('.')}-{digest}"
    return store / REPORTS / name


def check_target(out: Path, *, in_store: bool) -> None:
    """See that a report can be written there, before anything is drawn.

    Args:
        out: where to; a link, if the user has named it.
        in_store: whether it is the store's own place for it.

    Raises:
        UsageError: it cannot.
    """
    for path in (*((out.parent, out) if in_store else ()), out / FIGURES):
        if path.is_symlink():
            raise UsageError(
                f"{path} is a link, and a report writes and removes pictures only in directories "
                "of its own",
                f"type rm {shlex.quote(str(path))}, or --out DIR for another place",
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be a directory: {error.strerror}",
            "type --out DIR for a directory of the report's own",
        ) from None


def as_data(report: Report, written: Path) -> dict[str, Any]:
    """What a report says, for programs."""
    return {
        "page": str(written),
        "title": report.title,
        "runs": len(report.source.rows),
        "figures": [
            {"name": each.name, "title": each.title, "sentence": each.sentence}
            for each in report.figures
        ],
        "left_out": [{"title": each.title, "why": each.why} for each in report.left_out],
    }


def write(report: Report, directory: Path) -> Path:
    """Write all files, in the place of older ones; the page."""
    figures = directory / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    for old in _told(directory / MARKDOWN):  # of the report before, no file of anybody else's
        for suffix in (".png", ".svg"):
            (figures / old).with_suffix(suffix).unlink(missing_ok=True)
    for each in (figure for figure in report.figures if figure.chart is not None):
        for name, content in _pictures(each):
            write_file(figures / name, content)
    write_file(directory / MARKDOWN, markdown(report).encode())
    write_file(directory / PAGE, page(report, directory).encode())
    return directory / PAGE


def markdown(report: Report) -> str:
    """The report as Markdown, with its pictures beside it."""
    parts = [f"# {_plain(report.title)}", report.about]
    for each in report.figures:
        parts += [f"## {each.title}", _plain(each.sentence)]
        if each.chart is not None:
            parts.append(f"![{_plain(each.description)}]({FIGURES}/{each.name}.png)")
        if each.note:
            parts.append(f"*{_plain(each.note)}*")
        if each.table is not None and (each.open or each.chart is None):
            parts.append(_table(each.table))
    if report.left_out:
        parts.append("## Left out")
        lines = [f"- {each.title}: {_plain(each.why)}" for each in report.left_out]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _pictures(figure: Figure) -> Iterator[tuple[str, bytes]]:
    import vl_convert

    svg = vl_convert.vegalite_to_svg(specification(figure.vega_lite, page=False))
    yield f"{figure.name}.svg", svg.encode()
    yield f"{figure.name}.png", vl_convert.svg_to_png(svg, scale=PIXELS)


def _table(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_cell, map(str, line)))} |" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing else: names may come from a stranger."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _told(page: Path) -> list[str]:
    """The pictures that an older report of this place has."""
    try:
        text = read_regular(page, MOST_BYTES).decode()
        return re.findall(rf"\]\({FIGURES}/([\w-]+)\.png\)", text)
    except (OSError, ValueError):
        return []
