"""The map of cells in a real browser: drawn, clicked, typed at, zoomed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")

DEMO = Path(__file__).with_name("map_demo.py")
READY = ".ls-map[data-ready]"
Open = Callable[..., tuple[Any, Any]]


def rect(page: Any, cell: int) -> dict[str, float]:
    return page.locator(".ls-map").evaluate("(root, i) => root._rect(i)", cell)


def point(page: Any, cell: int, act: str = "click") -> None:
    at = rect(page, cell)
    getattr(page.mouse, act)(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)


def expect_picked(page: Any, cell: tuple[int, int] | None) -> None:
    page.get_by_text(f"picked: {cell}", exact=True).wait_for()


def in_sight(page: Any) -> float:
    """Columns that can be seen."""
    return float(page.locator(".ls-map").get_attribute("data-columns"))


def wait_zoomed(page: Any, below: float) -> None:
    page.wait_for_function(
        """most => {
            const root = document.querySelector('[data-testid="stBidiComponentIsolated"]').shadowRoot.querySelector(".ls-map");
            return Number(root.dataset.columns) < most;
        }""",
        arg=below,
    )


def pixel(page: Any, cell: int) -> list[int]:
    """Colour in the middle of a cell."""
    return page.locator(".ls-map").evaluate(
        """(root, i) => {
            const canvas = root.querySelector("canvas"), at = canvas.getBoundingClientRect(), r = root._rect(i);
            const x = (r.x - at.left + r.width / 2) * devicePixelRatio, y = (r.y - at.top + r.height / 2) * devicePixelRatio;
            return [...canvas.getContext("2d").getImageData(Math.floor(x), Math.floor(y), 1, 1).data];
        }""",
        cell,
    )


def test_click_and_keys_choose_a_cell(visit: Open) -> None:
    page, seen = visit("heads")
    expect_picked(page, None)
    point(page, 3 * 30 + 12)
    expect_picked(page, (3, 12))
    view = page.locator(".ls-view")
    for key, cell in [
        ("ArrowRight", (3, 13)), ("ArrowDown", (4, 13)), ("ArrowLeft", (4, 12)), ("ArrowUp", (3, 12)),
        ("Home", (3, 0)), ("End", (3, 29)), ("Control+Home", (0, 0)), ("Control+End", (8, 29)), ("ArrowDown", (8, 29)),
    ]:  # fmt: skip
        view.press(key)
        expect_picked(page, cell)
    assert "head 8, layer 29" in page.locator(".ls-live").text_content()
    assert "30" in view.get_attribute("aria-label") and view.get_attribute("role") == "application"
    assert seen.outside == [] and seen.errors == []


def test_python_can_choose_and_the_person_after_it(visit: Open) -> None:
    page, _ = visit("heads")
    wanted = page.get_by_label("wanted")
    wanted.fill("7")
    wanted.press("Enter")
    expect_picked(page, (2, 7))
    point(page, 0)
    expect_picked(page, (0, 0))


def test_hover_says_names_and_value(visit: Open) -> None:
    page, _ = visit("heads")
    point(page, 2 * 30 + 3, "move")
    said = page.locator(".ls-tip").text_content()
    assert "head 2" in said and "layer 3" in said and "0." in said
    point(page, 2 * 30 + 4, "move")
    assert "no attention" in page.locator(".ls-tip").text_content()
    legend = page.locator(".ls-legend").text_content()
    assert all(part in legend for part in ("attention on token 0", "0", "0.25", "1", "no attention"))


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_small_map_fits_and_follows_the_theme(visit: Open, colours: str) -> None:
    page, seen = visit("heads", color_scheme=colours, viewport={"width": 420, "height": 900})
    assert page.locator(".ls-map").get_attribute("data-theme") == colours
    last = rect(page, 9 * 30 - 1)
    assert last["x"] + last["width"] <= page.locator(".ls-map").bounding_box()["x"] + 420
    assert seen.errors == []


def test_words_are_letters_and_framed_cells_are_named(visit: Open) -> None:
    page, seen = visit("words")
    point(page, 0, "move")
    assert "onerror" in page.locator(".ls-tip").text_content()
    assert page.title() != "owned"
    point(page, 2 * 12 + 4, "move")
    assert "same as the output" in page.locator(".ls-tip").text_content()
    point(page, 2 * 12 + 4)
    expect_picked(page, (2, 4))
    assert seen.errors == []


def test_a_large_map_zooms_moves_and_shows_every_line(visit: Open) -> None:
    side = 2048
    page, seen = visit("large")
    first, inside = pixel(page, (side - 1) * side), pixel(page, 900 * side + 400)
    assert first[:3] != inside[:3], "a column of one cell is not lost among two thousand"
    point(page, 1000 * side + 300, "move")
    page.mouse.wheel(0, -600)
    assert in_sight(page) == side, "a map without the focus lets the page scroll"
    point(page, 1000 * side + 300)
    page.mouse.wheel(0, -600)
    wait_zoomed(page, side * 0.6)
    zoomed = in_sight(page)
    at = rect(page, 1000 * side + 300)
    page.mouse.down()
    page.mouse.move(at["x"] + 60, at["y"] + 40, steps=4)
    page.mouse.up()
    moved = rect(page, 1000 * side + 300)
    assert moved["x"] > at["x"] + 20 and in_sight(page) == zoomed
    for _ in range(9):
        page.locator(".ls-view").press("+")
    wait_zoomed(page, 40)
    page.locator(".ls-view").press("ArrowRight")
    page.locator(".ls-view").press("0")
    page.wait_for_function(
        """side => {
            const root = document.querySelector('[data-testid="stBidiComponentIsolated"]').shadowRoot.querySelector(".ls-map");
            return Number(root.dataset.columns) === side;
        }""",
        arg=side,
    )
    assert seen.errors == []
