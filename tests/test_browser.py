"""Reports in a real browser, the network blocked: what a reader sees and can do.

Needs Chromium and Playwright; `.ci/run` installs both and sets NORMEXP_NEEDS_BROWSER.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SMALL, store_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Opener = Callable[..., Page]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

SCREENS = {"desk": {"width": 1100, "height": 844}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium; where there is none the tests say so, and in CI they fail."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        assert "NORMEXP_NEEDS_BROWSER" not in os.environ, "no Chromium, though CI installs it"
        pytest.skip("no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def opened(browser: "Browser", reported: Path) -> Iterator["Opener"]:
    """Opens the page without a network, once for each scheme and screen.

    Whatever it asks for or complains of fails the module's last test.
    """
    asked: list[str] = []
    said: list[str] = []
    contexts = []

    @cache
    def open_page(scheme: str = "light", screen: str = "desk") -> "Page":
        context = browser.new_context(
            viewport=SCREENS[screen],  # type: ignore[arg-type]  # a dictionary of its keys
            color_scheme=scheme,  # type: ignore[arg-type]  # one of two
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((reported / "reports/bn_regression/report.html").as_uri())
        page.wait_for_selector("body[data-drawn=true]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def sideways(page: "Page") -> int:
    """By how many pixels the page is wider than the screen."""
    return int(
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    )


def rows(page: "Page", figure: str, data: str = "") -> list[dict[str, Any]]:
    """The values that a figure's chart is drawn from, after all its filters."""
    script = """([figure, data]) => {
      const view = views.get(figure).result.view;
      const names = Object.keys(view.getState({data: () => true, signals: () => false}).data);
      return names.filter(n => n.startsWith(data || "data_")).flatMap(n => view.data(n));
    }"""
    found: list[dict[str, Any]] = page.evaluate(script, [figure, data])
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_figure_is_drawn(opened: "Opener", scheme: str, screen: str) -> None:
    """Each has marks and axes, nothing is wider than the screen, the console stays empty."""
    page = opened(scheme, screen)

    figures = page.locator("figure[data-figure]")
    assert figures.count() >= 3
    for i in range(figures.count()):
        name = figures.nth(i).get_attribute("data-figure")
        svg = figures.nth(i).locator(".chart svg").first
        box = svg.bounding_box()
        assert box is not None, name
        assert box["width"] > 200, name
        assert svg.locator(".mark-text text").count() > 1, name
        assert svg.locator("path, rect, line").count() > 5, name
    assert sideways(page) == 0


def test_a_phone_has_one_column_and_says_what_scrolls(opened: "Opener") -> None:
    """Words stand over what is wider than the screen, and over nothing else."""
    page = opened("light", "phone")
    found = page.evaluate(
        """() => [...document.querySelectorAll(".hint")].map((words) => {
          const box = words.nextElementSibling;
          const scrolls = box.scrollWidth > box.clientWidth + 1;
          return [words.checkVisibility(), box.checkVisibility() && scrolls];
        })"""
    )
    panels = page.locator("#mean-error .cell > g > .background").evaluate_all(
        "found => found.map((each) => Math.round(each.getBoundingClientRect().left))"
    )

    assert all(says == scrolls for says, scrolls in found)
    assert any(says for says, _ in found)
    assert len(set(panels)) == 1 < len(panels)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_the_paper(opened: "Opener", scheme: str) -> None:
    """Contrasts as WCAG 2.2 asks: 4.5 for texts, 3 for the colours of arms."""
    page = opened(scheme)
    tokens = page.evaluate(
        """() => Object.fromEntries(["paper", "ink", "soft", ...Array(9).keys()].map((name) => {
          const token = typeof name === "number" ? `--arm${name}` : `--${name}`;
          return [token, getComputedStyle(document.documentElement).getPropertyValue(token).trim()];
        }))"""
    )
    paper = tokens.pop("--paper")

    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert [int(each) for each in re.findall(r"\d+", background)] == rgb(paper)
    for token, color in tokens.items():
        least = 3.0 if token.startswith("--arm") else 4.5
        assert contrast(color, paper) >= least, token


