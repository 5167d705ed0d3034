"""The card of rules from papers on the page Write: each rule, what is not available, and the one that is measured."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.numbers import significant
from analysis.writing.results import Writing
from analysis.writing.rules.overlays import overlay
from analysis.writing.rules.written import written_overlay
from app import state
from app.panels.write import difficulty, rules, running
from tests.app.conftest import shown
from tests.app.test_write import press_write
from tests.patience import PATIENCE


def titles(at) -> list[str]:
    return [m.value for m in at.markdown if m.value.startswith("**Rules")]


@pytest.mark.parametrize("name", [name for name in rules.RULES if name != rules.MEASURED])
def test_every_rule_is_one_card_along_the_branch(name, open_page, files, submitted):
    at = open_page("write", rule=name)
    assert not at.exception and not at.error
    found = written_overlay(rules.RULES[name][0], running.example_writing(), 0)
    assert at.segmented_control(key=state.RULE).value == name
    assert titles(at) == ["**Rules from papers**"]
    said = shown(at)
    assert (
        found.says in said and found.source in said and found.known in said and rules.RULES[name][1] in said
    )
    assert files.figures["rules.svg"].startswith(b"<svg")
    table = files.tables["rules"]
    assert len(table) == len(found.marks) and table["marked"].sum() == found.marks.sum()
    assert submitted == []


@pytest.mark.parametrize("name", [name for name in rules.RULES if name != rules.MEASURED])
def test_the_code_of_a_card_draws_the_rule(name, open_page, files, monkeypatch, llama):
    import analysis as an

    open_page("write", rule=name)
    monkeypatch.setattr(an, "load_model", lambda: llama, raising=False)
    held: dict[str, object] = {}
    exec(files.codes["rules"], held)
    assert held["found"].rule == rules.RULES[name][0]


def test_an_odd_rule_in_the_address_is_the_first(open_page):
    at = open_page("write", rule="<b>")
    assert not at.exception and at.segmented_control(key=state.RULE).value == "trials"


def test_rules_count_from_the_first_written_token_and_see_no_prompt():
    w = running.example_writing()
    n = len(w.prompt.ids)
    for name in (
        "cautious trials",
        "moving threshold",
        "group confidence",
        "high-entropy windows",
        "surprise gap",
    ):
        whole, own = overlay(name, w.tokens(1), first=n), written_overlay(name, w, 1)
        np.testing.assert_array_equal(own.marks, whole.marks[n:])
        np.testing.assert_array_equal(own.level, whole.level[n:])
        assert len(own.marks) == len(w.path(1)) - n


def test_deep_thinking_is_asked_for_by_a_button(open_page, finish, submitted, files, llama):
    from analysis.writing.layer_divergence import layer_divergence

    at = finish(press_write(open_page("write", rule="deep thinking"), n=12))
    assert "Not available yet" in shown(at) and "rules" not in files.codes
    at.button(key="rule_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    assert sum(key.startswith("deep_thinking/") for key in submitted) == 1
    w: Writing = at.session_state[state.WRITING]
    divergence = layer_divergence(llama, w.path())[:, len(w.prompt.ids) :]
    settling = [next(i for i, d in enumerate([*column[:-1], 0.0]) if d <= 0.5) + 1 for column in divergence.T]
    table = files.tables["rules"]
    assert table["settling_layer"].tolist() == settling and len(table) == 12
    late = int(np.ceil(0.85 * len(divergence)))
    assert table["marked"].tolist() == [layer >= late for layer in settling]


def test_another_model_than_the_one_that_wrote_is_not_asked(open_page, finish, monkeypatch):
    at = finish(press_write(open_page("write", rule="deep thinking"), n=4))
    from dataclasses import replace

    at.session_state[state.WRITING] = replace(at.session_state[state.WRITING], model="another")
    at = at.run()
    at.button(key="rule_button").click()
    at = finish(at.run())
    assert not at.exception and [
        e for e in at.error if "This was written by another" in e.value.replace("\\", "")
    ]


# Entropy against correctness -------------------------------------------------------------------------


@pytest.fixture
def three_questions(monkeypatch):
    from analysis.writing.questions import QUESTIONS

    monkeypatch.setattr(difficulty, "QUESTIONS", QUESTIONS[:3])
    return QUESTIONS[:3]


def test_questions_are_answered_when_a_button_is_pressed(
    open_page, finish, submitted, files, three_questions, llama
):
    from analysis.writing.question_runs import measure_difficulty

    at = open_page("write")
    assert submitted == [] and "difficulty" not in files.tables
    at.number_input(key=state.N_EACH).set_value(2)
    at = at.run()
    at.button(key="difficulty_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    expected = measure_difficulty(llama, three_questions, n=2)
    pd.testing.assert_frame_equal(files.tables["difficulty"], expected.to_frame("nats"))
    assert "3 of 3 questions, 2 answers each" in shown(at) and at.button(key="difficulty_button").disabled
    assert files.figures["difficulty.svg"].startswith(b"<svg")


def test_cancelling_keeps_the_questions_that_were_answered(
    open_page, finish, monkeypatch, three_questions, files
):
    from analysis.writing import question_runs

    reached, go, really = threading.Event(), threading.Event(), question_runs.answer_question

    def answer(model, question, n, **more):
        if question is three_questions[1]:
            reached.set()
            assert go.wait(PATIENCE)
        return really(model, question, n, **more)

    monkeypatch.setattr(question_runs, "answer_question", answer)
    at = open_page("write")
    at.button(key="difficulty_button").click()
    at = at.run()
    assert reached.wait(PATIENCE)
    at = at.run()
    assert at.get("progress") and at.button(key="difficulty_button").disabled
    next(b for b in at.button if b.key and b.key.startswith("cancel_")).click()
    at = at.run()
    go.set()
    at = finish(at)
    assert not at.exception and not at.error
    assert "1 of 3 questions, 4 answers each" in shown(at) and len(files.tables["difficulty"]) == 1
    assert not at.button(key="difficulty_button").disabled


# Steering ---------------------------------------------------------------------------------------------


def test_steering_is_computed_on_a_button_and_read_at_a_strength(
    open_page, finish, files, llama, monkeypatch
):
    from analysis.writing import steering_run

    monkeypatch.setattr(steering_run, "CHOICES", ("a", "b"))  # the tiny model's tokens
    at = open_page("write")
    assert "steering" not in files.tables
    at.button(key="steering_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    expected = steering_run.measure_steering(llama)
    assert (
        f"At strength 0 the entropy over Yes and No is {significant(expected.entropy[5].mean())} nats"
        in shown(at)
    )
    at.slider(key=state.STRENGTH).set_value(0.3)
    at = at.run()
    said = shown(at)
    assert (
        f"At strength 0.3 the entropy over Yes and No is {significant(expected.entropy[8].mean())} nats"
        in said
    )
    assert f"{significant(100 * expected.mass[8].mean())} % of the probability" in said
    assert len(files.tables["steering"]) == 11 * 4 and files.figures["steering.svg"].startswith(b"<svg")
