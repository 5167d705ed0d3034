"""The attention page: numbers of the run on screen, no second forward, experiments on demand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attention_sinks import measures
from app import state
from app.compute import requests as runs
from tests.app.conftest import shown


def result(at):
    return runs.find(at.session_state[state.RUN]).result


@pytest.fixture
def page(open_page, finish):
    return finish(open_page("attention_sinks"))


def test_numbers_are_those_of_the_run(page):
    attention = result(page).attention
    metrics = {m.label: m.value for m in page.metric}
    share = float(metrics["on token 0"].removesuffix(" %"))
    assert share == pytest.approx(100 * float(attention.sink_mass.mean()), rel=0.01)
    assert float(metrics["times uniform"]) == pytest.approx(
        float(measures.against_baseline(attention).mean()), rel=0.01
    )


def test_a_page_change_runs_nothing_again(open_page, finish, submitted):
    at = finish(open_page("token_entropy"))
    ran = [key for key in submitted if key.startswith("run/")]
    at = finish(at.switch_page("../pages/attention_sinks.py").run())
    assert not at.exception
    assert [key for key in submitted if key.startswith("run/")] == ran and len(ran) == 1


def test_a_clicked_head_is_the_one_described(page):
    page.session_state["head_map_chart"] = {"selection": {"pick": [{"layer": 1, "head": 2}]}}
    at = page.run()
    assert not at.exception
    assert (at.session_state[state.LAYER], at.session_state[state.HEAD]) == (1, 2)
    assert at.button(key="map_button").label == "Draw layer 1, head 2"


def test_the_limits_of_head_classes_are_said_to_be_ours(page):
    at = page.segmented_control(key=state.HEAD_QUANTITY).set_value("entropy").run()
    said = shown(at)
    limits = f"Under {100 * measures.COLLAPSED:g} % of uniform a head is called collapsed, over {100 * measures.OVERLOADED:g} %"
    assert f"{limits} overloaded: words of Jha and Reagen 2025, limits of ours." in said
    attention = result(at).attention
    layer, head = np.unravel_index(int(attention.sink_mass.argmax()), attention.sink_mass.shape)
    n = attention.entropy.shape[2]
    rows = attention.entropy[layer, head, 16:].astype(float) / np.log(np.arange(17, n + 1))
    share = rows.mean()
    name = "collapsed" if share < 0.05 else "overloaded" if share > 0.9 else "between"
    assert f" %** of uniform: {name}" in said


@pytest.mark.parametrize(
    ("button", "chart"),
    [
        ("map_button", "Rows sum to 1 within"),
        ("break_button", "Mean change"),
        ("stream_button", "window 64, first 4"),
        ("extremes_button", "Largest:"),
    ],
)
def test_experiments_run_when_asked(page, finish, button, chart):
    assert chart not in shown(page)
    at = finish(page.button(key=button).click().run())
    assert not at.exception and not at.error
    assert chart in shown(at)


def test_two_texts_are_compared_head_by_head(page, finish):
    at = finish(page)
    if at.button(key="compare_button"):
        at = finish(at.button(key="compare_button").click().run())
    assert not at.exception and not at.error
    assert "The heads that differ most" in shown(at)


def test_a_text_read_in_windows_says_why_there_is_no_attention(open_page, finish):
    at = open_page("attention_sinks", windows="true", stride="500")
    at.text_area(key=state.TEXT).set_value("the tin in the inn " * 600)
    at.button(key="run_button").click()
    at = finish(at.run())
    assert not at.exception
    assert "Attention: not available" in shown(at) and "windows" in shown(at)
