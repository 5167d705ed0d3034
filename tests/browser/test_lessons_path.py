"""Every lesson in a browser from start to end, with right and wrong predictions, on a projector and on a phone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from analysis.lessons.registry import LESSONS
from analysis.progress import silent

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.usefixtures("embedded_weights")]
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")

APP = [sys.executable, "-m", "app"]
SIZES = ((1280, 720), (420, 800))
CHART = ".st-key-card_lesson [data-testid=stVegaLiteChart] :is(svg, canvas)"
FAULTS = """() => {
  const foot = document.querySelector(".st-key-lesson_foot").getBoundingClientRect(), out = [];
  if (document.documentElement.scrollWidth > innerWidth + 1) out.push("wider than the window");
  if (Math.abs(foot.bottom - innerHeight) > 40 || foot.height > 90) out.push("the foot is not at the edge");
  if (document.querySelector("[data-testid=stSidebar]")?.checkVisibility()) out.push("a sidebar");
  return out;
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with harness.server(command=APP) as base:
        yield base


def step_is(page: Any, number: int) -> None:
    page.locator(".st-key-lesson_top").get_by_text(re.compile(rf"^step {number} of \d$")).wait_for()
    harness.wait_done(page)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("slug", LESSONS)
def test_a_lesson_from_start_to_end(slug, size, chromium, address):
    lesson = LESSONS[slug]
    theme = "light" if list(LESSONS).index(slug) % 2 else "dark"
    viewport = {"width": size[0], "height": size[1]}
    with harness.page(chromium, viewport=viewport, color_scheme=theme) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/lessons?lesson={slug}")
        right = 0
        for number, step in enumerate(lesson.steps):
            step_is(page, number + 1)
            page.locator(CHART).first.wait_for()
            mine = step.point if number % 2 else (step.point + 1) % len(step.options)
            right += mine == step.point
            page.get_by_role("button", name=f"Predict {mine + 1}:").click()
            page.locator(f"[class*=st-key-lesson_option_chosen_{mine}]").wait_for()
            page.get_by_role("button", name="Show the answer").click()
            page.locator("[class*=st-key-lesson_said_]").wait_for()
            page.locator(f"[class*=lesson_option][class*=_shown_{step.point}]").wait_for()
            assert page.evaluate(FAULTS) == []
            page.locator(".st-key-lesson_next button").click()
        step_is(page, len(lesson.steps) + 1)
        page.get_by_role("heading", name=f"{right} of {len(lesson.steps)} predictions came true").wait_for()
        page.wait_for_url(re.compile(r"[?&]step=5\b"))
        assert re.search(r"predicted=[1-4]{4}\b", page.url)
        assert page.evaluate(FAULTS) == []
        assert seen.errors == [] and seen.outside == []


def test_keys_alone_and_a_link_that_brings_all_back(chromium, address):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    with harness.page(chromium, viewport={"width": 1280, "height": 720}) as page:
        page.goto(f"{address}/lessons?lesson=variety&step=3")
        step_is(page, 3)
        page.locator(CHART).first.wait_for()
        page.keyboard.press("2")
        page.locator("[class*=st-key-lesson_option_chosen_1]").wait_for()
        page.keyboard.press("Enter")
        page.locator("[class*=st-key-lesson_said_]").wait_for()
        page.keyboard.press("ArrowRight")
        page.wait_for_url(re.compile(r"[?&]at=13\b"))
        harness.wait_done(page)
        page.evaluate((resources.files(axe) / "axe.min.js").read_text(encoding="utf-8"))
        found = page.evaluate("""async () => (await axe.run(".st-key-card_lesson, .st-key-lesson_foot, .st-key-lesson_top",
          {resultTypes: ["violations"]})).violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => [v.id, v.nodes[0].html])""")
        assert found == []
        link = page.url
        page.keyboard.press("PageDown")
        step_is(page, 4)
        page.goto(link)
        step_is(page, 3)
        page.locator("[class*=st-key-lesson_said_]").wait_for()
        assert (
            "predicted=--2-" in page.url
            and "after layer 13" in page.locator(".st-key-card_lesson").inner_text()
        )


def test_a_persons_own_text_is_measured_in_place_of_the_lessons(chromium, address, smollm2):
    lesson = LESSONS["surprise"]
    own = (
        "The ferry left at nine and came back at noon. On board were two cooks, a crate of lemons and a sleeping "
        "dog. Nobody had paid for the dog. When the captain asked whose it was, both cooks pointed at the lemons, "
        "and the dog opened one eye, yawned, and went on sleeping until the ferry reached the other side."
    )
    measured = lesson.measure(smollm2, own, silent)
    said, of_the_lesson = (lesson.steps[0].find(it).said for it in (measured, lesson.stored()))
    assert said != of_the_lesson
    with harness.page(chromium, viewport={"width": 1280, "height": 720}) as page:
        seen = harness.instrument(page)
        page.goto(f"{address}/lessons?lesson=surprise")
        step_is(page, 1)
        page.get_by_role("button", name="Text", exact=True).click()
        page.get_by_label("Text to measure").fill(own)
        page.get_by_role("button", name="Run this text").click()
        page.locator(".st-key-lesson_source").get_by_text("your text · measured here").wait_for()
        page.get_by_label("Text to measure").wait_for(state="detached")
        step_is(page, 1)
        page.locator(CHART).first.wait_for()
        page.get_by_role("button", name="Predict 1:").click()
        page.locator("[class*=st-key-lesson_option_chosen_0]").wait_for()
        page.get_by_role("button", name="Show the answer").click()
        answer = page.locator("[class*=st-key-lesson_said_]")
        answer.wait_for()
        assert " ".join(said.split()) in " ".join(answer.inner_text().split())
        assert page.evaluate(FAULTS) == []
        assert seen.errors == [] and seen.outside == []
