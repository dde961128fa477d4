"""A report's files: the page, which makes no network requests, figures as pictures, Markdown."""

import base64
import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any
from urllib.parse import quote

from normexp.errors import UsageError
from normexp.report.compose import Report
from normexp.report.figure import Figure, Spec, Table
from normexp.report.render import Renderer
from normexp.report.source import MOMENTUM, Source
from normexp.report.style import CONFIG, DARK, LIGHT, tight
from normexp.store.files import write_file
from normexp.store.plain import MOST_BYTES, read_regular

PAGE, MARKDOWN, FIGURES, REPORTS = "report.html", "report.md", "figures", "reports"

MOST_CHARACTERS = 120
"""Of a directory's name."""


def place(store: Path, source: Source) -> Path:
    """The directory of a report in the store: `reports/`, by the names of its sources."""
    name = "+".join(each.replace("/", "-") for each in source.names)
    if len(name) > MOST_CHARACTERS or name.startswith("."):
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[:MOST_CHARACTERS].lstrip('.')}-{digest}"
    return store / REPORTS / name


def check_target(out: Path, *, in_store: bool) -> None:
    """Make sure that a report can be written, before anything is drawn.

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


def write(report: Report, directory: Path, renderer: Renderer) -> Path:
    """Write all files, in the place of older ones, and return the page's path."""
    figures = directory / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    for old in _pictures_of(directory / MARKDOWN):  # of the report before, nobody else's files
        for suffix in (".png", ".svg"):
            (figures / old).with_suffix(suffix).unlink(missing_ok=True)
    content = page(report, directory)
    for name, svg, png in renderer.pictures():
        write_file(figures / f"{name}.svg", svg)
        write_file(figures / f"{name}.png", png)
    write_file(directory / MARKDOWN, markdown(report).encode())
    write_file(directory / PAGE, content.encode())
    return directory / PAGE


def as_data(report: Report, written: Path) -> dict[str, Any]:
    """The report for programs."""
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


def page(report: Report, base: Path | None = None, *, live: str = "", number: str = "") -> str:
    """The report as HTML.

    Args:
        report: its contents.
        base: the directory that the page will stand in, for its links; without it has none.
        live: an address that says when there is a newer one, empty in a file.
        number: of this version, which that address tells.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    from normexp import __version__

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["tight"] = tight
    environment.filters["drawing"] = lambda sign: Markup(sign.drawing)  # noqa: S704  our own
    environment.filters["address"] = lambda path: (
        quote(os.path.relpath(path.resolve(), base.resolve() if base else None)) + "/"
    )
    bundle, script = _bundle(), _asset("page.js")
    momenta = any(MOMENTUM in row for row in report.source.rows)
    return environment.from_string(_asset("page.html.jinja")).render(
        report=report,
        arms=report.signs,
        data={f.name: Markup(_data(f, f.chart)) for f in report.figures if f.chart},  # noqa: S704
        style=Markup(_style()),  # noqa: S704  our own
        bundle=Markup(bundle),  # noqa: S704  the library's
        script=Markup(script),  # noqa: S704
        policy=_policy(bundle, script, live=bool(live)),
        version=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}",
        base=base,
        legend="Numbers after a norm are momenta as in PyTorch." if momenta else "",
        live=live,
        number=number,
    )


def _data(figure: Figure, chart: Spec) -> str:
    """The specification that draws a figure; no end of a script element is in it."""
    spec: Spec = {**chart, "config": CONFIG}
    spec["datasets"] = {name: _columns(rows) for name, rows in chart["datasets"].items()}
    if "width" in spec:  # as wide as there is room for
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    content = {
        "spec": spec,
        "controls": {
            each.parameter: {"values": each.values, "words": each.words} for each in figure.controls
        },
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rows by column, which is much shorter; texts and lists once each, and their places."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if all(isinstance(each, str | list | None) for each in values):
            each_once = {json.dumps(value): value for value in values}
            place = {text: number for number, text in enumerate(each_once)}
            places = [place[json.dumps(value)] for value in values]
            found[name] = {"values": list(each_once.values()), "places": places}
        else:
            found[name] = {"values": values}
    return found


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and their embedding, as one script that defines `vegaEmbed`.

    Making it takes two seconds, so it is kept where Python keeps compiled files.
    """
    import vl_convert

    compiled = Path(cache_from_source(__file__))
    kept = compiled.with_name(f"vega-{version('vl-convert-python')}.js")
    with suppress(OSError, ValueError):
        return kept.read_text("utf-8")
    made: str = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]  # none is the default
    script = made.replace("</script", "<\\/script")
    with suppress(OSError):  # of a package that others have installed
        kept.parent.mkdir(exist_ok=True)
        write_file(kept, script.encode())
    return script


def _style() -> str:
    light, dark = (
        " ".join(f"--{name}: {value};" for name, value in tokens.items())
        for tokens in (LIGHT, DARK)
    )
    return _asset("page.css").replace("{{light}}", light).replace("{{dark}}", dark)


def _policy(*scripts: str, live: bool) -> str:
    """The page's content security policy: run these very scripts and draw."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for each in scripts
    )
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (files("normexp.report") / name).read_text("utf-8")


def markdown(report: Report) -> str:
    """The report as Markdown, with its pictures beside it."""
    parts = [f"# {_plain(report.title)}", report.about]
    for each in report.figures:
        parts += [f"## {_plain(each.title)}", _plain(each.sentence)]
        if each.chart is not None:
            parts.append(f"![{_plain(each.title)}]({FIGURES}/{each.name}.png)")
        if each.note:
            parts.append(f"*{_plain(each.note)}*")
        if each.table is not None and (each.open or each.chart is None):
            parts.append(_table(each.table))
    if report.left_out:
        parts.append("## Left out")
        parts.append("\n".join(_plain(f"- {e.title}: {e.why}") for e in report.left_out))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    cells = [[_plain(str(c)).replace("|", "\\|").replace("\n", " ") for c in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing else: names may come from a stranger."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _pictures_of(page: Path) -> list[str]:
    """The pictures of an older report, by its Markdown."""
    try:
        text = read_regular(page, MOST_BYTES).decode()
        return re.findall(rf"\]\({FIGURES}/([\w-]+)\.png\)", text)
    except (OSError, ValueError):
        return []
