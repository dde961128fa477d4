"""Reports: what is written, whom it asks (nobody), and whose figures it has (the files')."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, store_of
from PIL import Image
from typer.testing import Result

from normexp.errors import SweepInterruptedError
from normexp.sweeps.events import Event
from normexp.sweeps.stop import Stop
from normexp.sweeps.sweep import sweep

MOMENTA = "norm.momentum=0.01,0.1,0.9,null"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study: none and batch norm with four momenta, three seeds, pictures kept."""
    place = tmp_path_factory.mktemp("report") / "runs"
    return store_of(place, *SMALL, "norm=none,batch", MOMENTA, "seed=range(3)")


@pytest.fixture(scope="module")
def written(store: Path) -> Path:
    """The directory of that study's report."""
    from normexp.report.contents import compose
    from normexp.report.source import gather
    from normexp.report.write import write

    out = store.parent / "out"
    write(compose(gather(store, ["bn_regression"])), out)
    return out


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


def specs(page: str) -> dict[str, Any]:
    """What draws each figure, by name."""
    found = re.findall(r'<script type="application/json" data-for="(.+?)">(.*?)</script>', page)
    return {name: json.loads(text)["spec"] for name, text in found}


def finals(store: Path) -> pd.DataFrame:
    """The last row of every run's metrics, read from the files themselves."""
    rows = []
    for path in store.glob("*/*/metrics.parquet"):
        config = json.loads((path.parent / "manifest.json").read_bytes())["config"]
        last = pd.read_parquet(path).iloc[-1]
        momentum = config.get("norm.momentum", "absent")
        rows.append({"norm": config["norm.kind"], "momentum": momentum, **last})
    return pd.DataFrame(rows)


def test_report_writes_page_pictures_and_markdown(
    normexp: Callable[..., Result], store: Path, tmp_path: Path
) -> None:
    """Every figure with a chart is there three times; the last line says where the page is."""
    result = normexp("report", "bn_regression", "--dir", str(store), "--out", "out")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "out/report.html"
    names = set(specs((tmp_path / "out/report.html").read_text()))
    assert {"headline", "test-loss"} <= names
    pictures = {path.name for path in (tmp_path / "out/figures").iterdir()}
    assert pictures == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}
    markdown = (tmp_path / "out/report.md").read_text()
    assert all(f"(figures/{name}.png)" in markdown for name in names)


def test_without_out_it_stands_in_the_store_and_the_store_stays_sound(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """A report is no study: `ls` and `verify` do not trip over it, nor does a second report."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0,1")

    assert normexp("report", "bn_regression").exit_code == 0
    assert (tmp_path / "runs/reports/bn_regression/report.html").is_file()
    assert normexp("verify").exit_code == 0
    assert "reports" not in normexp("ls").stdout
    assert normexp("report").exit_code == 0


def test_the_page_asks_nobody_for_anything(written: Path) -> None:
    """No element loads anything, and the page itself forbids it."""
    page = (written / "report.html").read_text()
    without_scripts = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)

    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page)[1])  # type: ignore[index]
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"\b(?:src|srcset|action|poster)=", without_scripts)
    assert not re.search(r"<link|@import|url\(", without_scripts)
    links = re.findall(r'href="(.*?)"', without_scripts)
    assert links
    assert not [link for link in links if re.match(r"[a-z]+:|//", link)]


def test_links_lead_to_the_runs(written: Path, store: Path) -> None:
    """Every run's row has a link to its directory, seen from the page."""
    page = (written / "report.html").read_text()
    links = [link for link in re.findall(r'href="(.*?)"', page) if not link.startswith("#")]

    targets = {(written / html.unescape(link)).resolve() for link in links}

    assert targets == {path.parent.resolve() for path in store.glob("*/*/metrics.parquet")}


def test_headline_has_the_means_of_the_files(written: Path, store: Path) -> None:
    """Test losses by arm, averaged here from the runs' own Parquet files."""
    head, *rows = cells((written / "report.html").read_text(), "headline")
    told = {row[0]: row[head.index("test loss")].split(" ± ")[0] for row in rows}
    found = finals(store).fillna({"momentum": "cumulative"})
    means = found.groupby(["norm", "momentum"])["test_loss"].mean()

    names = {("none", "absent"): "no norm"} | {
        ("batch", each): f"batch {each}" for each in (0.01, 0.1, 0.9, "cumulative")
    }
    assert set(told) == set(names.values())
    for key, name in names.items():
        assert float(told[name]) == pytest.approx(means[key], rel=2e-2), name


def test_the_course_of_the_loss_is_drawn_from_the_files(written: Path, store: Path) -> None:
    """The points of the chart are means over seeds of what the files have at each epoch."""
    spec = specs((written / "report.html").read_text())["test-loss"]
    points = pd.DataFrame([row for rows in spec["datasets"].values() for row in rows])
    drawn = points[points["arm"] == "batch 0.1"].drop_duplicates("epoch").set_index("epoch")
    parts = [pd.read_parquet(path) for path in store.glob("*/batch-m0.1-*/metrics.parquet")]
    expected = pd.concat(parts).groupby("epoch")["test_loss"].mean()

    assert len(parts) == 3
    np.testing.assert_allclose(drawn["mean"], expected, rtol=1e-5)


def test_pictures_show_axes_marks_and_every_arm(written: Path) -> None:
    """The SVG has axis titles and a line an arm; the PNG has their colours on white."""
    svg = (written / "figures/test-loss.svg").read_text()
    texts = [each.text for each in ET.fromstring(svg).iter() if each.text]  # noqa: S314
    image = np.asarray(Image.open(written / "figures/test-loss.png").convert("RGB")).astype(int)

    assert {"epoch", "test loss", "no norm", "batch 0.1"} <= set(texts)
    lines = re.findall(r'<path[^>]*stroke="(#\w{6})"[^>]*stroke-width="2"', svg)
    colors = dict.fromkeys(lines)
    assert len(colors) == 5
    assert tuple(image[0, 0]) == (255, 255, 255)
    for color in colors:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(image - wanted).max(axis=2) < 24).sum() > 50, color


