"""Key screens against stored ones: blocks of 40 pixels have about the colours that they had when they were looked at.

Letters are drawn a little differently from machine to machine, so that a block of text may differ by so much; a
card that is gone, moved or of another colour changes many blocks by more. ``make screens`` stores them anew.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from PIL import Image  # noqa: E402 - beside playwright

from tests.browser import looks, screens  # noqa: E402

BLOCK = 10
"""Pixels of a stored screen, four times as many on screen."""
LIGHTER = 14
"""Steps of 255 that the mean colour of a block may differ."""
OTHERS = 0.04
"""Share of blocks that may differ by more."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=[sys.executable, "-m", "app"]) as base:
        yield base


def blocks(picture: Image.Image) -> np.ndarray:
    """Mean colour of every block, (rows, columns, 3)."""
    pixels = np.asarray(picture.convert("RGB"), float)
    rows, columns = (n // BLOCK for n in pixels.shape[:2])
    return pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3).mean((1, 3))


def share_of_others(shot: bytes, stored: Image.Image) -> float:
    """Share of blocks that differ from the stored ones."""
    now = blocks(screens.small(Image.open(io.BytesIO(shot))))
    return float((np.abs(now - blocks(stored)).max(-1) > LIGHTER).mean())


def visited(page: Any, address: str, slug: str) -> bytes:
    page.goto(f"{address}/{looks.address_of(slug)}")
    looks.settle(page)
    looks.finished(page)
    return bytes(page.screenshot())


@pytest.mark.parametrize("theme", looks.THEMES)
@pytest.mark.parametrize("slug", screens.KEY_PAGES)
def test_a_key_screen_is_as_it_was(slug, theme, chromium, address):
    width, height = looks.WIDE
    with harness.page(chromium, viewport={"width": width, "height": height}, color_scheme=theme) as page:
        found = share_of_others(visited(page, address, slug), Image.open(screens.stored(slug, theme)))
    assert found <= OTHERS, f"{found:.1%} of the blocks differ"


def test_faults_are_seen(chromium, address):
    slug, theme, (width, height) = screens.KEY_PAGES[0], "light", looks.WIDE
    kept = Image.open(screens.stored(slug, theme))
    with harness.page(chromium, viewport={"width": width, "height": height}, color_scheme=theme) as page:
        visited(page, address, slug)
        for part, style in (
            ("[class*=st-key-panel_], [class*=st-key-card_]", "visibility: hidden"),
            ("[data-testid=stSidebar]", "display: none"),
            ("[data-testid=stMain]", "padding-top: 60px"),
        ):
            page.evaluate(
                "([part, style]) => { document.querySelector(part).style.cssText = style; }", [part, style]
            )
            looks.stand_still(page)
            assert share_of_others(page.screenshot(), kept) > 2 * OTHERS, part
            page.evaluate("part => { document.querySelector(part).style.cssText = ''; }", part)
