"""The page Write in a browser, the whole path: a chat is written, stopped, left at a token, and read on another page."""

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
QUESTION = "Tell a long story about a lighthouse keeper and a storm."
"""The model writes far more than is asked for, however late Stop is pressed."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=APP) as base:
        yield base


def n_tokens(page: Any) -> int:
    """Tokens that the strip holds."""
    said = page.locator(".ls-view").get_attribute("aria-label")
    return int(re.search(r"(\d+) tokens", said)[1])


def wait_written(page: Any) -> None:
    page.locator(".st-key-run_progress").wait_for(state="detached")
    looks.settle(page)


def choose_token(page: Any, token: int) -> None:
    at = page.locator(".ls-strip").evaluate("(root, i) => root._rect(i)", token)
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.get_by_text(re.compile(rf"^token {token} of ")).wait_for()
    looks.settle(page)


def test_the_whole_path(chromium, address):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/write?new=400")
        looks.settle(page)

        # A chat, watched and stopped
        page.get_by_role("button", name="Edit").click()
        message = page.get_by_label("Message")
        message.fill(QUESTION)
        page.get_by_role("button", name="Write", exact=True).click()
        page.get_by_text("being written").wait_for()
        page.wait_for_function("() => /token [1-9]\\d* of 400/i.test(document.body.innerText)")
        page.get_by_role("button", name="Stop").click()
        wait_written(page)
        first = n_tokens(page)
        assert 2 <= first < 400
        card = page.locator(".st-key-card_written")
        assert QUESTION in card.inner_text() and f"{first} tokens" in card.inner_text()

        # Another way from a token
        page.get_by_role("button", name="Options").click()
        tokens = page.get_by_label("Tokens", exact=True)
        tokens.fill("4")
        tokens.press("Enter")
        page.keyboard.press("Escape")
        looks.settle(page)
        choose_token(page, 1)
        page.locator("[class*=st-key-go_on_] button:visible").first.click()
        page.get_by_text("2 branches from one prompt").wait_for()
        wait_written(page)
        assert n_tokens(page) == 6
        rows = page.locator(".st-key-card_branches [data-testid=stVegaLiteChart] text")
        assert {"branch 1", "branch 2"} <= set(rows.all_text_contents())
        page.get_by_text("The same for 1 token, then they part.").wait_for()
        rows.filter(has_text="branch 1").click()
        page.get_by_text("branch 1 of 2").wait_for()
        looks.settle(page)
        assert n_tokens(page) == first

        # The other branch on Attention sinks
        page.get_by_role("button", name="Next branch").click()
        page.get_by_text("branch 2 of 2").wait_for()
        looks.settle(page)
        page.get_by_role("button", name="Read this on").click()
        page.get_by_role("button", name="Attention sinks").click()
        page.get_by_role("heading", name="Attention sinks", level=1).wait_for()
        looks.settle(page)
        assert "opened file" in page.locator(".st-key-run_bar").inner_text()

        # Back again, everything is there
        page.get_by_role("link", name="Write", exact=True).click()
        page.get_by_role("heading", name="Write", level=1).wait_for()
        looks.settle(page)
        assert "2 branches" in page.locator(".st-key-run_bar").inner_text()
        assert seen.errors == [] and seen.outside == []


def test_what_was_written_is_saved_and_opened(chromium, address, tmp_path):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        page.goto(f"{address}/write")
        looks.settle(page)
        before = n_tokens(page)
        page.get_by_role("button", name="File").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save all branches").click()
        saved.value.save_as(tmp_path / "kept.writing")
        harness.upload(page, "Open what was written", tmp_path / "kept.writing")
        page.locator(".st-key-run_bar").get_by_text("4 branches").wait_for()
        page.keyboard.press("Escape")
        looks.settle(page)
        assert n_tokens(page) > 0 and before > 0
        page.get_by_text("branch 4 of 4").wait_for()