def test_json_says_what_the_figures_say(as_json: Callable[..., Any], store: Path) -> None:
    """Titles and sentences for programs, and what was left out."""
    said = as_json("report", "bn_regression", "--dir", str(store), "--out", "out")

    assert said["page"] == "out/report.html"
    assert said["runs"] == 15
    by_name = {each["name"]: each for each in said["figures"]}
    assert "least test loss" in by_name["headline"]["sentence"]
    assert all(each["why"] for each in said["left_out"])


def test_two_studies_stand_side_by_side(normexp: Callable[..., Result], tmp_path: Path) -> None:
    """Arms are told apart by where they come from, and compared where they are alike."""
    store_of(tmp_path / "one/first", *SMALL, "norm=batch", "seed=range(2)")
    store_of(tmp_path / "two/second", *SMALL, "norm=batch", "seed=range(2)")
    (tmp_path / "one/first/bn_regression").rename(tmp_path / "first")
    (tmp_path / "two/second/bn_regression").rename(tmp_path / "second")

    result = normexp("report", "first", "second", "--out", "both")

    assert result.exit_code == 0, result.stderr
    page = Path("both/report.html").read_text()
    arms = [row[0] for row in cells(page, "headline")[1:]]
    assert [name for name in arms if name.startswith("first:")]
    assert len(arms) == 2 * len([name for name in arms if name.startswith("first:")])
    differences = cells(page, "differences")[1:]
    assert {row[0].partition(":")[0] for row in differences} == {"second"}
    assert {row[4] for row in differences} == {"1.00 [1.00, 1.00]"}  # the very same runs


@pytest.mark.parametrize(
    "overrides",
    [
        ["norm=none", "seed=0"],
        ["norm=layer", "seed=0,1"],
        ["norm=batch", "norm.momentum=0.1", "seed=0"],
        ["norm=batch", "norm.estimator=population", "seed=0,1"],
        ["norm=batch", "norm.momentum=0.1,0.5", "optim.lr=1e6", "seed=0,1"],
        ["data=digits", "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0,1"],
        ["norm=batch", "norm.momentum=0.1,0.5", "train.batch_size=8,16"],
    ],
    ids=["plain", "layer", "one-run", "population", "diverging", "labels", "two-axes"],
)
def test_odd_studies_have_a_report_too(
    normexp: Callable[..., Result], tmp_path: Path, overrides: list[str]
) -> None:
    """Whatever was swept: a report, and for each figure that does not fit the reason."""
    store_of(tmp_path / "runs", *SMALL, *overrides)

    result = normexp("report", "bn_regression")

    assert result.exit_code == 0, result.output
    page = Path("runs/reports/bn_regression/report.html").read_text()
    text = re.sub(r"<(script|style).*?</\1>|<.*?>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(?:nan|inf)\b", text, re.IGNORECASE)


