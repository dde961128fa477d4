"""Pictures of figures, drawn by a process of its own while other figures are still being made.

A picture stands alone: over its chart are the title, the sentence and the key. Run as a program,
this file reads figures from its input, a line of JSON each, and answers with their SVG and PNG. It
imports nothing of the package, so that it starts at once.
"""

import json
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normexp.report.figure import Figure, LeftOut

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
    """Draws figures in the order in which it is given them, until it is closed."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", __file__]
        # A group of its own, which Ctrl-C does not reach: it ends when its input does.
        self._process = subprocess.Popen(  # noqa: S603  our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        self._turns = ThreadPoolExecutor(1)
        self._drawn: dict[str, Future[list[bytes]]] = {}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._turns.shutdown(cancel_futures=True)
        self._process.communicate()

    def draw(self, figure: "Figure | LeftOut") -> None:
        """Begin to draw a figure, if it has a chart."""
        from normexp.report.figure import Figure

        if isinstance(figure, Figure) and figure.chart is not None:
            self._drawn[figure.name] = self._turns.submit(self._ask, _as_json(figure))

    def pictures(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield names, SVGs and PNGs as they come.

        Raises:
            NormexpError: the process has ended.
        """
        from normexp.errors import NormexpError

        for name, drawn in self._drawn.items():
            try:
                svg, png = drawn.result()
            except (OSError, ValueError) as error:
                raise NormexpError(
                    f"{name} could not be drawn: the process that draws has ended",
                    "type the same again; if it was out of memory, name fewer runs",
                ) from error
            yield name, svg, png

    def _ask(self, figure: str) -> list[bytes]:
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(figure.encode() + b"\n")
        self._process.stdin.flush()
        return [b64decode(each) for each in json.loads(self._process.stdout.readline())]


def _as_json(figure: "Figure") -> str:
    """A figure in the colours of light paper; it does not zoom."""
    from normexp.report.style import CONFIG, LIGHT, PAPER, token

    assert figure.chart is not None  # noqa: S101
    params = [each for each in figure.chart["params"] if each["name"] != "zoom"]
    config = {**CONFIG, "font": FONT}
    chart = {**figure.chart, "params": params, "config": config, "background": PAPER}
    text = json.dumps({"head": _head(figure), "chart": chart})
    for name, value in LIGHT.items():
        text = text.replace(token(name), value)
    return text


def _head(figure: "Figure") -> list[str]:
    """Title, sentence and key as lines of SVG, each drawn about y = 0."""
    from html import escape
    from textwrap import wrap

    from normexp.report.style import INK, SOFT, tight

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


def main() -> None:
    """Draw what comes in until the input ends."""
    import vl_convert

    vl_convert.vegalite_to_svg(WARM_UP)
    for line in sys.stdin.buffer:
        figure = json.loads(line)
        svg = _under(figure["head"], vl_convert.vegalite_to_svg(figure["chart"]))
        pictures = svg.encode(), vl_convert.svg_to_png(svg, scale=PIXELS)
        print(json.dumps([b64encode(each).decode() for each in pictures]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
