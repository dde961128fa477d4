"""Reports: their files, what a page asks for (nothing), and what is said of odd runs."""

import html
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from conftest import SMALL, store_of
from PIL import Image
from reports import cells, specs
from typer.testing import Result

from normexp.errors import SweepInterruptedError
from normexp.store.locks import Stop
from normexp.sweeps.events import Event
from normexp.sweeps.sweep import sweep

Normexp = Callable[..., Result]


def test_a_report_has_page_pictures_and_markdown(reported: Path, page: str) -> None:
    """Every figure with a chart is there three times."""
    place = reported / "reports/bn_regression"
    markdown = (place / "report.md").read_text()
    names = set(specs(page))

    assert {"headline", "differences", "momentum-curve", "momentum-excess", "heat-map", "test-loss",
            "fitted-curves", "histograms", "mean-error", "log-var-ratio",
            "error-budget"} == names  # fmt: skip
    pictures = {path.name for path in (place / "figures").iterdir()}
    assert pictures == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}
    assert all(f"(figures/{name}.png)" in markdown for name in names)


@pytest.mark.usefixtures("undrawn")
def test_the_store_stays_sound_and_the_answer_says_what_was_made(
    normexp: Normexp, reported: Path
) -> None:
    """A report is no study: `ls` and `verify` do not trip over it, nor does a second report."""
    place = str(reported)
    said = normexp("report", "--dir", place, "--out", "out", "--json")
    plain = normexp("report", "bn_regression", "--dir", place, "--out", "out")

    assert plain.stdout.splitlines()[-1] == "out/report.html"
    assert '"runs": 24' in said.stdout
    assert "least test loss" in said.stdout
    assert normexp("verify", "--dir", place).exit_code == 0
    assert "reports" not in normexp("ls", "--dir", place).stdout


def test_the_page_makes_no_network_requests(page: str) -> None:
    """No element loads anything, and the page itself forbids it."""
    without_scripts = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page)[1])  # type: ignore[index]
    links = re.findall(r'href="(.*?)"', without_scripts)

    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"\b(?:src|srcset|action|poster)=", without_scripts)
    assert not re.search(r"<link|@import|url\(", without_scripts)
    assert links
    assert not [link for link in links if re.match(r"[a-z]+:|//", link)]


def test_links_lead_to_the_runs(page: str, reported: Path) -> None:
    """Every run's row has a link to its directory, seen from the page."""
    place = reported / "reports/bn_regression"
    links = [link for link in re.findall(r'href="(.*?)"', page) if not link.startswith("#")]

    targets = {(place / html.unescape(link)).resolve() for link in links}
    assert targets == {path.parent.resolve() for path in reported.glob("*/*/metrics.parquet")}


def test_pictures_show_axes_marks_and_every_arm(reported: Path) -> None:
    """The SVG has axis titles and a line an arm; the PNG has their colours on white."""
    figures = reported / "reports/bn_regression/figures"
    svg = (figures / "test-loss.svg").read_text()
    texts = [each.text for each in ET.fromstring(svg).iter() if each.text]  # noqa: S314
    image = np.asarray(Image.open(figures / "test-loss.png").convert("RGB")).astype(int)
    lines = re.findall(r'<path[^>]*stroke="(#\w{6})"[^>]*stroke-width="2"', svg)

    assert {"epoch", "test loss", "no norm, batch size 8", "batch 0.1, batch size 16"} <= set(texts)
    assert len(set(lines)) == 8
    assert tuple(image[0, 0]) == (255, 255, 255)
    for color in set(lines):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(image - wanted).max(axis=2) < 24).sum() > 50, color


