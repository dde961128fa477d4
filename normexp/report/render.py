"""Pictures of charts, drawn by a process of its own while other figures are still being made.

Run as a program, this file reads charts from its input, a line of JSON each, and answers with their
SVG and PNG. It imports nothing of the package, so that it starts at once.
"""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normexp.report.figure import Figure, LeftOut

PIXELS = 2
"""Of a PNG for each of the chart's."""


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
        from normexp.report.style import for_picture

        if isinstance(figure, Figure) and figure.chart is not None:
            chart = for_picture(figure.chart)
            self._drawn[figure.name] = self._turns.submit(self._ask, chart)

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

    def _ask(self, chart: str) -> list[bytes]:
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(chart.encode() + b"\n")
        self._process.stdin.flush()
        return [b64decode(each) for each in json.loads(self._process.stdout.readline())]


def main() -> None:
    """Draw what comes in until the input ends."""
    import vl_convert

    for chart in sys.stdin.buffer:
        svg = vl_convert.vegalite_to_svg(chart.decode())
        pictures = svg.encode(), vl_convert.svg_to_png(svg, scale=PIXELS)
        print(json.dumps([b64encode(each).decode() for each in pictures]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
