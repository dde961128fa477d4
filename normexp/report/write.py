"""A report's files: the page, its figures as SVG and PNG, and Markdown."""

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

PAGE = "report.html"
MARKDOWN = "report.md"
FIGURES = "figures"
REPORTS = "reports"
MOST_CHARACTERS = 120

PIXELS = 2
"""Of a PNG for each of the chart's."""


def place(store: Path, source: Source) -> Path:
    """Where a report goes if nobody says: `reports/` of the store, by the names of its sources."""
    return store / REPORTS / "+".join(source.names)[:MOST_CHARACTERS]


def check_target(out: Path | None) -> None:
    """Whether a report can be written there, before anything is drawn.

    Raises:
        UsageError: there is a file.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", "type --out DIR for a directory of the report's own")


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
    drawn = [each for each in report.figures if each.chart is not None]
    for old in figures.iterdir():
        if old.suffix in (".svg", ".png") and old.stem not in {each.name for each in drawn}:
            old.unlink()
    for each in drawn:
        for name, content in _pictures(each):
            write_file(figures / name, content)
    write_file(directory / MARKDOWN, markdown(report).encode())
    write_file(directory / PAGE, page(report, directory).encode())
    return directory / PAGE


def markdown(report: Report) -> str:
    """The report as Markdown, with its pictures beside it."""
    parts = [f"# {report.title}", report.about]
    for each in report.figures:
        parts += [f"## {each.title}", each.sentence]
        if each.chart is not None:
            parts.append(f"![{each.description}]({FIGURES}/{each.name}.png)")
        if each.note:
            parts.append(f"*{each.note}*")
        if each.table is not None and (each.open or each.chart is None):
            parts.append(_table(each.table))
    if report.left_out:
        parts.append("## Left out")
        parts.append("\n".join(f"- {each.title}: {each.why}" for each in report.left_out))
    return "\n\n".join(parts) + "\n"


def _pictures(figure: Figure) -> Iterator[tuple[str, bytes]]:
    import vl_convert

    spec = specification(figure.chart, page=False)
    yield f"{figure.name}.svg", vl_convert.vegalite_to_svg(spec).encode()
    yield f"{figure.name}.png", vl_convert.vegalite_to_png(spec, scale=PIXELS)


def _table(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_cell, map(str, line)))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