def rgb(color: str) -> list[int]:
    """Of `#rrggbb`."""
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def luminance(color: str) -> float:
        parts = [each / 255 for each in rgb(color)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_dark_mode_is_dark_and_paper_is_white(opened: "Opener") -> None:
    """A page printed in dark mode has dark ink on white all the same."""
    page = opened("dark")

    def ink_on_paper() -> list[list[int]]:
        found = page.evaluate(
            """() => { const s = getComputedStyle(document.body);
            const t = getComputedStyle(document.querySelector("figure svg .role-axis-label text"));
            return [s.color, s.backgroundColor, t.fill]; }"""
        )
        return [[int(each) for each in re.findall(r"\d+", color)] for color in found]

    ink, paper, label = ink_on_paper()
    assert sum(paper) < sum(label) < 3 * 256 > sum(ink) > 3 * 128 > sum(paper)
    page.emulate_media(media="print")
    ink, paper, label = ink_on_paper()
    assert paper == [255, 255, 255]
    assert sum(ink) < 3 * 128 > sum(label) - 3 * 64
    page.emulate_media(media="screen")


def test_legend_switches_an_arm_off_everywhere_by_keyboard(opened: "Opener") -> None:
    """Space on its button hides the arm in every chart and says so; once more brings it back."""
    page = opened()
    name = "batch 0.5, batch size 8"
    button = page.locator(".legend button", has_text=name)

    def arms() -> set[str]:
        return {row["arm"] for row in rows(page, "test-loss") if "arm" in row}

    every = arms()
    assert name in every
    button.focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert button.get_attribute("aria-pressed") == "false"
    assert arms() == every - {name}
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert arms() == every


def test_everything_can_be_reached_by_keyboard(opened: "Opener") -> None:
    """Tab comes by the legend, the links, every chart and every slider, and shows where it is."""
    page = opened()
    wanted = page.locator(".legend button, nav a, .chart, input[type=range], summary").count()
    reached = set()

    for _ in range(3 * wanted):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const e = document.activeElement;
                const all = [...document.querySelectorAll("*")];
                return e.matches(".legend button, nav a, .chart, input[type=range], summary")
                  && getComputedStyle(e).outlineStyle !== "none" ? all.indexOf(e) : -1; }"""
            )
        )

    assert len(reached - {-1}) == wanted


def test_charts_have_text_alternatives(opened: "Opener") -> None:
    """Each chart is an image with a description, each slider has a label and says its value."""
    page = opened()

    for chart in page.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label") or "") > 20
    for slider in page.locator("input[type=range]").all():
        assert page.locator(f"label[for='{slider.get_attribute('id')}']").count() == 1
        assert slider.get_attribute("aria-valuetext")


def test_hovering_a_point_says_its_value(opened: "Opener") -> None:
    """A tooltip names the arm and its loss, as the table does."""
    page = opened()
    page.locator("#headline .mark-symbol path").first.hover()

    tip = page.locator("#vg-tooltip-element").inner_text()
    table = page.locator("#headline tbody tr").first.inner_text()
    assert "no norm" in tip
    assert table.split("\t")[2] in tip


def test_shift_and_wheel_zoom_and_a_double_click_ends_it(opened: "Opener") -> None:
    """Without shift the wheel scrolls the page as ever."""
    page = opened()
    chart = page.locator("#test-loss .chart svg")
    chart.scroll_into_view_if_needed()
    labels = page.locator("#test-loss .role-axis-label text")
    before = sorted(labels.all_text_contents())
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    page.keyboard.down("Shift")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Shift")
    page.wait_for_timeout(300)
    assert sorted(labels.all_text_contents()) != before
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)
    assert sorted(labels.all_text_contents()) == before


def test_every_slider_changes_its_words_and_its_picture(opened: "Opener") -> None:
    """From one end to the other by keyboard: another value is said, another picture is drawn."""
    page = opened()
    sliders = page.locator("input[type=range]")
    assert sliders.count() >= 1

    for i in range(sliders.count()):
        slider = sliders.nth(i)
        figure = slider.locator("xpath=ancestor::figure")
        seen = []
        for key in ("Home", "End"):
            slider.focus()
            page.keyboard.press(key)
            page.wait_for_timeout(300)
            words = figure.locator(f"output[for='{slider.get_attribute('id')}']").inner_text()
            seen.append((words, figure.locator(".chart").inner_html()))
        assert seen[0][0] != seen[1][0]
        assert seen[0][1] != seen[1][1], slider.get_attribute("id")


@contextmanager
def served(command: list[str]) -> Iterator[str]:
    """The address that a server prints; the server ends with the block, however that ends."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_live_page_keeps_what_the_reader_has_set(
    browser: "Browser", tmp_path: Path, reported: Path
) -> None:
    """New runs come in; the arm that was switched off stays off, the slider where it was."""
    mine = shutil.copytree(reported / "bn_regression", tmp_path / "runs/bn_regression").parent
    command = [sys.executable, "-m", "normexp", "watch", "--dir", str(mine)]
    with served(command) as address:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(address)
        page.wait_for_selector("figure svg")
        page.wait_for_selector("body[data-drawn=true]")
        name = "batch 0.5, batch size 8"
        page.locator(".legend button", has_text=name).click()
        slider = page.locator("input[type=range]").first
        slider.focus()
        page.keyboard.press("Home")

        small = [each for each in SMALL if "batch_size" not in each]
        axes = ["norm=none,batch", "norm.momentum=0.1,0.5,null", "train.batch_size=8,16"]
        store_of(mine, *small, *axes, "seed=range(4)")

        page.locator(".about", has_text="32 runs").wait_for(timeout=600_000)
        page.wait_for_selector("body[data-drawn=true]")
        button = page.locator(".legend button", has_text=name)
        assert button.get_attribute("aria-pressed") == "false"
        assert name not in {row.get("arm") for row in rows(page, "test-loss")}
        assert page.locator("input[type=range]").first.input_value() == "0"
        assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
        page.close()
    assert said == []
