"""The four squares lab: a form, runs that grow and are overlaid, comparison, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from analysis.entropy_collapse.labs.example_runs import four_squares_example
from analysis.entropy_collapse.labs.four_squares import grpo
from analysis.entropy_collapse.labs.four_squares.policy import Policy
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from tests.app.conftest import shown
from tests.patience import PATIENCE

LAB = {"view": "live lab", "lab": "four squares"}
CHARTS = {"entropy": 4, "answers": 4, "exchange": 3}
"""Pairs; the law, and two predictions."""
EXAMPLE = "**Example**: stored runs"


@pytest.fixture(autouse=True)
def _quick_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained policy in place of the base: these tests are about the page."""
    monkeypatch.setattr(grpo, "base_policy", lambda _report: Policy(torch.Generator().manual_seed(0)))


@pytest.fixture
def lab(open_page):
    return open_page("entropy_collapse", **LAB, steps="2", interventions="entropy bonus")


def press_run(at: Any) -> Any:
    return at.button(key="four_squares_button").click().run()


def finished() -> list[Any]:
    results = [job.result for job in runs.engine().worker._jobs.values() if job.state == "done"]
    return [run for result in results if isinstance(result, list) for run in result]


def table(at: Any) -> Any:
    return next(frame.value for frame in at.dataframe if "effect" in frame.value)


def test_it_says_what_the_task_is_before_anything_runs(lab, submitted):
    assert not lab.exception and not lab.error
    text = shown(lab)
    assert "**39** →" in text and ":orange-background[25]" in text and EXAMPLE in text
    assert "entropy bonus (coefficient 0.1)" in text and not submitted


def test_it_opens_with_its_stored_runs(lab, submitted):
    stored = four_squares_example()
    assert table(lab)["entropy_end"].tolist() == pytest.approx([run.token_entropy[-1] for run in stored])
    for picture, charts in CHARTS.items():
        lab = lab.segmented_control(key=state.LAB_PICTURES).set_value(picture).run()
        assert not lab.exception and len(lab.get("vega_lite_chart")) == charts
    assert not submitted


def test_what_differs_from_a_source_stands_under_the_form(open_page, submitted):
    at = open_page("entropy_collapse", **LAB, steps="2")
    at = at.multiselect(key=state.INTERVENTIONS).set_value(["hapo", "entropy band", "kl-cov"]).run()
    text = shown(at)
    assert (
        "After: HAPO, Liu et al. 2025 (arXiv 2509.16591). Unlike HAPO's code, h is cut at ±1 and not stretched to it"
        in text
    )
    assert (
        "after the abstract of SPINE, Wu et al. 2025 (arXiv 2511.17938). Made from SPINE's abstract: the form of the price"
        in text
    )
    at = at.segmented_control(key=state.LAB_CONSTANTS).set_value("published").run()
    assert "entropy band: not available" in shown(at) and "Unlike HAPO's code" in shown(at)
    assert not at.exception and not submitted


def test_runs_are_overlaid_and_compared_with_the_baseline(lab, finish):
    at = finish(press_run(lab))
    assert not at.exception and not at.error
    assert [run.settings.intervention.name for run in finished()] == ["none", "entropy bonus"]
    assert all(run.settings.steps == 2 == len(run.reward) for run in finished())
    assert len(at.get("vega_lite_chart")) == CHARTS["entropy"] and EXAMPLE not in shown(at)
    frame = table(at)
    assert frame["effect"].tolist()[0] == "the baseline" and frame["entropy_against_baseline"][0] == 1
    baseline, bonus = finished()
    ratio = bonus.token_entropy[-1] / baseline.token_entropy[-1]
    assert frame["entropy_against_baseline"][1] == pytest.approx(ratio)
    at = at.segmented_control(key=state.LAB_PICTURES).set_value("exchange").run()
    text = shown(at)
    assert "none: no law" in text and "2 steps have both" in text  # too few for a fit, and it says so
    assert "seed 0 · 2 steps of 8 × 16 answers" in text
    at = at.segmented_control(key=state.LAB_PICTURES).set_value("answers").run()
    assert "training numbers**" in shown(at)
    at.segmented_control(key="squares_numbers").set_value("held out")
    at = at.run()
    assert not at.exception and "held out numbers**" in shown(at)
    at = at.button(key="four_squares_clear").click().run()
    assert not at.exception and EXAMPLE in shown(at)


def test_only_what_is_missing_is_run(lab, finish, submitted):
    at = finish(press_run(lab))
    at.multiselect(key=state.INTERVENTIONS).set_value(["entropy bonus", "kl-cov"])
    at = at.run()
    assert len(at.get("vega_lite_chart")) == CHARTS["entropy"] and len(table(at)) == 2
    at = finish(press_run(at))
    assert [run.settings.intervention.name for run in finished()] == ["none", "entropy bonus", "kl-cov"]
    assert len(table(at)) == 3 and len(submitted) == 2
    at = finish(press_run(at))
    assert len(submitted) == 2  # nothing is missing
    at.multiselect(key=state.INTERVENTIONS).set_value([])
    at.number_input(key=state.LAB_SEED).set_value(1.0)
    at = at.run()
    assert EXAMPLE in shown(at)
    at = finish(press_run(at))
    assert table(at)["seed"].tolist() == [1]


def test_published_constants_are_offered_where_there_are_any(open_page, finish):
    page = open_page(
        "entropy_collapse", **LAB, steps="1", constants="published", interventions="entropy band"
    )
    page.multiselect(key=state.INTERVENTIONS).set_value(["entropy band", "kl-cov"])
    at = page.run()
    text = shown(at)
    assert "entropy band: not available" in text and "kl-cov (fraction 0.002, coefficient 1)" in text
    assert "most do nothing here" in text
    finish(press_run(at))
    assert [run.settings.intervention.name for run in finished()] == ["none", "kl-cov"]


@pytest.mark.parametrize(("name", "value"), [("steps", "inf"), ("seed", "nan"), ("steps", "0.2")])
def test_numbers_from_a_link_cannot_break_the_page(open_page, name, value):
    at = open_page("entropy_collapse", **LAB, **{name: value})
    assert not at.exception
    at = press_run(at)
    assert not at.exception


def test_interventions_from_a_link_that_do_not_exist_are_left_out(open_page):
    at = open_page("entropy_collapse", **LAB, interventions="magic")
    assert not at.exception


def test_growing_runs_are_drawn_over_finished_ones(lab, monkeypatch):
    """The job shows what is done and what grows; the page draws both while it polls."""
    import threading

    go_on, seen = threading.Event(), threading.Event()
    monkeypatch.setattr(grpo, "_SHOW_SECONDS", 0.0)

    def wait(job: Any, share: float, note: str = "", report: Any = Job.report) -> None:
        if note.startswith("entropy bonus: step 2"):
            seen.set()
            go_on.wait(PATIENCE)
        report(job, share, note)

    monkeypatch.setattr(Job, "report", wait)
    at = press_run(lab)
    assert seen.wait(PATIENCE)
    try:
        at = at.run()
        assert not at.exception
        (job,) = [job for job in runs.engine().worker._jobs.values() if job.is_live]
        assert [run.settings.intervention.name for run in job.partial] == ["none", "entropy bonus"]
        assert [len(run.reward) == 2 for run in job.partial] == [True, False]
        assert len(at.get("vega_lite_chart")) == 4
    finally:
        go_on.set()
    at.button(key=f"cancel_{job.key}").click().run()
    assert job.wait(PATIENCE)
    at = at.run()
    assert not at.exception and len(table(at)) >= 1  # what had ended before the cancel is kept
