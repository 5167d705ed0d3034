"""How soon a lesson's first prediction can be made on a server that has just begun, and the model's own answer stands there.

`python -m benchmarks.cold_lesson`, on a machine that does nothing else; Chromium and the embedded model are needed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.harness import Report, machine

PREDICTION_SECONDS = 20.0
"""From the opened link until the first prediction was committed and its answer is drawn; the model loads meanwhile."""
_CHART = ".st-key-card_lesson [data-testid=stVegaLiteChart] :is(svg, canvas)"


def _one(started: Any, slug: str) -> list[float]:
    """Seconds from the opened link until a prediction can be made, its answer is drawn, and it is this server's own."""
    from tests.browser import harness

    seconds = []
    with (
        harness.server(command=[sys.executable, "-m", "app"]) as base,
        harness.page(started, viewport={"width": 1280, "height": 720}) as page,
    ):
        begin = time.perf_counter()
        page.goto(f"{base}/lessons?lesson={slug}")
        predict = page.get_by_role("button", name="Predict 1:")
        page.locator(_CHART).first.wait_for()
        predict.wait_for()
        seconds.append(time.perf_counter() - begin)
        predict.click()
        page.locator("[class*=st-key-lesson_option_chosen_0]").wait_for()
        page.get_by_role("button", name="Show the answer").click()
        page.locator("[class*=st-key-lesson_said_]").wait_for()
        seconds.append(time.perf_counter() - begin)
        page.locator(".st-key-lesson_source").get_by_text("measured here").wait_for()
        seconds.append(time.perf_counter() - begin)
    return seconds


def main() -> bool:
    """Print the figures; False if a limit is missed. Other work on the machine counts against it."""
    from analysis.lessons.registry import LESSONS
    from tests.browser import harness

    report, rows = Report(), []
    with harness.browser() as started:
        for slug in LESSONS:
            ready, answered, measured = _one(started, slug)
            rows.append([slug, *(f"{seconds:.1f}" for seconds in (ready, answered, measured))])
            report.limit(
                f"{slug}: first prediction within {PREDICTION_SECONDS:g} s", answered <= PREDICTION_SECONDS
            )
    head = [
        "lesson, a new server each",
        "a prediction can be made, seconds",
        "its answer is drawn",
        "measured here",
    ]
    report.table(head, rows)
    limits = (f"- {what}: {'yes' if kept else 'NO'}" for what, kept in report.limits)
    print("\n".join([machine(), *report.lines, *limits]))
    return all(kept for _, kept in report.limits)


if __name__ == "__main__":
    sys.exit(not main())
