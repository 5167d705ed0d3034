"""The page Compare in a browser, the whole path with the tuned side that the project ships."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from tests.browser import looks  # noqa: E402 - it needs playwright

APP = [sys.executable, "-m", "app"]
STRIP = ".st-key-card_twin_strip .ls-strip"
NUMBERS = ".st-key-numbers_compare"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=APP) as base:
        yield base


def numbers(page: Any) -> dict[str, str]:
    """The numbers at the head of the page."""
    cells = page.locator(f"{NUMBERS} [data-testid=stMetric]")
    pairs = [cell.inner_text().split("\n") for cell in cells.all()]
    return {pair[0].strip(): pair[-1].strip() for pair in pairs}


def run_both(page: Any) -> None:
    """Run both sides, and wait until other numbers are on screen."""
    before = page.locator(NUMBERS).inner_text()
    page.get_by_role("button", name="Run both", exact=True).click()
    looks.wait_changed(page, NUMBERS, before)
    page.locator(".st-key-run_bar").get_by_text(re.compile(r"\d+ \+ \d+ tokens")).wait_for()
    looks.settle(page)


def choose_item(page: Any, item: int) -> None:
    at = page.locator(STRIP).evaluate("(root, i) => root._rect(i)", item)
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.locator(f'{STRIP}[data-selected="{item}"]').wait_for()
    looks.settle(page)


def chosen_word(page: Any) -> str:
    return page.locator(".st-key-panel_compared .st-key-stepper_compared").inner_text()


def test_the_whole_path(chromium, address, tmp_path):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/compare")
        looks.settle(page)
        bar = page.locator(".st-key-run_bar")
        assert "Example shown" in bar.inner_text()
        example = numbers(page)
        assert example["same first choice"].endswith(" of 147")
        assert looks.faults(page) == []

        # The tuned side that comes with the project, at half its strength
        page.get_by_role("button", name="Edit").click()
        page.get_by_role("combobox", name="B is A, but").click()
        page.get_by_role("option", name="with an adapter on").click()
        page.get_by_role("slider", name="Strength").wait_for()
        run_both(page)
        tuned = numbers(page)
        assert tuned["same first choice"].endswith(" of 148") and tuned["KL(A‖B)"] != example["KL(A‖B)"]
        assert "checks" in bar.inner_text() and page.locator("[data-testid=stAlert]").count() == 0

        # One choice, in the strip and beside it
        choose_item(page, 26)
        assert "atlas" in chosen_word(page) and "token=26" in page.url

        # Swapped: the same numbers the other way round
        page.get_by_role("button", name="Swap sides").click()
        a, b = tuned["surprisal A → B"].removesuffix(" nats").split(" → ")
        page.locator(NUMBERS).get_by_text(f"{b} → {a} nats").wait_for()
        assert "atlas" in chosen_word(page)
        page.get_by_role("button", name="Swap sides").click()
        page.locator(NUMBERS).get_by_text(f"{a} → {b} nats").wait_for()
        looks.settle(page)

        # Saved and opened again
        page.get_by_role("button", name="File").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save this comparison").click()
        saved.value.save_as(tmp_path / "kept.compare")
        link = page.url
        page.goto(f"{address}/compare")
        looks.settle(page)
        assert numbers(page) == example
        page.get_by_role("button", name="File").click()
        harness.upload(page, "Open a comparison", tmp_path / "kept.compare")
        page.locator(NUMBERS).get_by_text(tuned["KL(A‖B)"]).wait_for()
        page.keyboard.press("Escape")
        looks.settle(page)
        assert numbers(page) == tuned

        # A link holds the change, its options and the token
        page.goto(link)
        looks.settle(page)
        assert "with an adapter on" in bar.inner_text() and "atlas" in chosen_word(page)
        run_both(page)
        assert numbers(page) == tuned
        assert seen.errors == [] and seen.outside == []


@pytest.mark.parametrize(
    ("size", "theme"), [(looks.WIDE, "light"), (looks.SMALL, "dark"), (looks.NARROW, "light")], ids=str
)
@pytest.mark.parametrize("view", ["tokens", "layers", "rules", "summary", "engine"])
def test_every_view_fits(view, size, theme, chromium, address):
    width, height = size
    with harness.page(chromium, viewport={"width": width, "height": height}, color_scheme=theme) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/compare?compare={view}")
        looks.settle(page)
        assert looks.faults(page) == []
        assert seen.errors == [] and seen.outside == []


def test_keys_and_search_move_both_strips(chromium, address):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        page.goto(f"{address}/compare?token=26")
        looks.settle(page)
        page.locator(f'{STRIP}[data-selected="26"]').wait_for()
        assert "atlas" in chosen_word(page)
        page.locator(f"{STRIP} .ls-view").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => location.search.includes('token=27')")
        page.keyboard.press("/")
        page.keyboard.type("notebook")
        page.wait_for_function("() => location.search.includes('token=52')")
        looks.settle(page)
        assert "notebook" in chosen_word(page)
