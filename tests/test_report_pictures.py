"""Pictures of a report stand alone: what they say can be read without the page."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from reports import rows_of, specs


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
        ("mean-error", ["batch 0.1, batch size 8", "theory of one arm"]),
        ("error-budget", ["initial value", "drift", "noise", "whole error"]),
    ],
)  # fmt: skip
def test_keys_explain_every_mark(page: str, reported: Path, figure: str, marks: list[str]) -> None:
    """In the picture; on the page too, but for arms, which have one legend there."""
    section = re.search(rf'<section id="{figure}".*?</section>', page, re.DOTALL)
    assert section is not None
    on_page = re.findall(r"<li><svg.*?</svg>(.*?)</li>", section[0])

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


def test_an_empty_panel_says_where_its_values_are(page: str) -> None:
    """Where a tenth of the values or more lie beyond the bins, by their shares."""
    drawn = rows_of(page, "histograms")
    beyond = 1 - drawn["share"].map(sum)

    assert ((beyond >= 0.1) == (drawn["beyond"] != "")).all()


def test_a_page_is_no_larger_than_it_must_be(page: str) -> None:
    """Vega and its kin take 0.9 MB of it."""
    assert len(page.encode()) <= 1_500_000
