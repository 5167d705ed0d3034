"""The panel of prompt compression: nothing starts unasked, all four states, bad input."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from analysis.errors import AnalysisError
from analysis.pruning_effects.compression.example import example_sweep
from app import state
from app.compute import requests as runs
from tests.app.conftest import shown
from tests.patience import PATIENCE

CONTEXT = "The hat is in the hall. A cat sat on it, and he did not see the rat."


def script():
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression()


@pytest.fixture
def page(loads):
    return AppTest.from_function(script, default_timeout=PATIENCE)


def fill(at, **more):
    at = at.run()
    texts = {
        "compression_context": CONTEXT,
        "compression_question": "Where?",
        "compression_answer": "the hall",
    }
    for key, value in (texts | {k: v for k, v in more.items() if k in texts}).items():
        at.text_area(key=key).set_value(value)
    at.multiselect(key=state.COMPRESSION_METHODS).set_value(
        more.get("methods", ["self-information", "random"])
    )
    at.multiselect(key="compression_shares").set_value(more.get("shares", [0.5, 0.2]))
    return at


def press(at):
    at.button(key="compression_button").click()
    return at.run()


def test_it_opens_with_the_stored_example_and_starts_nothing(page, submitted, loads):
    at = page.run()
    sweep = example_sweep()
    assert len(at.get("vega_lite_chart")) == 1 and len(at.metric) == 5
    assert {m.value for m in at.metric} >= {f"{sweep.n_original} tokens", f"{sweep.n_answer} tokens"}
    assert not at.exception and not submitted and not loads
    assert "Agnes Holloway" in at.text_area(key="compression_context").value
    assert at.text_area(key="compression_answer").value == "Agnes Holloway"
    assert "**Example**: a stored result" in shown(at)


def test_a_sweep_is_drawn_with_its_text_to_copy(page, finish, submitted):
    at = finish(press(fill(page)))
    assert not at.exception and not at.error
    assert len([key for key in submitted if key.startswith("compression/")]) == 1
    assert {m.label for m in at.metric} >= {"context", "with context", "without", "difference"}
    assert len(at.get("vega_lite_chart")) == 1
    job = runs.find(at.session_state[state.COMPRESSION_REQUEST])
    frame = job.result.to_frame()
    assert len(frame) == 2 + 2 + 2 * 5
    one = job.result.find("self-information", 0.2, 0)
    assert one.text in [c.value for c in at.code]
    assert f"**{one.n_tokens}** of {one.n_original} tokens" in shown(at)
    assert "**Example**" not in shown(at)
    words = at.segmented_control(key=state.COMPRESSION_PICTURES).set_value("what stays").run()
    assert not words.exception and len(words.get("bidi_component")) == 1
    other = at.select_slider[0].set_value(0.5).run()
    assert job.result.find("self-information", 0.5, 0).text in [c.value for c in other.code]


def test_the_same_sweep_costs_nothing_and_another_unit_runs_again(page, finish, submitted):
    at = finish(press(fill(page)))
    at = finish(press(at))
    assert len(submitted) == 1
    at.segmented_control(key=state.COMPRESSION_UNIT).set_value("token")
    at = finish(press(at.run()))
    assert len(submitted) == 2 and not at.exception


def test_what_is_not_available_says_why(page, finish):
    at = finish(press(fill(page, methods=["llmlingua-2", "first"])))
    assert not at.exception
    assert "llmlingua-2: not available" in shown(at) and "no folder was given" in shown(at)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"compression_context": " "}, "no context"),
        ({"compression_question": ""}, "no question"),
        ({"compression_answer": ""}, "no answer"),
        ({"methods": []}, "No method or no share"),
        ({"shares": []}, "No method or no share"),
    ],
)
def test_bad_input_is_one_sentence(page, finish, more, message):
    at = press(fill(page, **more))
    at = at if at.error else finish(at)  # what the worker finds comes later
    assert not at.exception
    assert message in shown(at) and len(at.error) == 1


def test_a_cancelled_sweep_leaves_the_finished_part(page, finish, monkeypatch):
    from analysis.errors import Cancelled
    from analysis.pruning_effects.compression import sweep as module

    really = module.sweep_compression

    def short(*args, on_partial, **options):
        def enough(partial):
            on_partial(partial)
            if len(partial.readings) == 3:
                raise Cancelled

        return really(*args, on_partial=enough, **options)

    monkeypatch.setattr(module, "sweep_compression", short)
    at = finish(press(fill(page)))
    assert not at.exception
    assert "cancelled" in shown(at) and "finished before it stopped" in shown(at)
    assert len(at.get("vega_lite_chart")) == 1


def test_a_full_queue_is_said(page, monkeypatch):
    def full(*args, **options):
        raise AnalysisError("The queue is full.", "Try again.")

    at = fill(page)
    monkeypatch.setattr(runs.engine().worker, "submit", full)
    at = press(at)
    assert not at.exception and "The queue is full" in shown(at)


def test_it_is_on_the_page_of_pruning(open_page):
    at = open_page("pruning_effects", pruning="prompt")
    assert not at.exception
    assert at.button(key="compression_button") and "**Example**: a stored result" in shown(at)


def test_a_link_sets_methods_and_unit_only(loads, submitted):
    at = AppTest.from_function(script, default_timeout=PATIENCE)
    at.query_params.update({"compress": "magic", "compress_unit": "page", "compression_classifier": "/etc"})
    at = at.run()
    assert not at.exception and not submitted
    assert at.segmented_control(key=state.COMPRESSION_UNIT).value == "word"
    assert at.text_input(key="compression_classifier").value == ""


def test_a_failing_model_is_said(page, finish, monkeypatch):
    from analysis.models import loading

    def broken(spec):
        raise AnalysisError("No such model.", "Choose another.")

    monkeypatch.setattr(loading, "load_model", broken)
    at = finish(press(fill(page)))
    assert not at.exception and "No such model" in shown(at)