def test_names_are_text_whatever_they_hold(normexp: Callable[..., Result], tmp_path: Path) -> None:
    """A study's name from a stranger is no markup."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0")
    name = "<img src=x onerror=alert(1)>"
    Path("runs/bn_regression").rename(Path("runs") / name)

    assert normexp("report", name, "--out", "out").exit_code == 0
    page = re.sub(r"<script>.*?</script>", "", Path("out/report.html").read_text(), flags=re.DOTALL)
    assert "<img" not in page
    assert html.escape(name) in page


@pytest.mark.parametrize(("wanted", "code"), [("nowhere", 3), ("bn_regresion", 3)])
def test_what_is_not_there_is_said_in_a_line(
    normexp: Callable[..., Result], store: Path, wanted: str, code: int
) -> None:
    """Exit code 3, no traceback, nothing written."""
    result = normexp("report", wanted, "--dir", str(store), "--out", "out")

    assert result.exit_code == code
    assert result.stderr.startswith("error:")
    assert not Path("out").exists()


def test_sources_of_one_name_are_told_apart(normexp: Callable[..., Result], tmp_path: Path) -> None:
    """By as much of their paths as that takes; each keeps its own seeds and intervals."""
    for place in ("a", "b"):
        store_of(tmp_path / place, *SMALL, "norm=batch", "norm.momentum=0.1", "seed=range(3)")

    result = normexp("report", "a/bn_regression", "b/bn_regression", "--out", "both")

    assert result.exit_code == 0, result.stderr
    assert "3 runs of them on both sides" in result.stdout
    rows = cells(Path("both/report.html").read_text(), "headline")
    assert [row[:2] for row in rows[1:]] == [
        ["a/bn_regression: batch 0.1", "3"],
        ["b/bn_regression: batch 0.1", "3"],
    ]
    normexp("report", "a/bn_regression", "a/bn_regression", "--out", "once")
    assert cells(Path("once/report.html").read_text(), "headline")[1][:2] == ["batch 0.1", "3"]


def test_an_older_report_gives_way_and_other_files_stay(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """What the report before has drawn and this one does not goes; what is not its own stays."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1")
    assert normexp("report", "--out", "out").exit_code == 0
    mine = Path("out/figures/mine.png")
    mine.write_bytes(b"a picture of my own")
    assert Path("out/figures/momentum-curve.png").exists()

    store_of(tmp_path / "other", *SMALL, "norm=none", "seed=0,1")
    assert normexp("report", "--dir", "other", "--out", "out").exit_code == 0

    assert not Path("out/figures/momentum-curve.png").exists()
    assert mine.read_bytes() == b"a picture of my own"


def test_damaged_runs_are_left_out_and_said(normexp: Callable[..., Result], tmp_path: Path) -> None:
    """The rest is reported; a run that is asked for by itself leads to verify."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=range(3)")
    (damaged,) = Path("runs/bn_regression").glob("*-s1-*")
    (damaged / "layers.parquet").write_bytes(b"")

    assert "2 runs" in normexp("report", "bn_regression").stdout
    assert "1 directory unfinished or damaged" in normexp("report", "bn_regression").stdout
    result = normexp("report", damaged.name)
    assert result.exit_code == 3
    assert "normexp verify" in result.stderr


@pytest.mark.parametrize("out", ["taken", "taken/inside"])
def test_where_no_report_can_be_is_said_before_it_is_drawn(
    normexp: Callable[..., Result], store: Path, out: str
) -> None:
    """A file, a place in a file: exit code 2; `test_words.py` has empty names."""
    Path("taken").write_text("a file")

    result = normexp("report", "--dir", str(store), "--out", out)

    assert result.exit_code == 2
    assert "--out DIR" in result.stderr
    assert Path("taken").read_text() == "a file"


def test_runs_that_a_sweep_has_left_are_missed(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """The report says how many, until the same command has made them."""
    study = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0,1"]
    store_of(tmp_path / "runs", *study[:-1], "seed=0")
    stop = Stop()

    def at_once(event: Event) -> None:
        if event.kind == "began":
            stop.ask(0)

    with pytest.raises(SweepInterruptedError):
        sweep(*study, progress=at_once, stop=stop)
    assert "1 run missing" in normexp("report").stdout

    store_of(tmp_path / "runs", *study)
    assert "missing" not in normexp("report").stdout
