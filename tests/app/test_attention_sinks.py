"""The attention page: numbers of the run on screen, no second forward, experiments on demand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attention_sinks import measures
from analysis.attention_sinks.summary import most_rows
from analysis.drawing.numbers import significant
from analysis.token_entropy.measures import forking_tokens
from app import state
from app.compute import requests as runs
from app.panels.attention_sinks import map as map_panel
from tests.app.conftest import shown, text_field


def result(at):
    return runs.find(at.session_state[state.RUN]).result


@pytest.fixture
def page(open_page, finish):
    """The page after the run and the maps that come with it."""
    return finish(finish(open_page("attention_sinks")))


def look_at(at, view):
    return at.segmented_control(key=state.SINKS_VIEW).set_value(view).run()


def pick(at, key, cell):
    """Click a cell of a map."""
    at.session_state[key] = {"cell": [cell, at.session_state[state.strip_selection(key)].revision]}
    return at.run()


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


@pytest.mark.parametrize("view", ["tokens", "over layers", "experiments", "heads"])
def test_a_view_change_starts_no_forward(page, finish, submitted, view):
    at = page
    for name in (view, "heads"):
        at = finish(look_at(at, name))
        assert not at.exception and not at.error
    assert submitted == []
    assert view == "heads" or at.query_params.get(state.SINKS_VIEW) is None


def test_the_maps_come_with_the_run_whatever_view_is_open(open_page, finish, submitted):
    at = finish(finish(open_page("attention_sinks", sinks="tokens")))
    assert sorted({key.partition("/")[0] for key in submitted}) == ["estimate", "maps", "run"]
    ran = len(submitted)
    finish(look_at(at, "heads"))
    assert len(submitted) == ran


@pytest.mark.parametrize(("key", "value", "said"), [
    ("received", "chosen head", "Attention received"), ("break", "with bos", "Reads the same text again"),
    ("layer", "1", "Layer 1, head"), ("heads", "entropy", "words of Jha and Reagen"),
])  # fmt: skip
def test_old_links_open_the_picture_they_meant(open_page, finish, key, value, said):
    at = finish(open_page("attention_sinks", **{key: value}))
    assert not at.exception
    assert said in shown(at)


def test_a_clicked_head_is_the_one_described(page, finish):
    n_layers = result(page).spec.n_layers
    at = finish(pick(page, "head_map_cells", 2 * n_layers + 1))
    assert not at.exception
    assert (at.session_state[state.LAYER], at.session_state[state.HEAD]) == (1, 2)
    assert (at.query_params[state.LAYER], at.query_params[state.HEAD]) == ("1", "2")
    assert "Layer 1, head 2" in shown(at)
    at = finish(at.button(key="head_right").click().run())
    assert "Layer 1, head 3" in shown(at)


@pytest.fixture
def short_page(open_page, finish):
    """The page of a text whose map has a cell for every pair of tokens."""
    at = open_page("attention_sinks")
    text_field(at, state.TEXT).set_value("the tin in the inn is thin, the inn in the tin is thinner")
    at.button(key="run_button").click()
    return finish(finish(at.run()))


def test_a_clicked_row_of_the_map_is_the_chosen_token(short_page):
    n = len(result(short_page).tokens)
    assert n < most_rows(4)
    at = pick(short_page, "one_head_cells", 7 * n + 3)
    assert at.session_state[state.TOKEN] == 7 and "Token 7 " in shown(at)
    at = at.button(key="token_left").click().run()
    assert at.session_state[state.TOKEN] == 6


def test_a_clicked_row_of_several_tokens_is_the_first_of_them(page):
    trace = result(page)
    n, most = len(trace.tokens), most_rows(trace.attention.n_heads)
    step = -(-n // most)
    assert step > 1
    at = pick(page, "one_head_cells", 7 * -(-n // step) + 3)
    assert at.session_state[state.TOKEN] == 7 * step
    assert "choose fewer tokens" in shown(at)


def test_the_map_is_of_the_chosen_head_and_its_controls_start_no_forward(short_page, submitted):
    attention = result(short_page).attention
    at = short_page.segmented_control(key=state.MAP_SCALE).set_value("log").run()
    at = at.segmented_control(key=state.MAP_SHOWS).set_value("weight × value").run()
    at = at.toggle(key=state.MAP_WITHOUT_FIRST).set_value(True).run()
    assert not at.exception and [key for key in submitted if not key.startswith("estimate")] == []
    row, best = np.unravel_index(int(attention.sink_mass.argmax()), attention.sink_mass.shape)
    assert f"Layer {attention.layer_numbers[row]}, head {best}" in shown(at)
    assert f"Token 0 gets {significant(100 * float(attention.sink_mass.max()))} % of this head" in shown(at)


def test_what_takes_long_waits_for_a_button(open_page, finish, submitted, monkeypatch):
    monkeypatch.setattr(map_panel, "AT_ONCE_SECONDS", -1)
    at = finish(finish(open_page("attention_sinks", layer="1", head="2")))
    assert [key for key in submitted if key.startswith("maps/")] == []
    button = at.button(key="map_button")
    assert button.label == "Draw layer 1, head 2"
    at = finish(button.click().run())
    assert not at.exception and "which token attends to which" in shown(at)


def test_the_stored_example_says_what_comes_with_the_first_run(open_page, monkeypatch):
    monkeypatch.setattr("app.widgets.run_status.model_run", lambda: None)
    monkeypatch.setattr(map_panel, "model_run", lambda: None)
    at = open_page("attention_sinks")
    assert not at.exception and "It comes with the first run" in shown(at)


def test_over_layers_names_the_layer_where_the_largest_state_emerges(page):
    at = look_at(page, "over layers")
    layer, token = measures.emergence(result(at).layers.residual_norm)
    assert f"emerges at layer **{layer}**: token {token} " in shown(at)
    assert f"Size of the states, layer {layer}" in shown(at)
    at = at.button(key="layer_left").click().run()
    assert at.session_state[state.LAYER] == layer - 1
    assert f"Size of the states, layer {layer - 1}" in shown(at)
    at = at.segmented_control(key=state.TRIAD_OF).set_value("chosen token").run()
    assert f"Token {state_token(at)} against the others" in shown(at)


def state_token(at):
    tokens = result(at).tokens
    return int(forking_tokens(tokens.entropy).nonzero()[0][0])


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
    ("view", "experiment", "button", "chart"),
    [
        ("experiments", "break it", "break_button", "Mean change"),
        ("experiments", "streaming", "stream_button", "window 64, first 4"),
        ("over layers", None, "extremes_button", "Largest:"),
    ],
)
def test_experiments_run_when_asked(page, finish, view, experiment, button, chart):
    at = look_at(page, view)
    if experiment:
        at = at.segmented_control(key=state.SINKS_EXPERIMENT).set_value(experiment).run()
    assert chart not in shown(at)
    at = finish(at.button(key=button).click().run())
    assert not at.exception and not at.error
    assert chart in shown(at)


def test_two_texts_are_compared_head_by_head(page, finish):
    at = look_at(page, "experiments")
    at = finish(at.button(key="compare_button").click().run())
    assert not at.exception and not at.error
    assert "The heads that differ most" in shown(at)


def test_a_text_read_in_windows_says_why_there_is_no_attention(open_page, finish):
    at = open_page("attention_sinks", windows="true", stride="500")
    text_field(at, state.TEXT).set_value("the tin in the inn " * 600)
    at.button(key="run_button").click()
    at = finish(at.run())
    assert not at.exception
    assert "Attention: not available" in shown(at) and "windows" in shown(at)
