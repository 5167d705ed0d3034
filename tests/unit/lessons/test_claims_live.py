"""Every claim of every lesson against the live embedded model: the points hold, and the stored numbers are its own."""

from __future__ import annotations

import re

import pytest

from analysis.lessons.registry import LESSONS
from analysis.progress import silent

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
CLOSE = 0.05
"""Share by which a number of two processors may differ: differences of small numbers are among them."""


def numbers(text: str) -> list[float]:
    """Numbers in a sentence; digits that are grouped belong together, a minus sign is none."""
    return [float(found.replace("\u2009", "")) for found in re.findall(r"\d[\d\u2009]*(?:\.\d+)?", text)]


@pytest.mark.parametrize("slug", [slug for slug, lesson in LESSONS.items() if lesson.needs != "seed"])
def test_every_claim_holds_on_the_live_model(slug, smollm2):
    lesson = LESSONS[slug]
    live, stored = lesson.measure(smollm2, lesson.own, silent), lesson.stored()
    for step in lesson.steps:
        found, before = step.find(live), step.find(stored)
        assert found.option == step.point == before.option, (step.name, found.said)
        assert numbers(found.said) == pytest.approx(numbers(before.said), rel=CLOSE, abs=0.02), step.name
        assert step.question(live) and step.draw(live, step.slider(live).start, True, "light")


def test_every_claim_of_the_lab_holds_when_it_is_trained_here():
    """Another processor draws other answers after a while, so the points are held and not the numbers."""
    lesson = LESSONS["reward"]
    live = lesson.measure(None, lesson.own, silent)
    assert [step.find(live).option for step in lesson.steps] == [step.point for step in lesson.steps]
