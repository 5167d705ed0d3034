"""One head's map, streaming curves and changed surprisal: what is drawn, from which numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.attention_sinks.maps import HeadMap
from analysis.attention_sinks.streaming import VIEWS, StreamingResult
from analysis.drawing.charts import MAX_POINTS, chart_svg, plotly_html
from analysis.drawing.theme import OKABE_ITO, theme
from tests.figures.synthetic import HOSTILE, data_of, run


def head_map(n=60, step=1, pool="max"):
    """The map of a head that looks at token 0 with weight 1/2."""
    cells = -(-n // step)
    values = np.tril(np.full((cells, cells), 0.01, np.float32))
    values[:, 0] = 0.5
    values[np.triu_indices(cells, 1)] = np.nan
    edges = np.array([*range(0, n, step), n])
    return HeadMap(values, edges, edges, 3, 1, pool, 0.0, 0.0, "")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    surprisal = {p: rng.uniform(1, 3, 200).astype(np.float32) for p in VIEWS}
    return StreamingResult("m", 200, 64, 4, surprisal).to_frame()


@pytest.fixture(scope="module")
def change():
    position = np.arange(6)
    before = np.array([np.nan, 1.0, 2.0, 3.0, 1.0, 2.0])
    delta = np.array([0.0, 0.5, -1.0, 0.0, 2.0, -0.25])
    return pd.DataFrame(
        {
            "position": position,
            "token": ["a", " b", "\n", "<b>", "d", "e"],
            "tokens_before": 1,
            "tokens_after": 1,
            "surprisal_before": before,
            "surprisal_after": before + delta,
            "change": before + delta - before,
        }
    )


def test_a_map_is_query_by_key_with_token_0_in_the_corner():
    figure = figures.head_map_figure(head_map(), run())
    heat, layout = figure.data[0], figure.layout
    np.testing.assert_array_equal(np.asarray(heat.z, np.float32), head_map().values)
    assert layout.xaxis.title.text == "key token" and layout.yaxis.title.text == "query token"
    assert layout.yaxis.autorange == "reversed" and not heat.hoverongaps
    assert list(heat.x) == list(heat.y) and len(set(heat.x)) == 60
    assert heat.x[1] == "1 “·beta”" and "weight %{z" in heat.hovertemplate
    assert (heat.zmin, heat.zmax) == (0, pytest.approx(0.5))
    assert heat.colorscale[-1][1] == theme("light").pictures["attention_sinks"].lower()
    assert layout.xaxis.ticktext[1] == str(layout.xaxis.tickvals[1]) == "5"
    assert b"<html>" in plotly_html(figure)[:100]


def test_cells_of_several_tokens_say_so():
    figure = figures.head_map_figure(head_map(step=7, pool="mean"), run(), "dark")
    heat, layout = figure.data[0], figure.layout
    assert layout.xaxis.title.text == "key token (7 tokens a cell)"
    assert heat.x[0] == "0 “alpha” to 6 “alpha”" and heat.x[-1] == "56 “↵” to 59 “↵”"
    assert "mean weight" in heat.hovertemplate and list(layout.xaxis.ticktext)[:2] == ["0", "7"]
    assert "largest weight" in figures.head_map_figure(head_map(step=7), run()).data[0].hovertemplate
    assert heat.colorscale[-1][1] == theme("dark").pictures["attention_sinks"].lower()


def test_one_loud_cell_does_not_bleach_the_rest_and_is_not_drowned():
    quiet = head_map(512)
    quiet.values[:] = np.tril(np.full((512, 512), 1e-4))
    quiet.values[400, 3] = 0.9
    figure = figures.head_map_figure(quiet, run(512))
    assert figure.data[0].zmax == pytest.approx(0.09)


def test_a_hover_renders_nothing():
    trace = run(60, texts=HOSTILE)
    shown = " ".join(figures.head_map_figure(head_map(), trace).data[0].x)
    assert "<" not in shown and "&lt;img" in shown and "\ud800" not in shown


def test_a_map_of_another_run_is_refused():
    with pytest.raises(ValueError, match="not of this run"):
        figures.head_map_figure(head_map(61), run(60))


def test_streaming_has_a_colour_and_a_dash_per_policy_on_a_log_axis(frame):
    spec = figures.streaming_figure(frame, window=64).to_dict()
    lines, rule = spec["layer"]
    y, colour, dash = (lines["encoding"][c] for c in ("y", "color", "strokeDash"))
    assert y["scale"]["type"] == "log" and y["title"] == "perplexity of the last tokens"
    assert colour["scale"]["domain"] == list(VIEWS) and set(colour["scale"]["range"]) < set(OKABE_ITO)
    assert len({json.dumps(d) for d in dash["scale"]["range"]}) == 3
    drawn = data_of(spec, lines)
    assert len(drawn) == len(frame)
    np.testing.assert_allclose(drawn["drawn"], np.exp(frame["running_mean"]))
    assert data_of(spec, rule)["position"].tolist() == [64]
    so_far = figures.streaming_figure(frame, "so far").to_dict()
    assert len(so_far["layer"]) == 1
    np.testing.assert_allclose(data_of(so_far, so_far["layer"][0])["drawn"], frame["perplexity"])
    assert chart_svg(figures.streaming_figure(frame, window=64)).startswith(b"<svg")


def test_a_long_stream_is_thinned_and_keeps_its_end():
    n = 9000
    surprisal = {p: np.linspace(1, 2, n, dtype=np.float32) for p in VIEWS}
    long = StreamingResult("m", n, 64, 4, surprisal).to_frame()
    spec = figures.streaming_figure(long).to_dict()
    drawn = data_of(spec, spec["layer"][0])
    assert len(drawn) <= MAX_POINTS + 3 and drawn["position"].max() == n - 1
    assert spec["layer"][0]["encoding"]["x"]["title"] == "token, every 7 tokens"
    own = drawn[(drawn["policy"] == "window only") & (drawn["position"] == 701)]
    whole = long[(long["policy"] == "window only") & (long["position"] == 701)]
    assert own["drawn"].item() == pytest.approx(math.exp(whole["running_mean"].item()))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_changes_go_up_in_orange_and_down_in_blue(change, name):
    spec = figures.surprisal_change_figure(change, theme_name=name).to_dict()
    bars = spec["layer"][1]
    drawn = data_of(spec, bars)
    assert drawn["position"].tolist() == [1, 2, 3, 4, 5]  # the first token had no context
    np.testing.assert_allclose(drawn["change"], [0.5, -1.0, 0.0, 2.0, -0.25])
    more, less = "more surprised", "less surprised"
    assert drawn["side"].tolist() == [more, less, more, more, less]
    scale = bars["encoding"]["color"]["scale"]
    assert scale == {"domain": [more, less], "range": [theme(name).positive, theme(name).negative]}
    assert bars["encoding"]["y2"] == {"datum": 0} and "(nats)" in bars["encoding"]["y"]["title"]
    assert drawn["token"].tolist()[:2] == ["·b", "↵"]


def test_changes_in_bits(change):
    spec = figures.surprisal_change_figure(change, unit="bits").to_dict()
    drawn = data_of(spec, spec["layer"][1])
    np.testing.assert_allclose(drawn["change"], np.array([0.5, -1.0, 0.0, 2.0, -0.25]) / math.log(2))
    assert "(bits)" in spec["layer"][1]["encoding"]["y"]["title"]
    assert chart_svg(figures.surprisal_change_figure(change)).startswith(b"<svg")


def test_many_changes_are_averaged(change):
    long = pd.concat([change.iloc[1:]] * 2000, ignore_index=True).assign(position=np.arange(10000))
    spec = figures.surprisal_change_figure(long).to_dict()
    drawn = data_of(spec, spec["layer"][1])
    assert len(drawn) == -(-10000 // 3) <= MAX_POINTS
    assert drawn["change"][0] == pytest.approx((0.5 - 1.0) / 3)
    assert spec["layer"][1]["encoding"]["x"]["title"] == "token, mean of 3"


def test_nothing_to_compare_is_an_empty_figure(change):
    spec = figures.surprisal_change_figure(change.iloc[:1]).to_dict()
    assert spec["layer"][1]["mark"]["type"] == "rule"
