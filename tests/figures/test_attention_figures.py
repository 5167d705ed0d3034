"""Every picture of attention sinks: what is drawn, from which numbers, in both themes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.attention_sinks import curve_figures, figures
from analysis.drawing.charts import MAX_POINTS, chart_svg
from analysis.drawing.theme import theme
from analysis.results.attention import AttentionTrace
from tests.figures.synthetic import HOSTILE, run

L, H, G = 4, 6, 3


PER_LAYER = [
    "entropy",
    "received",
    "sink_mass",
    "sink_baseline",
    "distance",
    "value_norm",
    "key_norm",
    "window",
]


def attended(n=60, *, learned=True, seed=0, **options):
    """A run of four layers and six heads with made-up attention."""
    rng = np.random.default_rng(seed)

    def values(*shape):
        return rng.uniform(0.05, 0.95, shape).astype(np.float32)

    attention = AttentionTrace(
        entropy=values(L, H, n),
        received=values(L, H, n),
        sink_mass=values(L, H),
        sink_baseline=values(L),
        distance=values(L, H) * n,
        value_norm=values(L, G, n),
        key_norm=values(L, G, n),
        window=np.array([0, 16, 0, 16], np.int32),
        learned_sink=values(L, H) if learned else None,
        gate=values(L, H) if learned else None,
    )
    return replace(run(n, **options), attention=attention)


@pytest.fixture(scope="module")
def trace():
    return attended()


def build(name, trace, **options):
    """Every chart of the module by name."""
    if name == "head_difference":
        return figures.head_difference(trace, attended(seed=1), ("prose", "code"), **options)
    if name.startswith("head_map "):
        return figures.head_map(trace, name.removeprefix("head_map "), **options)
    return getattr(figures, name)(trace, **options)


CHARTS = (
    *(f"head_map {quantity}" for quantity in figures.HEAD_QUANTITIES),
    *("head_difference", "triad_chart", "entropy_against_position"),
)
each_chart = pytest.mark.parametrize("name", CHARTS)


def parts(spec):
    """Charts with an encoding inside a spec."""
    inner = [p for key in ("layer", "vconcat", "hconcat") for c in spec.get(key, []) for p in parts(c)]
    return ([spec] if "encoding" in spec else []) + inner


def frames(spec):
    return {name: pd.DataFrame(rows) for name, rows in spec["datasets"].items()}


def test_every_figure_is_tested():
    drawn = {n for n in figures.__all__ if n[0].islower()} - {
        *("difference_frame", "need_attention", "received", "received_strip"),
    }
    assert drawn == {name.split()[0] for name in CHARTS}
    assert figures.triad_chart is curve_figures.triad_chart


@each_chart
def test_charts_are_valid_and_name_their_axes(name, trace):
    spec = build(name, trace).to_dict(validate=True)
    assert parts(spec)
    for part in parts(spec):
        for axis in ("x", "y"):
            assert part["encoding"][axis]["title"], axis
        if "heat" not in name and "color" in part["encoding"] and part["mark"]["type"] == "rect":
            assert part["encoding"]["color"]["title"]


@each_chart
def test_charts_follow_the_theme(name, trace):
    light, dark = (build(name, trace, theme_name=t).to_dict() for t in ("light", "dark"))
    assert light["config"]["background"] == theme("light").ground
    assert dark["config"]["background"] == theme("dark").ground
    assert light["datasets"] == dark["datasets"]
    assert json.dumps(parts(light)) != json.dumps(parts(dark)), "the marks have their colours too"


@each_chart
def test_charts_become_svg(name, trace):
    svg = chart_svg(build(name, attended(texts=HOSTILE)))
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg") and float(root.get("width")) > 500
    assert b"<script" not in svg and b"NaN" not in svg


def svg_width(chart):
    return float(ET.fromstring(chart_svg(chart)).get("width"))


def test_a_file_has_a_width_in_every_panel(trace):
    """Charts inside a column or a row of charts fill no container in a file either."""
    import altair as alt

    frame = pd.DataFrame({"x": [0, 1], "y": [0, 1]})
    one = alt.Chart(frame).mark_line().encode(x="x:Q", y="y:Q").properties(width="container", height=50)
    assert svg_width(one) > 700
    assert svg_width(alt.vconcat(one, one)) == pytest.approx(svg_width(one), abs=20)
    assert svg_width(alt.hconcat(one, one)) > 1400
    assert svg_width(alt.layer(one, one)) == pytest.approx(svg_width(one), abs=20)
    assert svg_width(figures.triad_chart(trace)) > 600


@each_chart
def test_the_same_run_gives_the_same_chart(name, trace):
    assert build(name, trace).to_dict() == build(name, attended()).to_dict()


# Heads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", figures.HEAD_QUANTITIES)
def test_one_cell_a_head_with_its_number(trace, quantity):
    spec = figures.head_map(trace, quantity).to_dict()
    (cells,) = frames(spec).values()
    assert len(cells) == L * H and not cells.duplicated(["layer", "head"]).any()
    column, title = figures.HEAD_QUANTITIES[quantity]
    colour = parts(spec)[0]["encoding"]["color"]
    assert colour["field"] == column and colour["title"] == title
    direct = {
        "sink_mass": "sink_mass",
        "distance": "distance",
        "learned_sink": "learned_sink",
        "gate": "gate",
    }
    if quantity in direct:
        expected = getattr(trace.attention, direct[quantity])
        np.testing.assert_allclose(cells.pivot(index="layer", columns="head", values=column), expected)
    low, high = colour["scale"]["domain"]
    assert low == 0 and high == (
        1 if cells[column].max() <= 1 and "mean" not in title else cells[column].max()
    )


def test_units_are_said():
    titles = dict(figures.HEAD_QUANTITIES.values())
    assert "tokens" in titles["mean_distance_tokens"] and "uniform" in titles["times_uniform"]
    assert "ln" in titles["entropy_normalised"]


def test_the_last_colour_can_be_set(trace):
    spec = figures.head_map(trace, "sink_mass", high=0.3).to_dict()
    assert parts(spec)[0]["encoding"]["color"]["scale"]["domain"] == [0, 0.3]


def test_a_model_without_a_learned_sink_or_gate_has_no_map_of_it():
    with pytest.raises(ValueError, match="no learned sink"):
        figures.head_map(attended(learned=False), "learned_sink")
    with pytest.raises(ValueError, match="no output passed on"):
        figures.head_map(attended(learned=False), "gate")


def test_layers_without_attention_are_struck_through_at_their_place():
    whole = attended()
    some = {name: getattr(whole.attention, name)[[1, 3]] for name in PER_LAYER}
    hybrid = replace(whole, attention=AttentionTrace(**some, layer_numbers=np.array([1, 3], np.int32)))
    spec = figures.head_map(hybrid, "sink_mass").to_dict()
    cells, struck = frames(spec).values()
    assert set(cells["layer"]) == {1, 3} and len(cells) == 2 * H
    assert set(struck["layer"]) == {0, 2} and set(struck["not available"]) == {"no softmax attention"}
    value = cells.pivot(index="layer", columns="head", values="sink_mass").loc[3]
    np.testing.assert_allclose(value, whole.attention.sink_mass[3])
    sink = curve_figures.triad_panels(hybrid, 0)[0].to_dict()
    (points,) = frames(sink).values()
    assert sorted(set(points["layer"])) == [1, 3]
    strip = figures.received_strip(hybrid, layer=3)
    np.testing.assert_allclose(strip.values, whole.attention.received[3].mean(0), rtol=1e-6)
    with pytest.raises(ValueError, match="layer 2 has no"):
        figures.received_strip(hybrid, layer=2)


def test_a_short_text_has_gaps_and_not_made_up_numbers():
    """At 5 tokens no key is seen by 8 queries and no row counts."""
    short = attended(5)
    for quantity in ("strongest", "entropy"):
        (cells,) = frames(figures.head_map(short, quantity).to_dict()).values()
        assert cells[figures.HEAD_QUANTITIES[quantity][0]].isna().all()
        ET.fromstring(chart_svg(figures.head_map(short, quantity)))


def test_the_difference_of_two_runs(trace):
    other = attended(90, seed=1)
    spec = figures.head_difference(trace, other, ("prose", "code")).to_dict()
    (cells,) = frames(spec).values()
    expected = trace.attention.sink_mass.astype(float) - other.attention.sink_mass
    np.testing.assert_allclose(cells.pivot(index="layer", columns="head", values="difference"), expected)
    colour = parts(spec)[0]["encoding"]["color"]
    low, high = colour["scale"]["domain"]
    assert low == -high and high == pytest.approx(np.abs(expected).max())
    assert "prose minus code" in colour["title"]
    same = figures.head_difference(trace, trace, ("a", "b")).to_dict()
    assert parts(same)[0]["encoding"]["color"]["scale"]["domain"][1] > 0


def test_models_of_other_shapes_cannot_be_compared(trace):
    other = attended()
    fewer = replace(other.attention, sink_mass=other.attention.sink_mass[:2])
    with pytest.raises(ValueError, match="cannot be compared"):
        figures.head_difference(trace, replace(other, attention=fewer), ("a", "b"))


@pytest.mark.parametrize("name", [*CHARTS, "received", "received_strip"])
def test_without_attention_there_is_no_figure(name):
    with pytest.raises(ValueError, match="did not measure attention"):
        build(name, run())


# The text ---------------------------------------------------------------------------------------------


def test_the_strip_shows_the_mean_of_what_was_picked(trace):
    received = trace.attention.received.astype(float)
    for options, expected, said in [
        ({}, received.mean((0, 1)), "all heads"),
        ({"layer": 2}, received[2].mean(0), "layer 2"),
        ({"layer": 2, "head": 5}, received[2, 5], "layer 2, head 5"),
    ]:
        strip = figures.received_strip(trace, **options)
        np.testing.assert_allclose(strip.values, expected, rtol=1e-6)
        assert strip.title.endswith(said) and strip.unit == "of a query's attention"
        assert strip.low == 0 and strip.high == pytest.approx(np.percentile(expected[1:], 99))
        np.testing.assert_array_equal(strip.cell, trace.tokens.cell)
        assert not np.array_equal(strip.light, strip.dark)


def test_the_first_token_does_not_set_the_last_colour(trace):
    """A sink would leave every other token in the first colour."""
    received = np.full_like(trace.attention.received, 0.01)
    received[:, :, 0] = 1
    sunk = replace(trace, attention=replace(trace.attention, received=received))
    assert figures.received_strip(sunk).high == pytest.approx(0.01)


def test_the_text_is_escaped():
    html = figures.received(attended(texts=HOSTILE))
    assert "<img src=x" not in html.html if hasattr(html, "html") else "<img src=x" not in str(html)


# Over layers and positions ----------------------------------------------------------------------------


def test_the_triad_shows_the_measured_numbers(trace):
    spec = figures.triad_chart(trace, 3).to_dict()
    data = frames(spec)
    assert len(spec["vconcat"]) == 3
    tables = [f for f in data.values() if "low" in f]
    sink = next(f for f in tables if np.allclose(f["value"], trace.attention.received[:, :, 3].mean(1)))
    np.testing.assert_allclose(sink["low"], trace.attention.received[:, :, 3].min(1), rtol=1e-6)
    np.testing.assert_allclose(sink["high"], trace.attention.received[:, :, 3].max(1), rtol=1e-6)
    (residual,) = [f for f in data.values() if "low" not in f]
    assert len(residual) == 3 * (L + 1)
    assert set(residual["who"]) == {"token 3", "others, median", "others, largest"}


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_entropy_against_position_is_in_its_unit(trace, unit):
    spec = figures.entropy_against_position(trace, unit=unit).to_dict()
    (data,) = frames(spec).values()
    factor = 1 if unit == "nats" else 1 / np.log(2)
    uniform = data[data["series"] == "uniform: ln N"]["value"].to_numpy()
    np.testing.assert_allclose(uniform, np.log(np.arange(60) + 1) * factor)
    full = trace.attention.entropy[[0, 2]].astype(float).mean((0, 1)) * factor  # layers without a window
    np.testing.assert_allclose(data[data["series"] == "mean row entropy"]["value"], full, rtol=1e-5)
    assert parts(spec)[0]["encoding"]["y"]["title"] == unit


def test_long_texts_are_averaged_and_say_so():
    spec = figures.entropy_against_position(attended(MAX_POINTS + 1)).to_dict()
    (data,) = frames(spec).values()
    assert len(data) <= 3 * MAX_POINTS
    assert parts(spec)[0]["encoding"]["x"]["title"] == "token, mean of 2"
