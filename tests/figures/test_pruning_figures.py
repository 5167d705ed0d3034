"""The pictures of eviction: what is drawn, from which numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.drawing.charts import chart_svg, plotly_html
from analysis.drawing.strip import MARKED
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.pruning_effects.eviction import figures
from analysis.pruning_effects.eviction.map_figures import MAX_COLUMNS, kept_values
from analysis.pruning_effects.eviction.strips import damage_strip, kept_strip
from analysis.pruning_effects.eviction.styles import STYLES, styles_of
from tests.figures.synthetic import data_of
from tests.figures.synthetic_sweep import CONTEXT, G, L, N, sweep


def layers(spec, kind):
    return [part for part in spec["layer"] if part["mark"]["type"] == kind]


def test_methods_drawn_together_are_told_apart():
    from analysis.pruning_effects.eviction.policies import POLICIES

    new = ("somebodys-method", "another", "a third")
    looks = styles_of([*POLICIES, *new])
    assert len({json.dumps(look) for look in looks}) == len(POLICIES) + len(new)
    assert {colour for colour, _ in looks} <= set(OKABE_ITO)
    assert looks[list(POLICIES).index("snapkv")] == styles_of(["another", "snapkv"])[1]
    assert styles_of(["full", "another"])[1] == styles_of(["h2o", "another"])[1]


def test_more_methods_than_looks_are_still_drawn():
    assert len(styles_of([f"method {i}" for i in range(40)])) == 40


def test_curves_are_means_over_seeds_with_a_band():
    spec = figures.pruning_curves(sweep()).to_dict()
    (band,) = layers(spec, "area")
    drawn = data_of(spec, band)
    assert drawn["label"].tolist() == ["random"]
    # means over tokens 1, 2, 3: 2 * (0.5 + 1 + 1.5) / 3 = 2 and 4
    assert (drawn["low"].item(), drawn["mean"].item(), drawn["high"].item()) == pytest.approx((2, 3, 4))
    points = data_of(spec, layers(spec, "point")[0]).set_index("label")["mean"]
    assert points.to_dict() == pytest.approx({"SnapKV": 0.1, "key norm": 1, "random": 3, "TokenSelect": 0.5})
    reference = data_of(spec, layers(spec, "line")[0])
    assert reference["mean"].tolist() == [0, 0] and reference["kept"].tolist() == [0.5, 1.0]
    encoding = layers(spec, "point")[0]["encoding"]
    domain = encoding["color"]["scale"]["domain"]
    assert domain == ["full cache", "SnapKV", "key norm", "random", "TokenSelect"]
    assert encoding["color"]["scale"]["range"][1] == STYLES["snapkv"][0]
    assert encoding["x"]["scale"]["domain"] == [0, 1] and "(nats)" in encoding["y"]["title"]
    assert chart_svg(figures.pruning_curves(sweep(), theme_name="dark")).startswith(b"<svg")


def test_a_change_in_nll_keeps_its_sign_and_has_a_zero_line():
    spec = figures.pruning_curves(sweep(), "delta_nll", unit="bits").to_dict()
    points = data_of(spec, layers(spec, "point")[0]).set_index("label")["mean"]
    assert points["SnapKV"] == pytest.approx(-0.5 / math.log(2)) and points["key norm"] == pytest.approx(
        3 / math.log(2)
    )
    assert layers(spec, "rule")[0]["encoding"]["y"]["datum"] == 0
    y = layers(spec, "line")[1]["encoding"]["y"]
    assert (
        "(bits)" in y["title"] and y["scale"] == {"nice": True, "zero": False} and "clamp" not in y["scale"]
    )


def test_a_logarithmic_axis_leaves_zeros_out():
    spec = figures.pruning_curves(sweep(), log=True).to_dict()
    (line,) = layers(spec, "line")
    assert line["encoding"]["y"]["scale"]["type"] == "log"
    assert (data_of(spec, line)["low"] > 0).all()
    assert "full cache" not in line["encoding"]["color"]["scale"]["domain"]


def test_settings_that_a_metric_does_not_describe_are_left_out():
    frame = figures.curve_frame(sweep(), "retained_mass")
    assert "tokenselect" not in set(frame["policy"]) and len(frame) == 4
    assert frame.set_index("policy").loc["random", ["low", "mean", "high"]].tolist() == pytest.approx(
        [0.4, 0.5, 0.6]
    )
    with pytest.raises(ValueError, match="no answer"):
        figures.pruning_curves(sweep(), "answer_logp")
    frame = figures.curve_frame(sweep(n_answer=2), "answer_logp").set_index("policy")
    assert frame.loc["full", "mean"] == pytest.approx(-7) and frame.loc["knorm", "mean"] == pytest.approx(-15)


def test_a_sweep_that_has_only_begun_can_be_drawn():
    from dataclasses import replace

    whole = sweep()
    begun = replace(
        whole,
        settings=whole.settings[:1],
        **{
            name: getattr(whole, name)[:1]
            for name in ("surprisal", "kl", "top_ids", "top_logprobs", "mass", "kept_bits")
        },
    )
    for log in (False, True):
        assert chart_svg(figures.pruning_curves(begun, log=log)).startswith(b"<svg")


def test_the_overlap_matrix_has_every_pair_with_readable_numbers():
    spec = figures.overlap_matrix(sweep(), 0.5).to_dict()
    cells = data_of(spec, spec["layer"][0])
    assert len(cells) == 16 and cells["jaccard"].between(0, 1).all()
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == [0, 1]
    assert spec["layer"][0]["encoding"]["x"]["sort"] == ["SnapKV", "key norm", "random", "oracle"]
    light = cells.set_index(["method", "other"])["light"]
    assert light["SnapKV", "SnapKV"] and not light["SnapKV", "key norm"]  # white on rose, black on pale
    assert chart_svg(figures.overlap_matrix(sweep(), 0.5, theme_name="dark")).startswith(b"<svg")


def test_positions_show_survival_and_the_mean():
    spec = figures.kept_positions(sweep(), 0.5).to_dict()
    rects, ticks = spec["layer"]
    assert data_of(spec, rects)["end"].max() == N
    means = data_of(spec, ticks).set_index("method")["mean_position"]
    assert means["SnapKV"] == pytest.approx((N / 2 - 1) / 2) == means["oracle"]
    assert chart_svg(figures.kept_positions(sweep(), 0.5)).startswith(b"<svg")


def test_the_kept_map_is_token_by_layer():
    figure = figures.kept_heatmap(sweep(), 3)
    heat = figure.data[0]
    np.testing.assert_allclose(np.asarray(heat.z, float), sweep().kept(3).mean(1))
    assert (heat.zmin, heat.zmax) == (0, 1) and heat.z.shape == (L, N)
    assert "&lt;b&gt;" in heat.customdata[0][3] and figure.layout.xaxis.title.text == "token of the context"
    one = figures.kept_heatmap(sweep(), 3, kv_head=1).data[0]
    np.testing.assert_array_equal(np.asarray(one.z, bool), sweep().kept(3)[:, 1])
    with pytest.raises(ValueError, match="no KV head 2"):
        kept_values(sweep(), 3, kv_head=G)
    assert b"<html>" in plotly_html(figure)[:100]


def test_a_long_context_is_pooled_and_says_so():
    long = sweep(repeat=100)
    figure = figures.kept_heatmap(long, 2)
    heat = figure.data[0]
    assert heat.z.shape[1] == N * 100 // 2 <= MAX_COLUMNS
    assert figure.layout.xaxis.title.text == "token of the context (mean of 2 neighbours)"
    np.testing.assert_allclose(np.asarray(heat.z, float), 0.5)  # one of two neighbours is kept
    odd = figures.kept_heatmap(sweep(repeat=161), 0).data[0]  # 1,288 tokens: the last column is one token
    np.testing.assert_allclose(np.asarray(odd.z, float), 1.0)


def test_a_phrase_by_method_layer_and_head():
    figure = figures.phrase_heatmap(sweep(), np.array([1, 2]), 0.5)
    heat = figure.data[0]
    assert list(heat.y) == ["SnapKV", "key norm", "random", "oracle"] and heat.z.shape == (4, L * G)
    assert heat.z[0].tolist() == [1] * (L * G) and heat.z[1].tolist() == [0.5] * (L * G)
    assert heat.customdata[0][3] == "layer 1, KV head 1"
    assert list(figure.layout.xaxis.tickvals) == [0.5, 2.5, 4.5]


def test_the_kept_strip_counts_layers_and_heads():
    strip = kept_strip(sweep(), 3)
    np.testing.assert_allclose(strip.values, sweep().kept(3).mean((0, 1)), rtol=1e-6)
    assert (strip.low, strip.high) == (0, 1) and strip.cell_text[3] == CONTEXT[3]
    assert strip.cell.tolist()[-3:] == [5, 5, 5]
    assert f"of {L * G} (layer, KV head) pairs" in strip.details[0]
    html = figures.kept_tokens(sweep(), 3).html
    assert "&lt;b&gt;" in html and "<b>sat" not in html


def test_damage_compares_within_a_share_and_has_no_value_before_eviction():
    strip = damage_strip(sweep(), 1)
    assert math.isnan(strip.values[0]) and "before anything was evicted" in strip.missing
    np.testing.assert_allclose(strip.values[1:], [0.05, 0.1, 0.15], rtol=1e-6)
    assert strip.low == 0 and strip.high == damage_strip(sweep(), 2).high  # the same ramp for all methods
    change = damage_strip(sweep(n_answer=2), 2, "change", unit="bits")
    np.testing.assert_allclose(change.values[1:], np.array([1, 2, 6]) / math.log(2), rtol=1e-6)
    assert change.low == -change.high and change.unit == "bits"
    assert tuple(change.light[0]) == tuple(int(theme("light").negative[i : i + 2], 16) for i in (1, 3, 5))
    assert change.flags.tolist() == [0, 0, MARKED, MARKED] and change.marked == "answer"
    with pytest.raises(ValueError, match="quantity"):
        damage_strip(sweep(), 1, "nll")
    assert (
        "&lt;" in figures.damage_tokens(sweep(), 1).html or "‹E8›" in figures.damage_tokens(sweep(), 1).html
    )


def test_the_pictures_need_no_torch():
    script = (
        "import sys, analysis.pruning_effects.eviction.figures\n"
        "assert not {'torch', 'transformers', 'streamlit', 'plotly', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
