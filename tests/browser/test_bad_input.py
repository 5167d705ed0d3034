"""Text and models that cannot be read: one box with a clear sentence, and nothing lost."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.packaging.serving import free_port

pytestmark = [pytest.mark.browser, pytest.mark.embedded]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def address(embedded_weights: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # An empty hub cache and a proxy that nobody runs: the hub cannot be reached, as without a network.
    nowhere = f"http://127.0.0.1:{free_port()}"
    offline = {"HF_HOME": str(tmp_path_factory.mktemp("hub")), "NO_PROXY": "", "no_proxy": ""}
    offline |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), nowhere)
    with harness.server(command=[sys.executable, "-m", "app"], env=offline) as base:
        yield base


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Open]:
    watched = []
    with ExitStack() as stack:

        def go(path: str) -> Any:
            page = stack.enter_context(harness.page(chromium))
            watched.append(harness.instrument(page))
            page.goto(f"{address}/{path}")
            page.get_by_role("heading", name="Token entropy", level=1).wait_for()
            harness.wait_done(page)
            return page

        yield go
    assert [seen.outside for seen in watched] == [[]] * len(watched)
    # Streamlit's server hangs up on a message that is not UTF-8; the page connects again by itself.
    hung_up = re.compile("WebSocket is already in CLOSING|when disconnected from server")
    errors = [e for seen in watched for e in seen.errors if not hung_up.search(e)]
    assert errors == []


def press_run(page: Any) -> None:
    harness.press_run(page)


def one_box(page: Any) -> str:
    """Text of the only error box on the page."""
    box = page.locator("[data-testid=stAlert]")
    box.first.wait_for()
    harness.wait_done(page)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
    assert box.count() == 1, box.all_inner_texts()
    assert page.locator("[data-testid=stException]").count() == 0
    return str(box.inner_text())


def text_in(page: Any) -> str:
    text = str(harness.text_form(page).input_value())
    page.keyboard.press("Escape")
    return text


def test_nothing_to_read_one_token_and_back(visit: Open) -> None:
    page = visit("token_entropy")
    page.wait_for_selector(".ls-strip[data-ready]")
    harness.text_form(page).fill("")
    press_run(page)
    assert "There is no text to read." in one_box(page)
    harness.text_form(page).fill("cat")
    press_run(page)
    page.get_by_text("The text is a single token").wait_for()
    assert "Type a few more words" in one_box(page)
    assert text_in(page) == "cat"
    harness.text_form(page).fill("cat and dog")
    press_run(page)
    page.wait_for_selector('.ls-strip[data-ready="3"]')
    harness.wait_done(page)
    assert page.locator("[data-testid=stAlert]").count() == 0


def test_a_megabyte_of_emoji_is_refused(visit: Open) -> None:
    page = visit("token_entropy")
    page.wait_for_selector(".ls-strip[data-ready]")
    harness.wait_done(page)
    emoji = "🦊🌲🔥" * (1_000_000 // 12)
    harness.text_form(page).evaluate(
        """(area, text) => {
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, text);
            area.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        emoji,
    )
    harness.text_form(page).focus()
    press_run(page)
    said = one_box(page)
    count = re.search(r"The text has ([\d,]+) tokens", said)
    assert count and int(count[1].replace(",", "")) > 200_000, said
    assert "8,192" in said and "Shorten it, or read it in windows" in said
    assert text_in(page) == emoji
    harness.text_form(page).fill("Short again, and it works.")
    press_run(page)
    page.wait_for_selector('.ls-strip[data-ready="7"]')


def test_half_of_a_surrogate_pair_harms_nothing(visit: Open) -> None:
    """Streamlit drops a message that is not valid UTF-8, so such a text never reaches Python; the page
    has to be in order as soon as the character is gone."""
    page = visit("token_entropy")
    page.wait_for_selector(".ls-strip[data-ready]")
    harness.wait_done(page)
    harness.text_form(page).focus()
    page.evaluate("() => document.execCommand('selectAll')")
    page.evaluate("() => document.execCommand('insertText', false, 'one \\ud83d two')")
    press_run(page)
    harness.wait_done(page)
    assert page.locator("[data-testid=stException], [data-testid=stAlert]").count() == 0
    assert text_in(page).startswith("one ")
    harness.text_form(page).fill("Two words and a few more.")
    press_run(page)
    page.wait_for_selector('.ls-strip[data-ready="7"]')


@pytest.mark.parametrize(
    ("kind", "model", "sentence", "advice"),
    [
        ("hub", "no-such-person/no-such-model", r"no-such-model", r"network|name|connection|hub"),
        ("folder", "/no/such/folder", r"There is no folder /no/such/folder", r"Check the path"),
        ("gguf", "CUT", r"cut\.gguf", r"again|Fetch|Download|whole|complete"),
    ],
)
def test_a_model_that_cannot_be_opened(
    kind: str, model: str, sentence: str, advice: str, visit: Open, tmp_path: Path
) -> None:
    if model == "CUT":
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + bytes([200, 0, 0, 0, 0, 0, 0, 0]) * 2 + b"x" * 50)
        model = str(cut)
    page = visit(f"token_entropy?from={kind}&model={quote(model, safe='')}&example=code")
    page.get_by_text("The pictures show an example. Press Run for yours.").wait_for()
    text = text_in(page)
    press_run(page)
    page.locator("[data-testid=stAlert]").get_by_text(re.compile(sentence)).wait_for()
    said = one_box(page)
    assert re.search(sentence, said) and re.search(advice, said), said
    assert "Traceback" not in said and "probably a bug" not in said
    assert text_in(page) == text and text.startswith("def find_position")
    # Back to the model that comes with the app: the text is still there, and is read.
    page.locator(".st-key-model_choice").get_by_role("button").click()
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="embedded").click()
    harness.wait_done(page)
    page.keyboard.press("Escape")
    press_run(page)
    page.locator(".st-key-run_checks").wait_for()  # what only a finished run has
    harness.wait_done(page)
    assert page.locator("[data-testid=stAlert]").count() == 0
    assert text_in(page) == text
