"""What a sweep costs by the number of its runs and by the width of its networks: `make cost`.

Momentum studies of S1's network: wall clock and the peak of memory, start-up included, on Linux.
Prints a line a sweep, and draws both as a picture.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from load import MOMENTA, PROGRAM, measured

RUNS = (10, 100, 1_000, 10_000, 100_000)
WIDTHS = (10, 30, 100, 300, 1_000)
RUNS_BY_WIDTH = 160
TITLES = {"seconds": "seconds", "gigabytes": "GB of memory"}


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most-runs", type=int, default=RUNS[-1])
    parser.add_argument("--most-width", type=int, default=WIDTHS[-1])
    parser.add_argument("--picture", type=Path, help="where the picture goes, a PNG or SVG")
    asked = parser.parse_args()
    sizes = [("runs", size) for size in RUNS if size <= asked.most_runs]
    sizes += [("width", size) for size in WIDTHS if size <= asked.most_width]
    rows = []
    place = tempfile.TemporaryDirectory()  # one, since ext4 is slow for minutes after deletions
    for by, size in sizes:
        seconds, gigabytes = _sweep(by, size, place.name)
        print(f"{by:5} {size:8,} {seconds:8.1f} s {gigabytes:8.2f} GB", flush=True)
        rows.append({"by": by, "size": size, "seconds": seconds, "gigabytes": gigabytes})
    place.cleanup()
    print(json.dumps(rows))
    if asked.picture:
        picture(pd.DataFrame(rows)).save(asked.picture, scale_factor=2)


def _sweep(by: str, size: int, place: str) -> tuple[float, float]:
    """Seconds and GB of a sweep of so many runs, or of networks so wide."""
    runs = size if by == "runs" else RUNS_BY_WIDTH
    momenta = ",".join(MOMENTA[: min(runs, len(MOMENTA))])
    study = ["norm=batch", f"norm.momentum={momenta}", f"seed=range({-(-runs // len(MOMENTA))})"]
    study += [f"model.width={size}"] if by == "width" else []
    return measured([*PROGRAM, "sweep", *study, f"store.dir={by}-{size}"], place)


def picture(measurements: pd.DataFrame) -> alt.VConcatChart | alt.HConcatChart:
    """Seconds and memory, by runs on the left and by width on the right."""
    return alt.vconcat(*(
        alt.hconcat(*(_panel(measurements, by, value) for by in ("runs", "width")))
        for value in TITLES
    ))  # fmt: skip


def _panel(measurements: pd.DataFrame, by: str, value: str) -> alt.Chart:
    """One line, both scales logarithmic."""
    title = "runs" if by == "runs" else f"width of the network ({RUNS_BY_WIDTH} runs)"
    chart: Any = alt.Chart(measurements[measurements["by"] == by], width=300, height=170)
    x = alt.X("size", type="quantitative", title=title).scale(type="log").axis(format=",")
    y = alt.Y(value, type="quantitative", title=TITLES[value]).scale(type="log")
    drawn: alt.Chart = chart.mark_line(point=True).encode(x.axis(tickCount=5, format=","), y)
    return drawn


if __name__ == "__main__":
    main()
