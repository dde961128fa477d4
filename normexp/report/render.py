"""Pictures of figures, drawn by a process of its own while other figures are still being made.

A picture stands alone: over its chart are the title, the sentence and the key.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from html import escape
from textwrap import wrap

from normexp.errors import NormexpError
from normexp.report.aside import Calling
from normexp.report.figure import Figure, LeftOut
from normexp.report.style import CONFIG, INK, LIGHT, PAPER, SOFT, tight, token

PIXELS = 2
"""Of a PNG for each of the picture's."""

WIDTH, MARGIN, LINE = 760, 10, 18
"""Of what stands over a chart, in pixels; a line's height."""

LETTER = 6.7
"""Pixels of a letter, rather too many."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""Comes with the library, so that pictures are the same everywhere, and is drawn in a quarter of
the time that DejaVu takes; Arial is as wide, for who looks at an SVG without it."""

WARM_UP = {"data": {"values": [{}]}, "mark": "point"}
"""A chart that makes the library ready while the first figure is still being made."""


class Renderer:
    """Draws figures in the order in which it is given them; `call` calls `picture`."""

    def __init__(self, call: Calling) -> None:
        self._call = call
        self._turns = ThreadPoolExecutor(1)
        self._drawn: dict[str, Future[tuple[bytes, bytes]]] = {}

    def draw(self, figure: Figure | LeftOut) -> None:
        """Begin to draw a figure, if it has a chart."""
        if isinstance(figure, Figure) and figure.chart is not None:
            self._drawn[figure.name] = self._turns.submit(self._call, picture, _as_json(figure))

    def pictures(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield names, SVGs and PNGs as they come.

        Raises:
            NormexpError: the process has ended.
        """
        for name, drawn in self._drawn.items():
            try:
                svg, png = drawn.result()
            except (EOFError, OSError) as error:
                raise NormexpError(
                    f"{name} could not be drawn: the process that draws has ended",
                    "type the same again; if it was out of memory, name fewer runs",
                ) from error
            yield name, svg, png


def _as_json(figure: Figure) -> str:
    """What is over a chart, and the chart, in the colours of light paper; it does not zoom."""
    assert figure.chart is not None  # noqa: S101
    params = [each for each in figure.chart["params"] if each["name"] != "zoom"]
    config = {**CONFIG, "font": FONT}
    chart = {**figure.chart, "params": params, "config": config, "background": PAPER}
    text = json.dumps([_head(figure), chart])
    for name, value in LIGHT.items():
        text = text.replace(token(name), value)
    return text


def _head(figure: Figure) -> list[str]:
    """Title, sentence and key as lines of SVG, each drawn about y = 0."""

    def text(words: str, color: str, more: str = "") -> str:
        look = f'font-size="12" fill="{color}" {more}'
        return f'<text font-family="{FONT}" {look}>{escape(words)}</text>'

    lines = [text(figure.title, INK, 'font-weight="bold"')]
    lines += [text(line, SOFT) for line in wrap(tight(figure.sentence), int(WIDTH / LETTER))]
    x, row = 0.0, ""
    for sign in figure.key:
        wide = 42 + LETTER * len(sign.words) + 18
        if row and x + wide > WIDTH:
            x, row = 0.0, row + "\n"
        words = f'<g transform="translate(42 0)">{text(sign.words, INK)}</g>'
        mark = f'<g fill="none" transform="translate(0 -11)">{sign.drawing}</g>'
        row += f'<g transform="translate({x} 0)">{mark}{words}</g>'
        x += wide
    return [*lines, "", *row.split("\n")] if row else lines


def _under(head: list[str], svg: str) -> str:
    """A picture: the chart's SVG with these lines over it."""
    size = re.search(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"', svg)
    assert size is not None  # noqa: S101  the library's
    width, height = (float(each) for each in size.groups())
    top = MARGIN + LINE * len(head) + MARGIN
    whole = max(width, WIDTH) + 2 * MARGIN, top + height + MARGIN
    lines = (
        f'<g transform="translate({MARGIN} {MARGIN + LINE * number - 5})">{line}</g>'
        for number, line in enumerate(head, start=1)
    )
    chart = _unclipped(svg)[svg.index(">", svg.index("<svg")) + 1 :].removesuffix("</svg>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{whole[0]:g}" height="{whole[1]:g}" viewBox="0 0 {whole[0]:g} {whole[1]:g}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(lines)}'
        f'<g transform="translate({MARGIN} {top})">{chart}</g></svg>'
    )


def _unclipped(svg: str) -> str:
    """The SVG without clips that clip nothing: each costs a PNG a canvas of its own."""
    clips = r'<clipPath id="(\w+)"><rect x="0" y="0" width="([\d.]+)" height="([\d.]+)"'
    sizes = {clip: (float(w), float(h)) for clip, w, h in re.findall(clips, svg)}

    def checked(found: re.Match[str]) -> str:
        before, clip, after, paths = found.groups()
        lines = re.findall(r' d="([^"]*)"', paths)
        numbers = [float(each) for line in lines for each in re.findall(r"-?[\d.]+", line)]
        ends = [(numbers[0::2], sizes[clip][0]), (numbers[1::2], sizes[clip][1])]
        fits = all(-1 <= each <= end + 1 for values, end in ends for each in values)
        return before + after + paths if fits else found[0]

    groups = r'(<g class="mark-(?:area|line)[^>]*?) clip-path="url\(#(\w+)\)"([^>]*>)(.*?)(?=</g>)'
    return re.sub(groups, checked, svg)


def warm_up() -> None:
    """Make the library ready."""
    import vl_convert

    vl_convert.vegalite_to_svg(WARM_UP)


def picture(figure: str) -> tuple[bytes, bytes]:
    """Return the SVG and the PNG of a figure that is written as JSON."""
    import vl_convert

    head, chart = json.loads(figure)
    svg = _under(head, vl_convert.vegalite_to_svg(chart))
    return svg.encode(), vl_convert.svg_to_png(svg, scale=PIXELS)
