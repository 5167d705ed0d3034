"""The real app from a cold start to a downloaded figure, in a browser that reaches nothing else."""

from __future__ import annotations

import io
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pypdf
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
from tests.browser import looks  # noqa: E402 - it needs playwright

HOSTILE = (
    "The gate was open <img src=x onerror=alert(1)> and ![](https://evil.example/x.png) the dog, "
    "[a](javascript:alert(1)) of course, ran **far** $x^2$ :red[down] the road.</script><b>end"
)
Open = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=[sys.executable, "-m", "app"]) as base:
        yield base


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Open]:
    """Opens a page of the app; at the end nothing may have gone wrong or left the machine."""
    watched: list[tuple[Any, list[str]]] = []
    with ExitStack() as stack:

        def go(path: str = "", **context: Any) -> tuple[Any, Any]:
            page = stack.enter_context(harness.page(chromium, accept_downloads=True, **context))
            seen, dialogs = harness.instrument(page), []
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            watched.append((seen, dialogs))
            page.goto(f"{address}/{path}")
            return page, seen

        yield go
    for seen, dialogs in watched:
        assert seen.outside == []
        assert seen.errors == []
        assert dialogs == []


def settle(page: Any) -> None:
    """Wait until nothing runs and nothing on screen is left over from the run before."""
    harness.wait_done(page)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")


def wait_strip(page: Any) -> None:
    page.wait_for_selector(".ls-strip[data-ready]")
    settle(page)


def run_text(page: Any, text: str) -> None:
    """Replace the text and press Run at once, as a person does: no Ctrl+Enter before it."""
    harness.text_form(page).fill(text)
    harness.press_run(page)


def text_in(page: Any) -> str:
    """The text in the form, which is closed again."""
    text = str(harness.text_form(page).input_value())
    page.keyboard.press("Escape")
    return text


def wait_tokens(page: Any, n: int) -> None:
    page.wait_for_selector(f'.ls-strip[data-ready="{n}"]')
    settle(page)


def n_tokens(page: Any) -> int:
    return int(page.locator(".ls-strip").get_attribute("data-ready"))


def wait_panel(page: Any, token: int) -> None:
    """Wait for the panel beside the strip."""
    page.locator(".st-key-stepper_token", has_text=re.compile(rf"Token {token} ")).wait_for()
    settle(page)


def click_token(page: Any, token: int) -> None:
    page.locator(".ls-strip").scroll_into_view_if_needed()
    at = page.locator(".ls-strip").evaluate("(root, i) => root._rect(i)", token)
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    wait_panel(page, token)


def detail(page: Any) -> str:
    """Text of the panel's line of numbers."""
    return page.locator("[data-testid=stCaptionContainer]", has_text="As uncertain as between").inner_text()


def entropy_of(line: str, unit: str) -> float:
    found = re.search(rf"entropy ([\d.]+) {unit}", line)
    assert found, line
    return float(found[1])


def grid(page: Any, column: str) -> list[list[str]]:
    """Cells of the table with this column: drawn on a canvas, kept as a real table for screen readers."""
    table = page.locator("[data-testid=stDataFrame] table", has=page.locator("th", has_text=column))
    table.wait_for(state="attached")
    return table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
    )


def download(page: Any, press: Callable[[], None]) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        press()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def from_menu(page: Any, name: str, what: str) -> tuple[str, bytes]:
    """File behind the Download menu of a figure card."""
    page.locator(f".st-key-{name}_download").get_by_role("button").click()
    got = download(page, lambda: page.get_by_role("button", name=what, exact=True).click())
    page.keyboard.press("Escape")
    return got


def choose(page: Any, key: str, label: str) -> None:
    page.locator(f".st-key-{key}").get_by_role("radio", name=label, exact=True).click()


def unit(page: Any, name: str) -> None:
    choose(page, "unit", name)
    page.get_by_text(re.compile(rf"entropy [\d.]+ {name} · surprisal")).wait_for()
    settle(page)


def test_the_cold_overview_answers(visit: Open) -> None:
    page, _ = visit()
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    wait_strip(page)
    page.locator(".st-key-story_sentence").get_by_text("The model expected").wait_for()
    page.get_by_role("link", name="More about token entropy").click()
    page.get_by_role("heading", name="Token entropy", level=1).wait_for()
    page.locator(".st-key-run_checks").wait_for()
    settle(page)
    assert n_tokens(page) > 100


