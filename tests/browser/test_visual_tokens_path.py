"""The page Visual tokens in a browser, the whole path with the model that the project ships."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from tests.browser import looks  # noqa: E402 - it needs playwright

APP = [sys.executable, "-m", "app"]
MAP = ".st-key-look_map [data-testid=stVegaLiteChart]"
NUMBERS = ".st-key-numbers_visual"
SIDE, CELLS, PADDING = 316, 12, 2
"""Pixels of the map and patches along its side for a scene of the shipped model, and pixels around it."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=APP) as base:
        yield base


def numbers(page: Any) -> dict[str, str]:
    """The numbers at the head of the page."""
    cells = page.locator(f"{NUMBERS} [data-testid=stMetric]")
    pairs = [cell.inner_text().split("\n") for cell in cells.all()]
    return {pair[0].strip(): pair[-1].strip() for pair in pairs}


def click_patch(page: Any, row: int, column: int) -> None:
    """Click a patch in the map, and wait until the panel beside it speaks about it."""
    drawn = page.locator(f"{MAP} :is(svg, canvas)").first.bounding_box()
    step = SIDE / CELLS
    page.mouse.click(drawn["x"] + PADDING + (column + 0.5) * step, drawn["y"] + PADDING + (row + 0.5) * step)
    patch = row * CELLS + column
    page.locator(".st-key-stepper_patch").get_by_text(f"patch {patch}", exact=True).wait_for()
    page.wait_for_url(re.compile(rf"[?&]patch={patch}\b"))
    looks.settle(page)


def answered(page: Any, press: Callable[[], None]) -> None:
    """Run, and wait until other numbers are on screen."""
    before = page.locator(NUMBERS).inner_text()
    press()
    looks.wait_changed(page, NUMBERS, before)
    page.locator(".st-key-run_bar").get_by_text("144 visual tokens").wait_for()
    looks.settle(page)


def test_the_whole_path(chromium, address, tmp_path):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}, accept_downloads=True) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/visual_tokens")
        looks.settle(page)
        bar = page.locator(".st-key-run_bar")
        assert "Example" in bar.inner_text() and looks.faults(page) == []
        example = numbers(page)

        # A patch of the map is the patch of the panel and of the link
        click_patch(page, 6, 4)

        # Another scene, one of its own questions
        page.get_by_role("button", name="Edit").click()
        number = page.get_by_role("spinbutton", name="Scene number")
        number.fill("12")
        number.press("Tab")
        first = page.locator(".st-key-scene_question_1 button:visible")  # one with a tip is there twice
        first.wait_for()
        looks.settle(page)
        question = first.inner_text().strip()
        first.click()
        looks.settle(page)
        answered(page, page.get_by_role("button", name="Run", exact=True).click)
        asked = numbers(page)
        assert question in bar.inner_text() and asked != example and "right answer" in asked
        click_patch(page, 2, 9)
        link = page.url
        assert "scene=12" in link

        # A second question beside the first, and the same patch in both
        page.get_by_role("radio", name="compare").or_(
            page.get_by_role("button", name="compare")
        ).first.click()
        page.get_by_role("button", name="Compare answers", exact=True).click()
        page.locator(".st-key-card_attention_difference").wait_for()
        looks.settle(page)
        assert page.locator(".st-key-card_attention_of_pair [data-testid=stVegaLiteChart]").count() == 2
        assert looks.faults(page) == []

        # Pruned: which patches stay
        page.get_by_role("radio", name="pruning").or_(
            page.get_by_role("button", name="pruning")
        ).first.click()
        page.get_by_role("button", name="Prune", exact=True).click()
        page.locator(".st-key-card_kept_on_picture").wait_for()
        looks.settle(page)
        assert looks.faults(page) == []

        # Saved and opened again
        page.get_by_role("button", name="File").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save this answer").click()
        saved.value.save_as(tmp_path / "kept.look")
        page.goto(link)
        looks.settle(page)
        assert question in bar.inner_text() and numbers(page) == example
        page.locator(".st-key-stepper_patch").get_by_text("patch 33", exact=True).wait_for()
        page.get_by_role("button", name="File").click()
        harness.upload(page, "Open an answer", tmp_path / "kept.look")
        page.locator(NUMBERS).get_by_text(asked["probability"]).wait_for()
        page.keyboard.press("Escape")

        # A person's picture is asked about, and is in no link
        page.goto(f"{address}/visual_tokens?picture=upload")
        looks.settle(page)
        file = io.BytesIO()
        Image.new("RGB", (120, 80), (200, 30, 30)).save(file, "PNG")
        page.get_by_role("button", name="Edit").click()
        picture = {"name": "holiday.png", "mimeType": "image/png", "buffer": file.getvalue()}
        harness.upload(page, "Picture file", picture)
        page.locator(".st-key-run_form img").wait_for()
        field = page.get_by_label("Question")
        field.fill("which colour leads?")
        answered(page, lambda: field.press("Control+Enter"))
        assert "holiday" not in page.url
        assert seen.errors == [] and seen.outside == []


@pytest.mark.parametrize(
    ("size", "theme"), [(looks.WIDE, "dark"), (looks.SMALL, "light"), (looks.NARROW, "dark")], ids=str
)
@pytest.mark.parametrize("view", ["attention", "compare", "pruning", "horizon", "layers", "fragility"])
def test_every_view_fits(view, size, theme, chromium, address):
    width, height = size
    with harness.page(chromium, viewport={"width": width, "height": height}, color_scheme=theme) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/visual_tokens?visual={view}")
        looks.settle(page)
        assert looks.faults(page) == []
        assert seen.errors == [] and seen.outside == []
