"""The pruning page in a browser: compare, click a token of the continuation, read both predictions."""

from __future__ import annotations

import re
import sys

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")


def test_compare_and_click_a_token(chromium):
    query = "pruning_effects?kept=50&methods=key+norm&methods=H2O"
    with harness.server(command=[sys.executable, "-m", "app"]) as base, harness.page(chromium) as page:
        seen = harness.instrument(page)
        page.goto(f"{base}/{query}")
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_text("Damage against the share kept").first.wait_for()
        page.get_by_text("best at 50%").wait_for()
        harness.wait_done(page)
        page.get_by_text("damage", exact=True).click()
        page.get_by_text("The damage, token by token").wait_for()
        harness.wait_done(page)
        strip = page.locator(".ls-strip")
        strip.wait_for()
        strip.scroll_into_view_if_needed()
        at = strip.evaluate("(root, i) => root._rect(i)", 5)
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        page.get_by_text(re.compile(r"^Token 90$")).first.wait_for()  # 85 tokens of context
        harness.wait_done(page)
        for name in ("full", "pruned"):
            heading = page.locator("th", has_text=re.compile(f"^{name}$"))
            table = page.locator("[data-testid=stDataFrame] table", has=heading)
            table.wait_for(state="attached")
            assert table.locator("tbody tr").count() == 10
        assert seen.errors == [] and seen.outside == []
