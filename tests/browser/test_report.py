"""A report from a file address: one choice in every picture, nothing asked for, for everybody and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis as an

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from analysis.visual_tokens.findings import sink_patches  # noqa: E402 - after the check for a browser
from tests.figures.synthetic_large import full_size  # noqa: E402
from tests.visual_answers import made_answer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run() -> an.Trace:
    return an.load_trace(ROOT / "app" / "example.trace")


@pytest.fixture(scope="module")
def address(run, tmp_path_factory) -> str:
    return an.report(run).save(tmp_path_factory.mktemp("report") / "run.html").as_uri()


@contextmanager
def opened(chromium: Any, address: str, **context: Any) -> Iterator[Any]:
    """The page with all its pictures; nothing was asked for but the file, and nothing went wrong."""
    with harness.page(chromium, **context) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        seen = harness.instrument(page)
        page.goto(address)
        page.wait_for_selector("html[data-ready=all]")
        yield page
        assert [url for url in asked if not url.startswith("data:")] == [address]
        assert seen.errors == []


def chosen(page: Any, token: int) -> None:
    page.wait_for_selector(f"html[data-chosen='{token}']")
    page.wait_for_selector(f".ls-strip[data-selected='{token}']")


def test_a_choice_in_one_picture_is_made_in_all(chromium, address, run):
    with opened(chromium, address, color_scheme="light") as page:
        chosen(page, int(np.nanargmax(run.tokens.surprisal)))
        along, scatter = page.locator(".chart").nth(0), page.locator(".chart").nth(1)
        ring = scatter.locator(".in-light .mark-symbol.role-mark path").last
        before = ring.get_attribute("transform")
        box = page.locator(".ls-strip").evaluate("root => root._rect(5)")
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        chosen(page, 5)
        assert page.locator(".name").inner_text().startswith("Token 5 ")
        row = page.locator(".numbers tr", has_text="surprisal").inner_text()
        assert np.isclose(float(row.split()[1]), run.tokens.surprisal[5], rtol=1e-5)
        page.wait_for_function("([path, before]) => path.getAttribute('transform') !== before", arg=[ring.element_handle(), before])  # fmt: skip
        received = 100 * run.attention.received[2, 4, 5]
        page.locator(".heads .ls-view").scroll_into_view_if_needed()
        cell = page.locator(".ls-map").evaluate("(root, k) => root._rect(k)", 4 * run.spec.n_layers + 2)
        page.mouse.move(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
        said = page.locator(".heads .ls-tip .value").text_content()
        assert np.isclose(float(said.split()[0]), received, rtol=2**-10)
        # The line of the first chart goes to the token that is clicked in the second one.
        mark = scatter.locator(".in-light .mark-symbol.role-mark path").nth(30)
        mark.scroll_into_view_if_needed()
        mark.click(force=True)
        page.wait_for_function("() => document.documentElement.dataset.chosen !== '5'")
        token = int(page.locator("html").get_attribute("data-chosen"))
        chosen(page, token)
        assert along.locator(".in-light .mark-rule.role-mark line").count() >= 1
        assert page.locator(".name").inner_text().startswith(f"Token {token} ")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_for_everybody_in_both_themes(chromium, address, theme):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    script = (resources.files(axe) / "axe.min.js").read_text(encoding="utf-8")
    for width in (1280, 420):
        with opened(chromium, address, color_scheme=theme, viewport={"width": width, "height": 900}) as page:
            other = "dark" if theme == "light" else "light"
            assert page.locator(f".in-{theme} svg").first.is_visible()
            assert not page.locator(f".in-{other} svg").first.is_visible()
            assert page.locator(".ls-strip").get_attribute("data-theme") == theme
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            page.evaluate(script)
            found = page.evaluate("""async () => (await axe.run({resultTypes: ["violations"]})).violations
              .filter(v => ["serious", "critical"].includes(v.impact))
              .flatMap(v => v.nodes.map(n => [v.id, n.html.slice(0, 160), (n.any[0]?.message ?? "").slice(0, 160)]))""")
            assert found == []


def test_on_paper_the_whole_text_and_light_pictures(chromium, address, run):
    with opened(chromium, address, color_scheme="dark") as page:
        page.wait_for_selector(".paper span >> nth=5", state="attached")
        page.emulate_media(media="print", color_scheme="dark")
        assert not page.locator(".ls-strip .ls-view").is_visible()
        assert page.locator(".in-light svg").first.is_visible()
        assert not page.locator(".in-dark svg").first.is_visible()
        cells = page.locator(".paper span").all_text_contents()
        assert len(cells) == len(run.tokens.cell_text) and "unlocked" in "".join(cells)
        assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(28, 29, 34)"


def test_eight_thousand_tokens_share_a_choice_too(chromium, tmp_path):
    address = an.report(full_size(8000)).save(tmp_path / "run.html").as_uri()
    with opened(chromium, address) as page:
        page.locator(".ls-strip .ls-view").press("Control+End")
        chosen(page, 7999)
        assert page.locator(".name").inner_text().startswith("Token 7999 ")
        page.locator(".ls-strip .ls-view").press("Control+Home")
        chosen(page, 0)


def test_the_policy_refuses_what_the_page_does_not_do(chromium, address):
    with harness.page(chromium) as page:
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("() => fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"
        page.evaluate(
            "() => document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        assert page.evaluate("() => window.ran ?? 0") == 0


def test_a_choice_in_an_answer_about_a_picture_is_made_in_all(chromium, tmp_path):
    a = made_answer()
    address = an.report(a).save(tmp_path / "answer.html").as_uri()
    with opened(chromium, address, color_scheme="light", viewport={"width": 420, "height": 900}) as page:
        chosen(page, 0)
        looked, bars = (
            page.locator(".picture"),
            page.locator(".chart").nth(0).locator(".in-light .mark-rect path"),
        )
        assert a.tokens.text[0] in looked.locator("h3").inner_text()
        before = [bars.nth(k).get_attribute("d") for k in range(bars.count())]
        box = page.locator(".ls-strip").evaluate("root => root._rect(1)")
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        chosen(page, 1)
        page.wait_for_function(
            "([paths, before]) => paths.some((path, k) => path.getAttribute('d') !== before[k])",
            arg=[bars.element_handles(), before],
        )
        for layer, name in ((None, "all layers"), (2, "layer 2")):
            looked.locator("select").select_option(label=name)
            weights = a.looking.on_picture(1, layer)
            opacity = [
                float(cell.evaluate("c => c.style.fillOpacity")) for cell in looked.locator(".patch").all()
            ]
            np.testing.assert_allclose(opacity, 0.88 * np.sqrt(weights / weights.max()), atol=2e-3)
            said = looked.locator(".shares tr", has_text="on the picture").inner_text().split()[-2]
            assert np.isclose(float(said), 100 * weights.sum(), rtol=1e-2)
            assert looked.locator(".sink").count() == sink_patches(a, layer).sum() > 0
        looked.get_by_label("Without sinks").check()
        free = np.where(sink_patches(a, 2), 0, a.looking.on_picture(1, 2))
        cell = looked.locator(".patch").nth(int(free.argmax()))
        assert np.isclose(float(cell.evaluate("c => c.style.fillOpacity")), 0.88)
        assert f"patch {free.argmax()}" in looked.locator(".strongest tr").first.inner_text()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.emulate_media(media="print")
        assert not looked.locator("select").is_visible() and looked.locator("svg").is_visible()
