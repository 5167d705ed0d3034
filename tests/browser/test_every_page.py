"""Every page at every width and in both themes: the result first, nothing cut, nothing that moves, for everybody."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from app.examples import EXAMPLES
from tests.patience import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from tests.browser import looks  # noqa: E402 - it needs playwright

APP = [sys.executable, "-m", "app"]
HIGHEST = 130
"""Pixels above the frame of the first picture on a screen of 1400 x 900."""
MOVES = 8
each_page = pytest.mark.parametrize("slug", looks.PAGES)

# What axe finds in Streamlit's own parts, where no style sheet reaches.
KNOWN = {
    ("list", "stSidebarNavItems"),
    ("listitem", "stSidebarNav"),
    ("aria-prohibited-attr", "stMultiSelect"),
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=APP) as base:
        yield base


def opened(page: Any, address: str, slug: str, query: str = "") -> Any:
    """The page, its result on screen, and what it did besides."""
    seen = harness.instrument(page)
    page.goto(f"{address}/{looks.address_of(slug)}{query}")
    looks.settle(page)
    return seen


@each_page
@pytest.mark.parametrize(("size", "theme"), [(looks.SMALL, "dark"), (looks.NARROW, "light")], ids=str)
def test_the_result_comes_first_for_everybody_and_nothing_is_cut(
    slug, size, theme, chromium, address, record_property
):
    with harness.page(chromium, viewport={"width": size[0], "height": size[1]}, color_scheme=theme) as page:
        seen = opened(page, address, slug)
        looks.stand_still(page)
        record_property("top", check(page, size))
        assert seen.errors == [] and seen.outside == []


@each_page
def test_nothing_moves_when_the_result_arrives_and_it_comes_first(slug, chromium, record_property):
    """A server of its own, so that the first run has to load the model and the example is on screen meanwhile."""
    with (
        harness.server(command=APP) as base,
        harness.page(chromium, viewport={"width": 1400, "height": 900}, color_scheme="light") as page,
    ):
        seen = harness.instrument(page)
        page.goto(f"{base}/{looks.address_of(slug)}")
        page.get_by_role("heading", level=1).wait_for()
        page.wait_for_function(looks.HAS_RESULT)
        harness.wait_done(page)
        looks.stand_still(page)
        running = page.locator(".st-key-run_progress").count()
        before = looks.places(page)
        looks.settle(page)
        looks.stand_still(page)
        after = looks.places(page)
        assert running or before.keys() == after.keys()
        moved = {key: after[key] - before[key] for key in before.keys() & after.keys()}
        assert {key: by for key, by in moved.items() if abs(by) > MOVES} == {}
        record_property("top", check(page, looks.WIDE))
        assert seen.errors == [] and seen.outside == []


def check(page: Any, size: tuple[int, int]) -> float:
    """What holds for every page at rest; gives where its result begins, in pixels from the top."""
    top = looks.top_of_result(page)
    bar = page.locator(".st-key-run_bar").bounding_box()
    assert bar["height"] <= (46 if size != looks.NARROW else 90)
    assert top <= (HIGHEST if size != looks.NARROW else size[1] / 3), f"the result begins at {top:.0f}"
    assert looks.faults(page) == []
    assert serious(page) == []
    return top


def serious(page: Any) -> list[Any]:
    """What axe finds on the page, of our own parts."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page.evaluate((resources.files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("""async () => {
      const {violations} = await axe.run({resultTypes: ["violations"]});
      return violations.filter(v => ["serious", "critical"].includes(v.impact)).flatMap(v => v.nodes.map(n => {
        const at = document.querySelector([n.target[0]].flat()[0]);
        const around = []; for (let e = at; e; e = e.parentElement) if (e.dataset?.testid) around.push(e.dataset.testid);
        return [v.id, around, n.html.slice(0, 160), (n.any[0]?.message ?? "").slice(0, 160)];
      }));
    }""")
    return [f for f in found if not any(f[0] == rule and place in f[1] for rule, place in KNOWN)]


def test_a_switch_of_the_theme_reaches_the_charts(chromium, address):
    with harness.page(chromium, color_scheme="light") as page:
        opened(page, address, "token_entropy")
        drawn = """() => {
          const chart = document.querySelector("[data-testid=stVegaLiteChart] :is(svg, canvas)");
          return chart && (chart.toDataURL?.() ?? chart.outerHTML);
        }"""
        page.wait_for_function(drawn)
        before = page.evaluate(drawn)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"before => (({drawn})() ?? before) !== before", arg=before)


TYPED = "A text that was typed quickly."


def _type(page: Any) -> str:
    """Open the form, and replace its text."""
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Text to read").fill(TYPED)
    return TYPED


def _fill_in(page: Any) -> str:
    """Fill in an example in the form, which is open."""
    page.get_by_role("button", name="Fill in an example").click()
    page.get_by_role("menuitem", name=EXAMPLES["code"].title, exact=True).click()
    return EXAMPLES["code"].text


@pytest.mark.parametrize(("change", "at_once"), [(_type, True), (_type, False), (_fill_in, False)])
def test_a_text_is_run_where_what_was_done_reaches_the_app_late(change, at_once, chromium, address):
    """All is done before the app hears of it. Then it hears all at once, or answers each message before the next.

    Of two presses that it hears within milliseconds Streamlit may drop the first, so one by one is all that an
    example that is filled in can ask for; a text that is typed comes again with every message.
    """
    to_app: list[Any] = []
    held: list[bytes] = []
    is_slow = False

    def pass_on(page_side: Any) -> None:
        to_app.append(page_side.connect_to_server())
        page_side.on_message(lambda message: held.append(message) if is_slow else to_app[-1].send(message))

    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        page.route_web_socket("**/_stcore/stream", pass_on)
        opened(page, address, "token_entropy")
        if change is _fill_in:
            harness.text_form(page)
        is_slow = True
        text = change(page)
        page.keyboard.press("Control+Enter")
        for _ in range(int(60 * PATIENCE)):  # frames
            if not any(_presses_run(message) for message in held):
                page.evaluate("() => new Promise(requestAnimationFrame)")
        assert _presses_run(held[-1]) and len(held) > 1
        while held:
            to_app[-1].send(held.pop(0))
            if not at_once:
                harness.wait_done(page)
        is_slow = False
        page.get_by_role("dialog", name="Edit").wait_for(state="detached")
        beginning = " ".join(text.split())[:30]
        page.locator(".st-key-run_bar").get_by_text(beginning).wait_for()
        looks.settle(page)
        assert harness.text_form(page).input_value() == text
        harness.wait_done(page)
        bar = page.locator(".st-key-run_bar").inner_text()
        assert beginning in bar and " tokens" in bar and "changed" not in bar


def _presses_run(message: bytes) -> bool:
    """Whether a message of the browser says that Run was pressed."""
    states = BackMsg.FromString(message).rerun_script.widget_states.widgets
    return any(state.id.endswith("-run_button") and state.trigger_value for state in states)


def test_a_text_from_a_file_takes_the_place_of_one_that_the_browser_has(chromium, address):
    """The form was open, so the browser says at every step what was in it."""
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        opened(page, address, "token_entropy")
        form = harness.text_form(page)
        page.get_by_role("button", name="Edit").click()
        form.wait_for(state="detached")
        page.locator(".st-key-run_files").get_by_role("button").click()
        file = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"A text from a file."}
        harness.upload(page, "Read a text file", file)
        bar = page.locator(".st-key-run_bar")
        bar.get_by_text("A text from a file.").wait_for()
        harness.press_run(page)
        bar.get_by_text("6 tokens").wait_for()
        assert harness.text_form(page).input_value() == "A text from a file."


def test_the_projector_mode_and_its_keys(chromium, address):
    with harness.page(chromium, viewport={"width": 1280, "height": 720}) as page:
        seen = opened(page, address, "token_entropy", "?projector=on&token=7")
        size = "() => getComputedStyle(document.documentElement).fontSize"
        assert page.evaluate(size) == "20px"
        assert not page.locator("[data-testid=stSidebar]").is_visible()
        assert looks.faults(page) == []
        page.keyboard.press("ArrowRight")
        page.wait_for_url(re.compile(r"[?&]token=8\b"))
        looks.settle(page)
        page.keyboard.press("ArrowLeft")
        page.wait_for_url(re.compile(r"[?&]token=7\b"))
        looks.settle(page)
        page.keyboard.press("p")
        page.get_by_role("heading", name="Attention sinks", level=1).wait_for()
        looks.settle(page)
        assert page.evaluate(size) == "20px" and "projector=on" in page.url
        page.get_by_role("button", name="Leave projector mode").click()
        page.locator("[data-testid=stSidebar]").wait_for()
        assert page.evaluate(size) == "14px" and "projector" not in page.url
        assert seen.errors == [] and seen.outside == []


def test_the_form_opens_runs_by_keys_and_closes(chromium, address):
    with harness.page(chromium, viewport={"width": 1400, "height": 900}) as page:
        seen = opened(page, address, "token_entropy")
        form = page.get_by_label("Text to read")
        page.get_by_role("button", name="Edit").click()
        form.fill("Two words and a few more.")
        assert form.bounding_box()["width"] > 600
        page.keyboard.press("Control+Enter")
        form.wait_for(state="detached")
        page.wait_for_selector('.ls-strip[data-ready="7"]')
        looks.settle(page)
        bar = page.locator(".st-key-run_bar")
        assert "Two words and a few more." in bar.inner_text() and "changed" not in bar.inner_text()
        # A form that is opened again still holds the text.
        page.get_by_role("button", name="Edit").click()
        form.wait_for()
        looks.settle(page)
        assert form.input_value() == "Two words and a few more."
        form.fill("Two other words.")
        form.blur()
        bar.get_by_text("Text or options changed, the pictures show the last run.").wait_for()
        assert looks.faults(page) == [] and bar.bounding_box()["height"] <= 46
        assert seen.errors == [] and seen.outside == []
