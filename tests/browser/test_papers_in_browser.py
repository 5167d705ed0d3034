"""The page Papers in a browser: every formula is drawn, for everybody; and a card shown alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources

import pytest

from analysis.papers.citations import papers

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from tests.browser import looks  # noqa: E402 - it needs playwright
from tests.browser.test_every_page import KNOWN  # noqa: E402


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=[sys.executable, "-m", "app"]) as base:
        yield base


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 420)])
def test_every_formula_is_drawn_and_axe_finds_nothing(theme, width, chromium, address):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    script = (resources.files(axe) / "axe.min.js").read_text(encoding="utf-8")
    with harness.page(chromium, viewport={"width": width, "height": 800}, color_scheme=theme) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/papers?all_papers=true")
        page.wait_for_function(
            f"() => document.querySelectorAll('[class*=st-key-paper_]').length >= {len(papers())}"
        )
        page.wait_for_function(f"() => document.querySelectorAll('.katex-display').length >= {len(papers())}")
        assert page.locator(".katex-error").all_inner_texts() == []
        wide = "e => e.scrollWidth - e.clientWidth"
        assert page.locator("[data-testid=stMain]").evaluate(wide) <= 1
        page.evaluate(script)
        found = page.evaluate("""async () => {
          const {violations} = await axe.run({resultTypes: ["violations"]});
          return violations.filter(v => ["serious", "critical"].includes(v.impact)).flatMap(v => v.nodes.map(n => {
            const around = [], at = document.querySelector([n.target[0]].flat()[0]);
            for (let e = at; e; e = e.parentElement) if (e.dataset?.testid) around.push(e.dataset.testid);
            return [v.id, around, n.html.slice(0, 160)];
          }));
        }""")
        # on a phone a wide formula scrolls sideways, and no key reaches it; its symbols stand below in words
        known = KNOWN | {("scrollable-region-focusable", "stMarkdownContainer")}
        ours = [f for f in found if not any(f[0] == rule and place in f[1] for rule, place in known)]
        assert ours == []
        assert seen.errors == [] and seen.outside == []


def test_a_card_is_shown_alone(chromium, address):
    with harness.page(chromium, viewport={"width": 900, "height": 700}) as page:
        page.goto(f"{address}/attention_sinks?card=head_map")
        page.locator(".st-key-card_head_map").wait_for()
        looks.stand_still(page)
        assert page.locator(".st-key-card_head_map").is_visible()
        for other in (".st-key-run_bar", ".st-key-heading", "[data-testid=stSidebar]", ".st-key-panel_head"):
            assert not page.locator(other).first.is_visible(), other
