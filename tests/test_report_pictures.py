"""Pictures of a report stand alone: what they say can be read without the page."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import SMALL, store_of
from reports import cells, rows_of, specs
from typer.testing import Result


def texts(reported: Path, figure: str) -> list[str]:
    """Every text of a figure's SVG."""
    svg = (reported / f"reports/bn_regression/figures/{figure}.svg").read_text("utf-8")
    return [each.text for each in ET.fromstring(svg).iter() if each.text]  # noqa: S314


def test_every_picture_has_title_and_sentence(page: str, reported: Path) -> None:
    """Those of the page, the sentence on as many lines as it takes."""
    for name in specs(page):
        section = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
        assert section is not None
        title, sentence = (
            html.unescape(re.search(rf"<{tag}.*?>(.*?)</", section[0])[1])  # type: ignore[index]
            for tag in ("h2", 'p class="sentence"')
        )
        found = texts(reported, name)

        assert found[0] == title
        assert sentence in " ".join(found)


@pytest.mark.parametrize(
    ("figure", "marks"),
    [
        ("headline", ["the same weights under population statistics",
                      "what running statistics cost"]),
        ("differences", ["the same, not decided", "no difference"]),
        ("momentum-curve", ["best measured", "predicted", "predicted best", "population",
                            "no norm"]),
        ("momentum-excess", ["best measured", "predicted", "predicted best"]),
        ("test-loss", ["no norm, batch size 8", "batch cumulative, batch size 16"]),
        ("fitted-curves", ["no norm, batch size 8", "test points"]),
        ("mean-error", ["batch 0.1, batch size 8", "theory of one arm",
                        "theory's 95\u00a0% band"]),
        ("error-budget", ["initial value", "drift", "noise", "whole error"]),
    ],
)  # fmt: skip
def test_keys_explain_every_mark(page: str, reported: Path, figure: str, marks: list[str]) -> None:
    """In the picture; on the page too, but for arms, which have one legend there."""
    section = re.search(rf'<section id="{figure}".*?</section>', page, re.DOTALL)
    assert section is not None
    on_page = [
        html.unescape(each) for each in re.findall(r"<li><svg.*?</svg>(.*?)</li>", section[0])
    ]

    assert not set(marks) - set(texts(reported, figure))
    assert {each for each in marks if "batch size" not in each} <= set(on_page)
    assert not [each for each in on_page if "batch size" in each]


def test_curves_of_a_momentum_figure_are_told_apart_by_their_dashes(reported: Path) -> None:
    """Population, no norm and prediction are three different lines."""
    svg = (reported / "reports/bn_regression/figures/momentum-curve.svg").read_text("utf-8")
    keys = re.findall(r'<path d="M1 7H33"[^>]*stroke-dasharray="([\d ]+)"/>', svg)

    assert len(keys) == len(set(keys)) == 3
    for dashes in keys:
        drawn = dashes.replace(" ", ",")
        assert f'stroke-dasharray="{drawn}"' in svg


def test_no_axis_stands_under_an_empty_place(
    normexp: Callable[..., Result], reported: Path, tmp_path: Path
) -> None:
    """Of four panels in rows of three each has an axis of its own."""
    out = tmp_path / "four"
    place = ["report", "bn_regression", "--dir", str(reported), "--out", str(out)]
    result = normexp(*place, "--arms", "batch 0.*")
    svg = (out / "figures/error-budget.svg").read_text("utf-8")

    assert result.exit_code == 0
    assert svg.count(">RMS in σ<") == 4


def test_an_empty_panel_says_where_its_values_are(page: str) -> None:
    """Where a tenth of the values or more lie beyond the bins, by their shares."""
    drawn = rows_of(page, "histograms")
    beyond = 1 - drawn["share"].map(sum)

    assert ((beyond >= 0.1) == (drawn["beyond"] != "")).all()


@pytest.mark.usefixtures("undrawn")
def test_the_page_of_the_default_study_is_small(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """Vega and its kin take 0.9 MB of 1.5; more seeds than two are more rows of one table."""
    store_of(tmp_path / "runs", "seed=0,1")
    assert normexp("report", "--out", "out").exit_code == 0

    assert Path("out/report.html").stat().st_size <= 1_500_000 - 48 * 500


def test_a_band_that_does_not_hold_its_points_is_said_to_fail(page: str) -> None:
    """The share of points within the drawn band decides, steps after the first alone."""
    drawn = rows_of(page, "log-var-ratio")
    key = ["arm", "layer", "x"]
    points, theory = (drawn[drawn["what"] == what].set_index(key) for what in ("point", "theory"))
    both = points[["mean"]].join(theory[["low", "high"]], how="inner").query("x > 0")
    inside = both["mean"].between(both["low"] - 1e-5, both["high"] + 1e-5).mean()
    section = re.search(r'<section id="log-var-ratio".*?</section>', page, re.DOTALL)
    assert section is not None

    assert ("Theory fails" in section[0]) == (inside < 0.9)
    said = re.search(r"band holds (\d+)\u00a0%", section[0])
    assert said is not None
    assert int(said[1]) == pytest.approx(100 * inside, abs=3)


@pytest.mark.usefixtures("undrawn")
def test_intervals_of_accuracies_end_at_0_and_1(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """Of two seeds they would reach far beyond; every arm has a mark."""
    axes = ["data=digits", "norm=none,batch", "norm.momentum=0.1,0.5", "seed=0,1"]
    store_of(tmp_path / "runs", *SMALL, *axes, "optim.lr=0.1")
    assert normexp("report", "--out", "out").exit_code == 0
    page = Path("out/report.html").read_text()

    arms = [row[0] for row in cells(page, "headline")[1:]]
    for figure in ("headline-accuracy", "momentum-accuracy", "test-accuracy"):
        drawn = rows_of(page, figure).dropna(subset=["low"])
        assert (drawn["low"] >= 0).all()
        assert (drawn["high"] <= 1).all()
    assert list(rows_of(page, "headline-accuracy")["arm"]) == arms


@pytest.mark.usefixtures("undrawn")
def test_arms_are_drawn_by_their_names(normexp: Callable[..., Result], reported: Path) -> None:
    """By patterns; all stay in the first table, and a name that is not there is an error."""
    place = ["report", "bn_regression", "--dir", str(reported), "--out", "out"]
    some = ["--arms", "batch 0.1*", "--arms", "no norm, batch size 8"]
    assert normexp(*place, *some).exit_code == 0
    page = Path("out/report.html").read_text()
    wanted = {"batch 0.1, batch size 8", "batch 0.1, batch size 16", "no norm, batch size 8"}

    assert set(re.findall('<button.*?data-arm="(.*?)"', page)) == wanted
    for figure in ("headline", "test-loss", "fitted-curves"):
        assert set(rows_of(page, figure)["arm"].dropna()) == wanted
    assert len(cells(page, "headline")) == 1 + 8
    result = normexp(*place, "--arms", "batch 0.7*")
    assert result.exit_code == 3
    assert "no norm, batch size 16" in result.stderr
