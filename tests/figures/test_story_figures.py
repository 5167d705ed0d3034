"""The pictures of the overview: what is drawn, from which numbers, in both themes, and as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from analysis.attention_sinks.token_attention import TokenAttention
from analysis.drawing.charts import chart_svg
from analysis.drawing.strip import SPAN
from analysis.drawing.theme import theme
from analysis.pruning_effects.eviction.survival import Survival
from analysis.results.spectra import renyi_entropy
from analysis.story.figures import entropy_by_layer, sinks_by_layer, who_keeps, who_keeps_frame
from analysis.story.numbers import path
from analysis.story.strips import COLOURS, story_strip, with_attending
from analysis.token_entropy.expected import Word, likely_tokens
from app.panels.overview import story_html
from app.widgets.choices_html import choices_html, percent
from tests.figures.synthetic import HOSTILE, run
from tests.figures.test_attention_figures import attended

N = 60


def data_of(chart, column):
    """Every row with a column in a chart's data sets."""
    spec = chart.to_dict()
    frames = [pd.DataFrame(rows) for rows in spec["datasets"].values()]
    return next(frame for frame in frames if column in frame)


def with_spectra(trace):
    shares = np.random.default_rng(3).uniform(0.1, 1, (2, 5, 20))
    shares = -np.sort(-shares / shares.sum(-1, keepdims=True), axis=-1)
    spec = replace(trace.spec, spectra=("states",))
    return replace(trace, spec=spec, layers=replace(trace.layers, spectrum=shares))


@pytest.fixture(scope="module")
def survived():
    held = np.zeros((2, 3, 40), np.float32)
    held[0, :, 7] = [0.2, 0.6, 1.0]
    held[1, :, 7] = [np.nan, 0.1, 0.4]
    held[1, 0] = np.nan
    return Survival(
        ("h2o", "expected"), ("H2O", "expected <b>attention</b>"), np.array([0.1, 0.3, 0.55]), held,
        np.zeros((2, 3, 20), np.float32), np.zeros(20, np.float32), (4, 3),
    )  # fmt: skip


def test_pictures_over_layers_share_their_axis():
    trace = with_spectra(attended(N))
    charts = [sinks_by_layer(trace, 2, pick=True), entropy_by_layer(trace, 2, pick=True)]
    for chart in charts:
        spec = chart.to_dict()
        axes = [layer["encoding"]["x"] for layer in spec["layer"]]
        assert [axis["scale"]["domain"] for axis in axes if "scale" in axis] == [[-0.5, 4.5]] * (
            1 if chart is charts[0] else 3
        )
        extents = [
            layer["encoding"]["y"]["axis"]
            for layer in spec["layer"]
            if "axis" in layer["encoding"].get("y", {})
        ]
        assert {(e["minExtent"], e["maxExtent"]) for e in extents} == {(34, 34)}
        rules = [layer for layer in spec["layer"] if layer["mark"].get("type") == "rule"]
        assert len(rules) == 1 and rules[0]["mark"]["color"] == theme("light").ink
        assert spec["datasets"][rules[0]["data"]["name"]] == [{"layer": 2}]
        assert chart_svg(chart).startswith(b"<svg")
    cells = data_of(charts[0], "sink_mass")
    np.testing.assert_allclose(cells["sink_mass"], trace.attention.sink_mass.ravel(), rtol=1e-6)
    assert (cells["right"] - cells["left"]).eq(1).all() and cells["left"].add(0.5).tolist() == cells[
        "layer"
    ].tolist()


def test_matrix_entropy_is_in_the_unit():
    trace = with_spectra(attended(N))
    values = data_of(entropy_by_layer(trace, 1, unit="bits"), "value")
    whole = values[values["tokens"] == "all tokens"].sort_values("layer")["value"]
    np.testing.assert_allclose(whole, renyi_entropy(trace.layers.spectrum[0]) / np.log(2))


def test_who_keeps_draws_shares_lines_and_refusals(survived):
    frame = who_keeps_frame(survived, 7)
    assert frame["kept"].tolist() == [10, 30, 55] * 2
    np.testing.assert_allclose(frame["survived"], [0.2, 0.6, 1.0, np.nan, 0.1, 0.4], rtol=1e-6)
    assert frame["from"].tolist() == [False, True, False, False, False, False]
    for name in ("light", "dark"):
        chart = who_keeps(survived, 7, theme_name=name)
        marks = [layer["mark"]["type"] for layer in chart.to_dict()["layer"]]
        assert marks == ["rect", "text", "tick"]
        svg = chart_svg(chart).decode()
        assert "╱╱" in svg and "<b>" not in svg and theme(name).ink in svg


# The text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_the_text_has_four_colours(colour, survived):
    trace = attended(N)
    strip = story_strip(trace, colour, survived)
    expected = {
        "entropy": trace.tokens.entropy,
        "surprisal": trace.tokens.surprisal,
        "attention received": trace.attention.received.astype(float).mean((0, 1)),
        "kept": np.concatenate([survived.survived[:, 1].mean(0), np.full(20, np.nan)]),
    }[colour]
    np.testing.assert_allclose(strip.values, expected, rtol=1e-6)
    assert strip.title == "The text, token by token"


def test_kept_is_known_only_for_the_context(survived):
    strip = story_strip(attended(N), "kept", survived)
    assert strip.unit == "of the caches, 30 % kept" and strip.missing == "after the cut"
    empty = story_strip(attended(N), "kept")
    assert np.isnan(empty.values).all() and empty.missing == "not known"
    with pytest.raises(ValueError, match="colour must be one of"):
        story_strip(attended(N), "rank")


def test_tokens_that_attend_most_are_underlined():
    mean = np.tril(np.full((N, N), 0.001, np.float32))
    mean[[20, 30, 31, 44, 50, 59], 12] = 0.2
    nothing = np.zeros((N, 3), np.int32)
    between = TokenAttention(mean, nothing, nothing, nothing, nothing.astype(np.float32))
    strip = with_attending(story_strip(attended(N)), between, 12)
    assert np.flatnonzero(strip.flags & SPAN).tolist() == [20, 30, 31, 44, 50, 59]
    assert strip.span == "attends to the chosen token most"


# The story as HTML --------------------------------------------------------------------------------


def test_hostile_tokens_stay_text():
    trace = run(30, texts=HOSTILE)
    for position in range(1, 12):
        drawn = "".join(choices_html(likely_tokens(trace.tokens, position))) + story_html.path_html(
            path(trace, position), "nats"
        )
        drawn += story_html.sentence_html(("a & b ", Word(trace.tokens.text[position])))
        tags = set(re.findall(r"<(/?\w+)", drawn))
        assert tags <= {t for tag in ("div", "span", "code", "i", "s", "u", "p") for t in (tag, f"/{tag}")}
        assert "a &amp; b" in drawn and drawn.encode()


def test_cells_of_the_path_carry_colour_and_value_in_both_themes():
    said = path(run(20), 5)
    drawn = story_html.path_html(said, "bits")
    assert drawn.count("light-dark(") == 2 * len(said) and drawn.count('class="same"') == sum(
        s.is_output for s in said
    )
    assert f"entropy {said[0].entropy / np.log(2):.3g}"[:12] in drawn and 'title="layer 0,' in drawn


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, "25.0 %"), (2e-5, "0.00200 %"), (1e-9, "&lt; 0.001 %"), (0.0, "0 %")]
)
def test_shares_are_plain_decimals(share, expected):
    assert percent(share) == expected
    assert "e" not in unescape(expected)
