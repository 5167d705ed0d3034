"""Entropy collapse over layers in a browser: the curve, a click on it, many texts."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
pytest.importorskip("playwright", reason="playwright is not installed")

from tests.browser.test_whole_path import Open, address, from_menu, settle, visit  # noqa: E402, F401


def spectrum_layer(page: Any) -> int:
    title = page.get_by_text(re.compile(r"^Spectrum of layer \d+$"))
    title.wait_for()
    return int(title.inner_text().rsplit(" ", 1)[1])


def test_a_click_chooses_the_layer_and_texts_are_compared(visit: Open) -> None:  # noqa: F811
    page, _ = visit("entropy_collapse")
    page.locator(".st-key-run_checks").wait_for()
    settle(page)
    assert "layer" in page.locator("[data-testid=stMetric]", has_text="largest drop").inner_text()
    drawn = page.locator(".st-key-layers_chart [data-testid=stVegaLiteChart]").locator("canvas, svg").first
    drawn.wait_for()
    before = spectrum_layer(page)

    # A click far to the right chooses a late layer: its spectrum is drawn and its number shown.
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function(
        "n => [...document.querySelectorAll('strong')].some("
        "e => /^Spectrum of layer \\d+$/.test(e.innerText) && !e.innerText.endsWith(' ' + n))",
        arg=before,
    )
    settle(page)
    after = spectrum_layer(page)
    assert 12 <= after <= 28 and after != before
    assert f"layer={after}" in page.url
    name, data = from_menu(page, "spectrum", "CSV")
    assert name == "spectrum.csv" and data.startswith(b"tokens,rank,share")

    # Every text loses its variety at the same layer, and the evidence is drawn.
    page.get_by_text("many texts", exact=True).click()
    page.locator(".st-key-texts_button").get_by_role("button").click()
    page.get_by_text(re.compile(r"^(Collapse layer: \d+|No collapse layer)$")).first.wait_for()
    page.get_by_role("button", name="Cancel").wait_for(state="detached")
    settle(page)
    page.locator(".st-key-drops_download").wait_for()
    charts = page.locator("[data-testid=stVegaLiteChart]")
    assert charts.count() == 2 and charts.locator("canvas, svg").count() >= 2
    name, data = from_menu(page, "drops", "CSV")
    assert name == "drops.csv" and data.count(b"\n") == 1 + 6 * 30
    page.get_by_role("radio", name="this text", exact=True).click()
    page.get_by_text(f"Spectrum of layer {after}").wait_for()
