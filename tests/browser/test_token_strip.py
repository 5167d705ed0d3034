"""The token strip in a real browser: drawn, clicked, typed at, and attacked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.drawing.labels import runs, spelled
from analysis.drawing.numbers import exact
from tests.figures.test_token_text import TEXTS

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")

DEMO = Path(__file__).with_name("strip_demo.py")
READY = ".ls-strip[data-ready]"
Open = Callable[..., tuple[Any, Any]]


def rect(page: Any, token: int) -> dict[str, float]:
    return page.locator(".ls-strip").evaluate("(root, i) => root._rect(i)", token)


def click(page: Any, token: int) -> None:
    at = rect(page, token)
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)


def expect_picked(page: Any, token: int | None) -> None:
    page.get_by_text(f"picked: {token}", exact=True).wait_for()


def count(page: Any) -> int:
    return int(page.locator(".ls-strip").get_attribute("data-ready"))


def selected(page: Any) -> int:
    return int(page.locator(".ls-strip").get_attribute("data-selected"))


def token_of(page: Any, text: str, nth: int = 0) -> int:
    """The nth token with this text."""
    return page.locator(".ls-strip").evaluate(
        """(root, [text, nth]) => {
            const { strip } = root._view, cells = strip.text.flatMap((own, c) => (own === text ? [c] : []));
            return strip.first[cells[nth]];
        }""",
        [text, nth],
    )


def pixel(page: Any, token: int, dx: float, dy: float) -> list[int]:
    """Colour of the canvas at a place inside a token."""
    return page.locator(".ls-strip").evaluate(
        """(root, [i, dx, dy]) => {
            const canvas = root.querySelector("canvas"), at = canvas.getBoundingClientRect(), r = root._rect(i);
            const x = (r.x - at.left + dx) * devicePixelRatio, y = (r.y - at.top + dy) * devicePixelRatio;
            return [...canvas.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data];
        }""",
        [token, dx, dy],
    )


def test_click_reaches_python_and_everything_is_local(visit: Open) -> None:
    page, seen = visit("story")
    assert count(page) == 104
    expect_picked(page, None)
    click(page, 9)
    expect_picked(page, 9)
    assert selected(page) == 9
    assert seen.outside == []
    assert seen.errors == []


def test_numbers_are_written_as_python_writes_them(visit: Open) -> None:
    """The canvas and the HTML of a file say the same value under the mouse."""
    powers = np.geomspace(1e-9, 1e9, 1000)
    halves = [100000.5, 100001.5, 0.5, 2.5, 999999.5, 1e-6, 1e-7, 0.0, -0.0, np.inf, -np.inf]
    values = np.float32([*powers, *-powers, *halves])
    page, _ = visit("story")
    written = page.locator(".ls-strip").evaluate(
        """(root, values) => {
            const strip = { ...root._view.strip, unit: "", values: Float32Array.from(values, Number) };
            const view = Object.assign(Object.create(root._view), { strip });
            return values.map((_, i) => view.valueText(i));
        }""",
        [str(value).replace("inf", "Infinity") for value in values.astype(float)],
    )
    assert written == [exact(value) for value in values.tolist()]


def test_texts_are_drawn_as_python_writes_them(visit: Open) -> None:
    page, _ = visit("story")
    drawn = page.locator(".ls-strip").evaluate(
        "(root, texts) => texts.map(text => root._view.glyphs(text).runs.map(run => [run.shown, run.strength]))",
        [spelled(text) for text in TEXTS],
    )
    strengths = {"letters": 1, "sign": 0.42, "spelled": 0.65}

    def joined(pieces: list[Any]) -> list[Any]:
        """Spaces in a row are one run of the canvas."""
        out: list[Any] = []
        for shown, strength in pieces:
            if out and shown[0] == "·" == out[-1][0][-1] and strength == out[-1][1] == 0.42:
                out[-1] = [out[-1][0] + shown, strength]
            else:
                out.append([shown, strength])
        return out

    for text, pieces in zip(TEXTS, drawn, strict=True):
        assert pieces == joined([[shown, strengths[kind]] for shown, kind in runs(text)]), repr(text)


def test_keys_move_the_selection(visit: Open) -> None:
    page, _ = visit("story", viewport={"width": 600, "height": 900})
    click(page, 5)
    page.locator(".ls-view").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert selected(page) == 8
    expect_picked(page, 8)
    page.keyboard.press("ArrowLeft")
    expect_picked(page, 7)
    before = rect(page, 7)
    page.keyboard.press("ArrowDown")
    below = rect(page, selected(page))
    assert below["y"] == before["y"] + 28
    assert below["x"] <= before["x"] + before["width"] / 2 <= below["x"] + below["width"]
    page.keyboard.press("ArrowUp")
    assert selected(page) == 7
    page.keyboard.press("Control+End")
    assert selected(page) == count(page) - 1
    page.keyboard.press("ArrowRight")
    assert selected(page) == count(page) - 1
    page.keyboard.press("Control+Home")
    expect_picked(page, 0)
    page.keyboard.press("End")
    assert rect(page, selected(page))["y"] == rect(page, 0)["y"]
    assert rect(page, selected(page) + 1)["y"] > rect(page, 0)["y"]
    spoken = page.locator(".ls-live").text_content()
    assert spoken.startswith(f"Token {selected(page)}, ") and spoken.endswith(" nats")


def test_a_string_is_found_by_keys_alone(visit: Open) -> None:
    page, seen = visit("story")
    page.locator(".ls-view").focus()
    page.keyboard.press("/")
    page.keyboard.type("THE CAT")  # "r" and "c" are keys of the page; here they are letters
    found = page.locator(".ls-found")
    page.wait_for_function("root => root.textContent === '1 of 2'", arg=found.element_handle())
    first, second = (token_of(page, " cat", nth) - 1 for nth in (0, 1))  # "the cat", "The cat"
    expect_picked(page, first)
    page.keyboard.press("Enter")
    expect_picked(page, second)
    assert found.text_content() == "2 of 2" and selected(page) == second
    page.keyboard.press("Enter")
    expect_picked(page, first)
    page.keyboard.press("Shift+Enter")
    expect_picked(page, second)
    page.locator(".ls-find input").fill("no such words")
    assert found.text_content() == "not found" and selected(page) == second
    page.locator(".ls-find input").fill("12):")  # signs of a regular expression are letters, too
    assert found.text_content() == "1 of 1"
    expect_picked(page, token_of(page, "12"))
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    expect_picked(page, token_of(page, "12") + 1)
    assert found.text_content() == "" and page.locator(".ls-legend").is_visible()
    assert seen.errors == []


def test_the_text_is_cut_between_lines(visit: Open) -> None:
    page, _ = visit("buckets", viewport={"width": 600, "height": 900})  # at most 200 pixels
    height, lines = page.locator(".ls-view").evaluate("view => [view.clientHeight, view.scrollHeight]")
    assert height % 28 == 0 and height <= 200 and lines > height
    page.locator(".ls-view").evaluate("view => { view.scrollTop = 41; }")
    page.wait_for_function("view => view.scrollTop === 28", arg=page.locator(".ls-view").element_handle())
    page.locator(".ls-view").focus()
    page.keyboard.press("Control+End")
    view, last = page.locator(".ls-view").bounding_box(), rect(page, count(page) - 1)
    assert last["y"] + last["height"] <= view["y"] + view["height"]


def test_without_a_height_the_text_takes_three_fifths_of_the_window(visit: Open) -> None:
    page, _ = visit("story", viewport={"width": 420, "height": 400})
    assert page.locator(".ls-view").evaluate("view => view.clientHeight") == 28 * ((0.6 * 400 - 4) // 28)


def test_of_a_long_text_only_what_is_seen_is_drawn_and_it_scrolls(visit: Open) -> None:
    page, seen = visit("long", ready=False)
    page.get_by_role("button", name="show").click()
    page.wait_for_selector('.ls-strip[data-ready="32768"]')
    drawn = page.locator(".ls-strip").evaluate(
        """root => {
            const own = CanvasRenderingContext2D.prototype.fillText;
            let count = 0;
            CanvasRenderingContext2D.prototype.fillText = function (...all) { count += 1; return own.apply(this, all); };
            const drawn = Array.from({ length: 40 }, (_, k) => {
                root.querySelector(".ls-view").scrollTop = 997 * k;
                count = 0;
                root._redraw();
                return count;
            });
            CanvasRenderingContext2D.prototype.fillText = own;
            return drawn;
        }"""
    )
    assert min(drawn) > 10 and max(drawn) < 2000
    page.locator(".ls-view").focus()
    page.keyboard.press("Control+End")
    expect_picked(page, 32_767)
    view = page.locator(".ls-view").bounding_box()
    last = rect(page, 32_767)
    assert view["y"] < last["y"] < view["y"] + view["height"], "the place has to survive the rerun"
    assert seen.errors == []


def test_token_text_never_becomes_markup(visit: Open) -> None:
    page, seen = visit("hostile")
    elements = "root => root.querySelectorAll('img, script, iframe, b, a, link, style, object').length"
    for token in range(6):
        at = rect(page, token)
        page.mouse.move(at["x"] + 3, at["y"] + 5)
        tip = page.locator(".ls-tip")
        tip.wait_for(state="visible")
        assert tip.text_content().startswith(f"Token {token}")
        click(page, token)
        expect_picked(page, token)
        assert page.locator(".ls-strip").evaluate(elements) == 0
    assert page.title() == "strip demo"
    assert seen.outside == []
    assert seen.errors == []


def test_pieces_of_one_character_are_clickable_parts(visit: Open) -> None:
    page, _ = visit("story")
    first = next(
        i
        for i in range(70, count(page))
        if rect(page, i + 1)["width"] < 10
        and rect(page, i)["width"] < 10
        and rect(page, i)["y"] == rect(page, count(page) - 1)["y"]
    )
    for part in range(3):
        click(page, first + part)
        expect_picked(page, first + part)
        page.mouse.move(0, 0)
        at = rect(page, first + part)
        page.mouse.move(at["x"] + at["width"] / 2, at["y"] + 5)
        assert f"part {part + 1} of 3 of one character" in page.locator(".ls-tip").text_content()
    assert rect(page, first + 1)["x"] == pytest.approx(rect(page, first)["x"] + rect(page, first)["width"])


def test_newlines_break_lines(visit: Open) -> None:
    page, _ = visit("story")
    heights = [rect(page, i)["y"] for i in range(count(page))]
    breaks = [round((b - a) / 28) for a, b in pairwise(heights)]
    assert 2 in breaks, "the token of two newlines has to leave an empty line"
    assert min(breaks) == 0


def test_dark_theme_follows_the_viewer(visit: Open) -> None:
    light, _ = visit("story", color_scheme="light")
    dark, seen = visit("story", color_scheme="dark")
    assert light.locator(".ls-strip").get_attribute("data-theme") == "light"
    assert dark.locator(".ls-strip").get_attribute("data-theme") == "dark"
    assert pixel(light, 20, 4, 3)[:3] != pixel(dark, 20, 4, 3)[:3]
    assert seen.errors == []


def test_selection_survives_recolouring_and_python_can_select(visit: Open) -> None:
    page, _ = visit("story")
    click(page, 20)
    expect_picked(page, 20)
    colour = pixel(page, 21, 3, 3)
    page.get_by_text("recolour").click()
    page.wait_for_function(
        """was => {
            const root = document.querySelector('[data-testid="stBidiComponentIsolated"]').shadowRoot.querySelector(".ls-strip");
            return root.querySelector(".ls-legend").textContent.includes("−7");
        }""",
        arg=colour,
    )
    assert pixel(page, 21, 3, 3) != colour
    assert selected(page) == 20
    wanted = page.get_by_label("wanted")
    wanted.fill("30")
    wanted.press("Enter")
    expect_picked(page, 30)
    assert selected(page) == 30
    click(page, 20)
    expect_picked(page, 20)
    assert selected(page) == 20


def test_buckets_are_named(visit: Open) -> None:
    page, _ = visit("buckets")
    legend = page.locator(".ls-legend").text_content()
    assert all(name in legend for name in ("first choice", "top 10", "top 100", "beyond"))
    expect_picked(page, 3)
    at = rect(page, 3)
    page.mouse.move(at["x"] + 4, at["y"] + 5)
    assert "beyond" not in page.locator(".ls-tip").text_content()
    assert "rank" in page.locator(".ls-tip").text_content()


def test_very_long_cells_stay_inside(visit: Open) -> None:
    page, _ = visit("narrow", viewport={"width": 600, "height": 900})
    view = page.locator(".ls-view").bounding_box()
    for token in range(count(page)):
        at = rect(page, token)
        assert view["x"] <= at["x"] and at["x"] + at["width"] <= view["x"] + view["width"]
    click(page, 1)
    expect_picked(page, 1)


def test_layout_follows_the_width(visit: Open) -> None:
    page, _ = visit("story", viewport={"width": 1200, "height": 900})
    lines = (rect(page, count(page) - 1)["y"] - rect(page, 0)["y"]) / 28
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function(
        """() => {
            const root = document.querySelector('[data-testid="stBidiComponentIsolated"]').shadowRoot.querySelector(".ls-strip");
            return root.clientWidth < 500 && root.querySelector("canvas").clientWidth <= root.clientWidth;
        }"""
    )
    assert (rect(page, count(page) - 1)["y"] - rect(page, 0)["y"]) / 28 >= lines + 3
    view = page.locator(".ls-view").bounding_box()
    assert all(rect(page, i)["x"] + rect(page, i)["width"] <= view["x"] + view["width"] for i in range(60))


def test_strip_in_a_hidden_tab_is_drawn_when_shown(visit: Open) -> None:
    page, seen = visit("tab", ready=False)
    page.get_by_role("tab", name="second").click()
    page.wait_for_selector(".ls-strip[data-ready]")
    click(page, 4)
    expect_picked(page, 4)
    assert seen.errors == []
