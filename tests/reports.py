"""Reading reports back: the tables of a page, and the rows that its figures are drawn from."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd


def specs(page: str) -> dict[str, Any]:
    """The specification and the sliders that draw each figure, by name."""
    found = re.findall(r'<script type="application/json" data-for="(.+?)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in found}


def rows_of(page: str, figure: str) -> pd.DataFrame:
    """The rows that a figure is drawn from."""
    columns = specs(page)[figure]["spec"]["datasets"]["rows"]
    return pd.DataFrame(
        {
            name: [column["values"][place] for place in column["places"]]
            if "places" in column
            else column["values"]
            for name, column in columns.items()
        }
    )


def cells(page: str, figure: str) -> list[list[str]]:
    """The table of a figure, its heading row first."""
    section = re.search(rf'<section id="{figure}".*?</section>', page, re.DOTALL)
    assert section is not None, figure
    rows = re.findall(r"<tr>(.*?)</tr>", section[0], re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<.*?>", "", each))
            for each in re.findall(r"<t[hd].*?</t[hd]>", row)
        ]
        for row in rows
    ]


def stored(store: Path, table: str = "metrics") -> pd.DataFrame:
    """A table of all runs, read from the files themselves, with what tells the runs apart."""
    parts = []
    for path in store.glob(f"*/*/{table}.parquet"):
        manifest = json.loads((path.parent / "manifest.json").read_bytes())
        config = manifest["config"]
        momentum = config.get("norm.momentum", "absent")
        norm = "no norm" if config["norm.kind"] == "none" else (
            f"batch {'cumulative' if momentum is None else momentum}"
        )  # fmt: skip
        arm = f"{norm}, batch size {config['train.batch_size']}"
        about = {"arm": arm, "seed": config["seed"], "directory": str(path.parent)}
        part = pd.read_parquet(path)
        parts.append(part.assign(**about, training=manifest["trajectory_id"]))
    return pd.concat(parts, ignore_index=True)


def finals(store: Path) -> pd.DataFrame:
    """The last row of every run's metrics."""
    return stored(store).sort_values("step").groupby("directory").tail(1)