def test_own_text_from_typing_to_files(
    visit: Open, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    page, _ = visit()
    wait_strip(page)
    page.get_by_role("link", name="Token entropy").first.click()
    page.get_by_role("heading", name="Token entropy", level=1).wait_for()
    wait_strip(page)

    # A hostile text is read, and stays text everywhere.
    run_text(page, HOSTILE)
    page.wait_for_function(
        "n => { const s = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
        ".map(e => e.shadowRoot?.querySelector('.ls-strip')?.dataset.ready).find(Boolean);"
        " return s && Number(s) < n; }",
        arg=100,
    )
    settle(page)
    total = n_tokens(page)
    assert text_in(page) == HOSTILE
    assert page.locator("img[src*='evil'], img[onerror], a[href^='javascript']").count() == 0
    assert page.locator(".ls-strip").evaluate("root => root.querySelectorAll('img, script, a').length") == 0

    # A token is clicked and its panel read.
    click_token(page, 6)
    title = page.locator(".st-key-stepper_token").get_by_text(re.compile("^Token 6 ")).inner_text()
    panel_text = title.removeprefix("Token 6 “").removesuffix("”")
    in_nats = detail(page)
    assert "surprisal" in in_nats
    panel = page.locator(".st-key-panel_token")
    panel.get_by_text("The model expected").wait_for()
    panel.locator("[data-testid=stVegaLiteChart]").first.wait_for()
    panel.get_by_text("Samplers", exact=True).click()
    assert len(grid(page, "keeps")) == 7
    assert "token=6" in page.url

    # Bits are nats over ln 2.
    unit(page, "bits")
    ratio = entropy_of(detail(page), "bits") / entropy_of(in_nats, "nats")
    assert ratio == pytest.approx(1 / math.log(2), rel=0.01)  # both are written with three digits
    assert "unit=bits" in page.url
    unit(page, "nats")
    assert detail(page) == in_nats

    # Tables and figures as files.
    name, data = from_menu(page, "token_strip", "CSV")
    table = pd.read_csv(io.BytesIO(data))
    assert name == "token_strip.csv" and len(table) == total
    assert {"surprisal_nats", "entropy_nats", "varentropy_nats2", "gap_nats"} <= set(table.columns)
    assert table["token"][6].replace(" ", "·") == panel_text
    assert table["entropy_nats"][6] == pytest.approx(entropy_of(in_nats, "nats"), rel=0.01)
    assert "".join(table["token"].astype(str)) == HOSTILE
    name, data = from_menu(page, "along_text", "Parquet")
    curve = pd.read_parquet(io.BytesIO(data))
    assert name == "along_text.parquet" and len(curve) == total
    assert {"entropy_nats", "threshold_nats", "is_forking"} <= set(curve.columns)
    name, data = from_menu(page, "along_text", "PDF")
    (printed,) = pypdf.PdfReader(io.BytesIO(data)).pages
    assert name == "along_text.pdf" and float(printed.mediabox.width) / 72 == pytest.approx(3.3, abs=0.005)
    name, data = download(
        page, lambda: page.locator(".st-key-along_text_figure").get_by_role("button").click()
    )
    assert name == "along_text.svg" and ET.fromstring(data).tag.endswith("svg")
    name, data = download(
        page, lambda: page.locator(".st-key-token_strip_figure").get_by_role("button").click()
    )
    assert name == "token_strip.html"
    html = data.decode()
    assert html.startswith("<!doctype html>") and 'charset="utf-8"' in html
    assert "&lt;" in html and not re.search(r"<(img|script|link|iframe|a)\b", html)

    # The run as a file, another run on screen, and the first one back from its file.
    page.get_by_role("button", name="File").click()
    name, data = download(page, lambda: page.get_by_role("button", name="Save this run").click())
    page.keyboard.press("Escape")
    assert name == "run.trace"
    saved = tmp_path / name
    saved.write_bytes(data)
    run_text(page, "Two words and a few more.")
    wait_tokens(page, 7)
    page.get_by_role("button", name="File").click()
    harness.upload(page, "Open a run", saved)
    wait_tokens(page, total)
    page.keyboard.press("Escape")
    click_token(page, 6)
    assert detail(page) == in_nats
    # A run from a file brings its lens along, or the page says that it was made without one (a slow machine).
    choose(page, "entropy", "lens")
    absent = page.get_by_text("The opened file was made without it")
    absent.or_(page.locator(".st-key-lens_window")).first.wait_for()


def test_the_lens_is_computed_when_asked(visit: Open) -> None:
    page, _ = visit("token_entropy?entropy=lens&token=20")
    offered = page.get_by_role("button", name="Compute")
    window = page.locator(".st-key-lens_window .ls-map")
    offered.or_(window).first.wait_for()
    if offered.count():  # a slow machine does not take the lens along
        offered.click()
    window.wait_for()
    settle(page)
    choose(page, "lens", "distance to the output")
    page.get_by_text("already what the output says.").wait_for()
    settle(page)
    unit(page, "bits")  # a rerun of the whole page keeps the lens, whose controls for asking are gone
    window.get_by_text(re.compile("bits")).first.wait_for()
    # Arrow keys move the token; at the edge the window follows.
    window.locator(".ls-view").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    wait_panel(page, 25)
    looks.finished(page)  # a file that is made while the page is drawn anew may be gone before it is fetched
    name, data = download(page, lambda: page.locator(".st-key-lens_figure").get_by_role("button").click())
    assert name == "lens.svg" and data.startswith(b"<svg")


def test_a_link_restores_the_view(visit: Open) -> None:
    page, _ = visit("token_entropy?example=code&color=gap&unit=bits&token=7")
    wait_strip(page)
    wait_panel(page, 7)
    assert text_in(page).startswith("def find_position")
    assert re.search(r"entropy [\d.]+ bits", detail(page))
    assert page.locator(".ls-strip").get_attribute("data-selected") == "7"
    assert "Surprisal minus entropy" in page.locator(".ls-view").get_attribute("aria-label")
    assert "bits" in page.locator(".ls-legend").inner_text()
    assert page.locator(".st-key-color").get_by_role("combobox").input_value() == "gap"
    chosen = page.locator(".st-key-unit").get_by_role("radio", name="bits", exact=True)
    assert chosen.get_attribute("aria-checked") == "true"
    for part in ("example=code", "color=gap", "unit=bits", "token=7"):
        assert part in page.url


def test_a_long_run_can_be_cancelled(visit: Open) -> None:
    page, _ = visit("token_entropy")
    wait_strip(page)
    text = ("The night train stopped between two stations, and for a while nothing moved. " * 400)[:30_000]
    run_text(page, text)
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_text("The run was cancelled. Press Run to start it again.").wait_for()
    settle(page)
    assert text_in(page) == text
    assert page.locator("[data-testid=stAlert]").count() == 0, "the bar says so"
    # The worker is free again, and the page still works.
    run_text(page, "Two words and a few more.")
    wait_tokens(page, 7)
