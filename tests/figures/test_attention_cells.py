"""Attention as maps of cells, sizes of states, and the two entropies: what is drawn, from which numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.attention_sinks import figures
from analysis.attention_sinks.cells import SHARES, attended_keys, cell_of, head_cells, map_cells
from analysis.attention_sinks.maps import HeadMap
from analysis.attention_sinks.state_figures import (
    attention_scatter,
    entropy_scatter_frame,
    rank_correlation,
    state_size_frame,
    state_sizes,
)
from analysis.attention_sinks.summary import leaning_head, map_seconds, most_rows
from analysis.drawing.charts import chart_svg
from analysis.drawing.strip import MARKED
from analysis.drawing.theme import theme
from analysis.results.attention import AttentionTrace
from tests.figures.synthetic import data_of
from tests.figures.test_attention_figures import PER_LAYER, H, L, attended


@pytest.fixture(scope="module")
def trace():
    return attended()


def map_by_hand(weights, *, first=0, step=1, **more):
    weights = np.asarray(weights, np.float32)
    edges = first + step * np.arange(len(weights) + 1)
    base = {"layer": 2, "head": 5, "pool": "max", "row_sum_error": 0.0, "entropy_error": 0.0, "note": ""}
    return HeadMap(weights, edges, edges, **{**base, **more})


TRIANGLE = [[1, np.nan, np.nan], [0.9, 0.1, np.nan], [0.5, 0.2, 0.3]]


@pytest.mark.parametrize("quantity", figures.HEAD_QUANTITIES)
def test_heads_are_rows_and_layers_columns(trace, quantity):
    cells = head_cells(trace, quantity)
    assert cells.values.shape == (H, L) and cells.scale == "linear"
    direct = {
        "sink_mass": "sink_mass",
        "distance": "distance",
        "learned_sink": "learned_sink",
        "gate": "gate",
    }
    if quantity in direct:
        times = 100 if quantity in SHARES else 1
        expected = times * getattr(trace.attention, direct[quantity]).T
        np.testing.assert_allclose(cells.values, expected, rtol=1e-6)
    assert cells.unit == ("%" if quantity in SHARES else "") and not cells.capped
    assert cells.rows.names[3] == "head 3" and cells.columns.labels[-1] == str(L - 1)


def test_layers_without_attention_have_no_value():
    whole = attended()
    some = {name: getattr(whole.attention, name)[[1, 3]] for name in PER_LAYER}
    hybrid = replace(whole, attention=AttentionTrace(**some, layer_numbers=np.array([1, 3], np.int32)))
    cells = head_cells(hybrid)
    assert np.isnan(cells.values).all(0).tolist() == [True, False, True, False]
    np.testing.assert_allclose(cells.values[:, 3], 100 * whole.attention.sink_mass[3], rtol=1e-6)
    assert cells.missing == "no softmax attention"


def test_a_map_is_in_percent_and_ends_at_its_largest(trace):
    cells = map_cells(map_by_hand(TRIANGLE), trace)
    np.testing.assert_allclose(cells.values, 100 * np.float32(TRIANGLE), rtol=1e-6)
    assert cells.high == 100 and cells.scale == "square root" and cells.missing == "not visible"
    assert cells.rows.names[1] == "query 1 “·beta”" and cells.columns.names[2] == "key 2 “↵”"
    without = map_cells(map_by_hand(TRIANGLE), trace, without_first=True)
    assert np.isnan(without.values[:, 0]).all() and without.high == pytest.approx(30)
    np.testing.assert_allclose(without.values[2, 1:], [20, 30], rtol=1e-6)
    assert "left out" in without.missing
    later = map_cells(map_by_hand(TRIANGLE, first=7), trace, without_first=True)
    assert later.values[0, 0] == 100, "the first column of a part is not token 0"


def test_a_linear_scale_is_not_bleached_by_one_column(trace):
    weights = np.full((40, 40), 0.001)
    weights[0, 0] = 0.9
    cells = map_cells(map_by_hand(weights), trace, scale="linear")
    assert cells.high == pytest.approx(9) and cells.capped, "at least a tenth of the largest"
    assert not map_cells(map_by_hand(weights), trace, scale="log").capped


def test_a_contribution_is_weight_times_the_norm_of_the_value(trace):
    """Head 5 of 6 reads the values of KV head 2 of 3."""
    norms = trace.attention.value_norm[2, 2, :3]
    cells = map_cells(map_by_hand(TRIANGLE), trace, contribution=True)
    np.testing.assert_allclose(cells.values, np.float32(TRIANGLE) * norms, rtol=1e-5)
    assert cells.unit == "" and "value norm" in cells.title
    frame = attended_keys(map_by_hand(TRIANGLE), trace, 2)
    assert frame["key"].tolist() == [0, 2, 1] and frame["token"].tolist() == ["alpha", "↵", "·beta"]
    np.testing.assert_allclose(frame["weight"], [0.5, 0.3, 0.2], rtol=1e-6)
    gives = np.array([0.5, 0.3, 0.2]) * norms[[0, 2, 1]]
    np.testing.assert_allclose(frame["contribution"], gives / gives.sum(), rtol=1e-6)
    assert attended_keys(map_by_hand(TRIANGLE), trace, 0)["key"].tolist() == [0], "it sees one key"
    assert attended_keys(map_by_hand(TRIANGLE, first=4), trace, 6)["key"].tolist() == [4, 6, 5]


def test_cells_of_several_tokens_say_which(trace):
    cells = map_cells(map_by_hand(TRIANGLE, step=4), trace)
    assert cells.title.startswith("largest weight")
    assert cells.columns.labels == ("0", "4", "8") and cells.columns.names[1] == "key 4 “·beta” to 7 “·beta”"
    edges = np.array([4, 8, 12])
    assert [cell_of(edges, t) for t in (3, 4, 7, 8, 11, 12)] == [None, 0, 0, 1, 1, None]


def test_the_head_that_leans_most(trace):
    mass = np.zeros((L, H), np.float32)
    mass[1, 4], mass[3, 2] = 0.8, 0.5
    attention = replace(trace.attention, sink_mass=mass)
    assert leaning_head(attention) == (1, 4) and leaning_head(attention, 3) == (3, 2)


def test_price_and_size_of_a_map(trace):
    timed = replace(trace, seconds={"body": 8.0, "head": 100.0})
    assert map_seconds(timed, 0) == 2 and map_seconds(timed, 3) == 8
    assert np.isnan(map_seconds(trace, 0))
    assert (most_rows(9), most_rows(64)) == (384, 250)


def test_capped_tokens_are_marked_and_the_legend_says_so(trace):
    received = np.full_like(trace.attention.received, 0.01)
    received[:, :, 0] = 0.35
    strip = figures.received_strip(replace(trace, attention=replace(trace.attention, received=received)))
    assert strip.ends == ("0", "0.01 and more of a query's attention")
    assert np.flatnonzero(strip.flags & MARKED).tolist() == [0] and strip.marked == "more than 0.01"
    received[:, :, 0] = 0.01
    even = figures.received_strip(replace(trace, attention=replace(trace.attention, received=received)))
    assert not (even.flags & MARKED).any() and even.marked == "" and "more" not in even.ends[1]


# Sizes of states ---------------------------------------------------------------------------------------


def peaked(n):
    norms = np.ones((5, n), np.float32)
    norms[2, 3], norms[2, 5] = 4000, 0.5
    whole = attended(n)
    return replace(whole, layers=replace(whole.layers, residual_norm=norms))


def test_sizes_of_states_are_bars_on_a_log_axis():
    spec = state_sizes(peaked(60), 2, 3).to_dict(validate=True)
    bars, rule = spec["layer"]
    drawn = data_of(spec, bars)
    assert len(drawn) == 60 and drawn["state_norm"].max() == 4000 and drawn["times_median"].max() == 4000
    scale = bars["encoding"]["y"]["scale"]
    assert scale["type"] == "log" and scale["domain"][0] < 0.5 and scale["domain"][1] > 4000
    assert (drawn["base"] < drawn["state_norm"]).all() and data_of(spec, rule)["median"].tolist() == [1]
    assert "datum.position <= 3 && 3 < datum.position + 1" in str(bars["encoding"]["color"])
    assert "e+" not in chart_svg(state_sizes(peaked(60), 2)).decode()


def test_a_long_text_keeps_its_largest_state():
    spec = state_sizes(peaked(1300), 2).to_dict()
    drawn = data_of(spec, spec["layer"][0])
    assert len(drawn) == 434 and drawn["state_norm"].max() == 4000
    assert len(state_size_frame(peaked(1300), 2)) == 1300


def test_the_table_of_states():
    frame = state_size_frame(peaked(10), 2)
    assert frame["state_norm"].tolist()[3:6] == [4000, 1, 0.5] and frame["token"][1] == "·beta"
    np.testing.assert_allclose(frame["times_median"], frame["state_norm"])


# Two entropies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_the_scatter_is_in_its_unit_and_marks_the_token(trace, unit):
    frame = entropy_scatter_frame(trace, unit)
    assert frame["position"].tolist() == list(range(17, 60))
    factor = 1 if unit == "nats" else 1 / np.log(2)
    np.testing.assert_allclose(frame["token_entropy"], trace.tokens.entropy[17:] * factor, rtol=1e-6)
    spec = attention_scatter(trace, 20, unit=unit).to_dict(validate=True)
    cloud, marked = spec["layer"]
    assert len(data_of(spec, cloud)) == 43 and data_of(spec, marked)["position"].tolist() == [20]
    assert cloud["encoding"]["y"]["title"] == f"token entropy, {unit}"
    dark = attention_scatter(trace, theme_name="dark").to_dict()
    assert dark["config"]["background"] == theme("dark").ground


def test_rank_correlation_is_spearmans(trace):
    frame = entropy_scatter_frame(trace)
    rising = frame.assign(token_entropy=np.exp(30 * frame["attention_entropy"]))
    assert rank_correlation(rising) == pytest.approx(1)
    assert rank_correlation(rising.assign(token_entropy=-rising["token_entropy"])) == pytest.approx(-1)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) for ranks 1 2 3 4 against 2 1 4 3
    four = frame.head(4).assign(attention_entropy=[1.0, 2, 3, 4], token_entropy=[20.0, 1, 4000, 30])
    assert rank_correlation(four) == pytest.approx(1 - 6 * 4 / 60)
    assert np.isnan(rank_correlation(frame.head(2)))
    assert np.isnan(rank_correlation(frame.assign(token_entropy=1.0)))