def test_a_drawing_process_that_ends_is_said_in_a_line(
    normexp: Normexp, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was killed where memory is short; there is no page without its pictures."""
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    result = normexp("report", "--dir", str(reported), "--out", "out")

    assert result.exit_code == 1
    assert "could not be drawn" in result.stderr
    assert not Path("out/report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_sources_stand_side_by_side(normexp: Normexp, tmp_path: Path) -> None:
    """Told apart by as much of their paths as that takes, compared where they are alike."""
    for place in ("a", "b"):
        store_of(tmp_path / place, *SMALL, "norm=batch", "norm.momentum=0.1", "seed=range(3)")

    result = normexp("report", "a/bn_regression", "b/bn_regression", "--out", "both")

    assert result.exit_code == 0, result.stderr
    assert "3 runs of them on both sides" in result.stdout
    page = Path("both/report.html").read_text()
    assert [row[:2] for row in cells(page, "headline")[1:]] == [
        ["a/bn_regression: batch 0.1", "3"],
        ["b/bn_regression: batch 0.1", "3"],
    ]
    (difference,) = cells(page, "differences")[1:]
    assert difference[:2] == ["b/bn_regression: batch 0.1", "a/bn_regression: batch 0.1"]
    assert difference[4] == "1.00 [1.00, 1.00]"  # the very same runs
    normexp("report", "a/bn_regression", "a/bn_regression", "--out", "once")
    once = cells(Path("once/report.html").read_text(), "headline")
    assert once[1][:2] == ["batch 0.1", "3"]


NO_CURVE = "Momentum curve: no two runs differ in their momentum alone"
NO_MAP = "Heat map: no two fields"
NO_STATISTICS = "Error budget of the running means: no run has running statistics"


@pytest.mark.parametrize(
    ("overrides", "left_out"),
    [
        (["norm=none", "seed=0"], [NO_CURVE, NO_MAP, NO_STATISTICS]),
        (["norm=layer", "seed=0,1"], [NO_CURVE, NO_MAP, NO_STATISTICS]),
        (["norm=batch", "norm.momentum=0.1", "seed=0"], [NO_CURVE, NO_MAP]),
        (["norm=batch", "norm.estimator=population", "seed=0,1"], [NO_CURVE]),
        (["norm=batch", "norm.momentum=0.1,0.5", "optim.lr=1e30"],
         ["Momentum curve: no run with a momentum"]),
        (["data=digits", "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0,1"],
         ["Fitted curves: drawn where one number is predicted from one number"]),
        (["norm=batch", "norm.momentum=0.1", "seed=0", "model.activation=tanh,relu"], [NO_CURVE]),
        (["norm=batch", "norm.momentum=0.1", "seed=0", "model.depth=2,3"], [NO_CURVE]),
    ],
    ids=["plain", "layer", "one-run", "population", "diverging", "labels", "two-settings",
         "two-depths"],
)  # fmt: skip
def test_odd_studies_have_a_report_too(
    normexp: Normexp, overrides: list[str], left_out: list[str]
) -> None:
    """Whatever was swept: a report, and for each figure that does not fit the reason."""
    normexp("sweep", *SMALL, *overrides)
    result = normexp("report", "bn_regression")

    assert result.exit_code == 0, result.output
    assert "it failed" not in result.stderr
    for reason in left_out:
        assert f"left out: {reason}" in result.stderr
    page = Path("runs/reports/bn_regression/report.html").read_text()
    text = re.sub(r"<(script|style).*?</\1>|<.*?>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(?:nan|inf)\b", text, re.IGNORECASE)


@pytest.mark.usefixtures("undrawn")
def test_a_single_run_is_compared_with_no_other(normexp: Normexp, tmp_path: Path) -> None:
    """Its fitted curve is its own alone."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")

    assert normexp("report", "--out", "out").exit_code == 0
    text = Path("out/report.md").read_text()
    assert "from the test points (root mean square)." in text
    assert "on the same weights: only" not in text


@pytest.mark.usefixtures("undrawn")
def test_names_are_text_whatever_they_hold(normexp: Normexp, tmp_path: Path) -> None:
    """A study's name from a stranger is no markup."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0")
    name = "<img src=x onerror=alert(1)>"
    Path("runs/bn_regression").rename(Path("runs") / name)

    assert normexp("report", name, "--out", "out").exit_code == 0
    page = re.sub(r"<script>.*?</script>", "", Path("out/report.html").read_text(), flags=re.DOTALL)
    assert "<img" not in page
    assert html.escape(name) in page


@pytest.mark.parametrize("wanted", ["nowhere", "bn_regresion"])
def test_what_is_not_there_is_said_in_a_line(normexp: Normexp, reported: Path, wanted: str) -> None:
    """Exit code 3, no traceback, nothing written."""
    result = normexp("report", wanted, "--dir", str(reported), "--out", "out")

    assert result.exit_code == 3
    assert result.stderr.startswith("error:")
    assert not Path("out").exists()


@pytest.mark.usefixtures("undrawn")
def test_an_older_report_gives_way_and_other_files_stay(normexp: Normexp, tmp_path: Path) -> None:
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


@pytest.mark.usefixtures("undrawn")
def test_a_training_among_runs_is_none(normexp: Normexp, tmp_path: Path) -> None:
    """As a copy may leave it: it counts as a directory that is no whole run."""
    study = store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0") / "bn_regression"
    (training,) = (study / "trajectories").iterdir()
    shutil.copytree(training, study / "batch-m0.1-s0-0123456789ab")

    result = normexp("report", "bn_regression")
    assert result.exit_code == 0, result.output
    assert "1 directory unfinished or damaged" in result.stdout


@pytest.mark.usefixtures("undrawn")
def test_damaged_runs_are_left_out_and_said(normexp: Normexp, tmp_path: Path) -> None:
    """The rest is reported; a run that is asked for by itself leads to verify."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=range(3)")
    (damaged,) = Path("runs/bn_regression").glob("*-s1-*")
    (damaged / "layers.parquet").write_bytes(b"")

    said = normexp("report", "bn_regression").stdout
    assert "2 runs" in said
    assert "1 directory unfinished or damaged" in said
    result = normexp("report", damaged.name)
    assert result.exit_code == 3
    assert "normexp verify" in result.stderr


@pytest.mark.parametrize("out", ["taken", "taken/inside"])
def test_where_no_report_can_be_is_said_before_it_is_drawn(
    normexp: Normexp, reported: Path, out: str
) -> None:
    """A file, a place in a file: exit code 2."""
    Path("taken").write_text("a file")

    result = normexp("report", "--dir", str(reported), "--out", out)

    assert result.exit_code == 2
    assert "--out DIR" in result.stderr
    assert Path("taken").read_text() == "a file"


@pytest.mark.usefixtures("undrawn")
def test_runs_that_a_sweep_has_left_are_missed(normexp: Normexp, tmp_path: Path) -> None:
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
