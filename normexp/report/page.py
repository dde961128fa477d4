"""The page: one file of HTML that asks nobody for anything."""

import base64
import hashlib
import json
import os
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from normexp.report.contents import Report
from normexp.report.figure import Figure
from normexp.report.said import tight
from normexp.report.source import MOMENTUM
from normexp.report.style import DARK, LIGHT, specification

MARKS = {
    "circle": "M17 3a4 4 0 1 0 .01 0z",
    "square": "M13.5 3.5h7v7h-7z",
    "triangle-up": "M17 2.5l4.5 8.5h-9z",
    "diamond": "M17 1.5l4 5.5-4 5.5-4-5.5z",
    "cross": "M15.5 2.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "triangle-down": "M17 11.5l4.5-8.5h-9z",
    "triangle-right": "M13 2.5l8.5 4.5-8.5 4.5z",
    "triangle-left": "M21 2.5l-8.5 4.5 8.5 4.5z",
}
"""Vega's shapes, as paths for the legend."""


def page(report: Report, base: Path | None = None, *, live: str = "", number: str = "") -> str:
    """The report as HTML.

    Args:
        report: of what.
        base: the directory that the page will stand in, for its links; without it has none.
        live: an address that says when there is a newer one, empty in a file.
        number: of this version, which that address tells.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    from normexp import __version__

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["tight"] = tight
    environment.filters["address"] = lambda path: _address(path, base)
    template = environment.from_string(_asset("page.html.jinja"))
    bundle, script = _bundle(), _asset("page.js")
    return template.render(
        report=report,
        looks=report.looks,
        marks=MARKS,
        data={f.name: Markup(_data(f)) for f in report.figures if f.chart is not None},  # noqa: S704
        style=Markup(_style()),  # noqa: S704  our own
        bundle=Markup(bundle),  # noqa: S704  the library's
        script=Markup(script),  # noqa: S704
        policy=_policy(bundle, script, live=bool(live)),
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        base=base,
        legend=_legend(report),
        live=live,
        number=number,
    )


def _legend(report: Report) -> str:
    """What the names of the arms mean."""
    momentum = MOMENTUM in report.source.fields and any(MOMENTUM in r for r in report.source.rows)
    return "Numbers after a norm are momenta as in PyTorch." if momentum else ""


def _address(path: Path, base: Path | None) -> str:
    """A directory as a link from the page's own."""
    return quote(os.path.relpath(path.resolve(), base.resolve() if base else None)) + "/"


def _data(figure: Figure) -> str:
    """What draws a figure; no end of a script element is in it."""
    content = {
        "spec": specification(figure.vega_lite, page=True),
        "controls": {
            each.parameter: {"values": each.values, "words": each.words} for each in figure.controls
        },
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and their embedding, as one script that defines `vegaEmbed`."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]  # none is the default
    return bundle.replace("</script", "<\\/script")


def _style() -> str:
    light, dark = (
        " ".join(f"--{name}: {value};" for name, value in tokens.items())
        for tokens in (LIGHT, DARK)
    )
    return _asset("page.css").replace("{{light}}", light).replace("{{dark}}", dark)


def _policy(*scripts: str, live: bool) -> str:
    """What a browser may do for this page: run these very scripts and draw."""
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
