"""The Bigram-Backcopy lab: a form, a run that grows, finished runs overlaid, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.entropy_collapse.labs.backcopy.results import BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import shipped_task
from analysis.entropy_collapse.labs.example_runs import backcopy_example
from analysis.units import from_nats
from app import state
from app.compute import requests as runs
from app.panels.entropy_collapse.backcopy import view as backcopy_lab
from tests.app.conftest import shown

LAB = {"view": "live lab", "lab": "bigram-backcopy"}
CHARTS = {"risk": 1, "sink": 4}
"""Risks; three panels and characters."""


def press_run(at: Any) -> Any:
    return at.button(key="backcopy_button").click().run()


def finished() -> list[Any]:
    return [job.result for job in runs.engine().worker._jobs.values() if job.state == "done"]


@pytest.fixture
def lab(open_page):
    return open_page("entropy_collapse", **LAB, train_steps="12")


def test_it_says_what_the_task_is_before_anything_runs(lab, submitted):
    assert not lab.exception and not lab.error
    text = shown(lab)
    oracle = shipped_task().oracle(BackcopySettings().length)
    assert f"{oracle.markov:.2f} nats" in text and f"{oracle.overall:.2f} nats" in text
    assert "orange-background" in text and "blue-background" in text
    assert "**Example**: a stored run" in text and not submitted


def test_it_opens_with_its_stored_run(lab, submitted):
    stored = backcopy_example()
    assert len(lab.get("vega_lite_chart")) == CHARTS["risk"]
    (table,) = [frame.value for frame in lab.dataframe]
    assert table["value_drain"][0] == pytest.approx(stored.value_drain[-1, stored.sink_layer])
    at = lab.segmented_control(key=state.BACKCOPY_PICTURES).set_value("sink").run()
    assert not at.exception and len(at.get("vega_lite_chart")) == CHARTS["sink"] and not submitted


def test_a_run_is_drawn_and_its_numbers_are_in_the_table(lab, finish):
    at = finish(press_run(lab))
    assert not at.exception and not at.error
    (run,) = finished()
    assert run.settings.steps == 12
    assert len(at.get("vega_lite_chart")) == CHARTS["risk"] and "**Example**" not in shown(at)
    (table,) = [frame.value for frame in at.dataframe]
    assert table["value_drain"][0] == pytest.approx(run.value_drain[-1, 0])
    assert "1 layer, Adam, softmax" in shown(at)


def test_runs_are_overlaid_and_the_same_one_is_trained_once(lab, finish, submitted):
    at = finish(press_run(lab))
    at = finish(press_run(at))
    assert len(submitted) == 1
    at.segmented_control(key="attention").set_value("relu")
    at.segmented_control(key="optimizer").set_value("sgd")
    at = finish(press_run(at))
    assert not at.exception and len(submitted) == 2
    assert list(at.dataframe[0].value["run"]) == ["1 layer, Adam, softmax", "1 layer, SGD, ReLU"]
    assert "with 1 other run" in shown(at)
    at = at.button(key="backcopy_clear").click().run()
    assert "**Example**: a stored run" in shown(at)


def test_the_address_chooses_the_variant(open_page, finish):
    at = open_page("entropy_collapse", **LAB, layers="3", optimizer="sgd", attention="relu", train_steps="10")
    at = finish(press_run(at))
    assert not at.exception
    (run,) = finished()
    assert run.settings.variant == "3 layers, SGD, ReLU" and run.settings.steps == 10


@pytest.mark.parametrize("steps", ["inf", "nan", "-3", "1e9", "many", ""])
def test_a_broken_address_crashes_nothing(open_page, steps):
    at = open_page("entropy_collapse", **LAB, layers="7", optimizer="x", attention="", train_steps=steps)
    assert not at.exception
    assert at.segmented_control(key="layers").value == "1"
    number = at.number_input(key="train_steps").value
    if steps == "nan":
        at = press_run(at)
        assert not at.exception
    else:
        assert number == 800


def test_bits_change_what_is_shown_and_run_nothing(open_page, submitted):
    at = open_page("entropy_collapse", **LAB, unit="bits")
    assert not at.exception and not submitted
    oracle = shipped_task().oracle(BackcopySettings().length)
    assert f"{from_nats(oracle.markov, 'bits'):.2f} bits" in shown(at)


def test_a_cancelled_run_says_so(lab, finish):
    at = lab
    at.number_input(key="train_steps").set_value(5000.0)
    at = press_run(at)
    request = backcopy_lab._request(BackcopySettings(steps=5000))
    at = finish(at.button(key=f"cancel_{request.key}").click().run())
    assert not at.exception
    assert runs.find(request).state == "cancelled"
    assert "cancelled" in shown(at)
