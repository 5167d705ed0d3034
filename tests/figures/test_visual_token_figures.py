"""Figures of visual tokens: every patch where it lies, what is gone under a veil, shares that add up, findings from numbers."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from analysis import figures
from analysis.drawing.charts import chart_svg
from analysis.visual_tokens.answer_pair import compare_answers
from analysis.visual_tokens.collapse_figures import collapse_frame, collapse_sentence
from analysis.visual_tokens.findings import (
    answer_finding,
    attention_finding,
    patch_finding,
    sink_patches,
    strongest_patch,
)
from analysis.visual_tokens.fragility_figures import fragility_frame, fragility_sentence
from analysis.visual_tokens.horizon_figures import horizon_sentence, window_frame
from analysis.visual_tokens.layer_figures import PATCH_QUANTITIES, layers_frame, patch_quantity_frame
from analysis.visual_tokens.looking_figures import attention_frame, picture_heads_frame, shares_frame
from analysis.visual_tokens.pair_figures import pair_frame, pair_sentence, pair_shares_frame, strongest_colour
from analysis.visual_tokens.patch_figures import PatchValues, picture_map
from analysis.visual_tokens.split_figures import split_rows, split_sentence
from analysis.visual_tokens.strips import answer_strip, pair_strips
from analysis.visual_tokens.sweep_figures import gone_notes, kept_frame, method_styles, sweep_rows
from tests.visual_answers import made_answer, same_picture
from tests.visual_sweeps import made_fragility, made_horizon, made_split, made_sweep

N, LAYERS = 16, 4


@pytest.fixture(scope="module")
def a():
    return made_answer(N)


def data_of(chart, key: str) -> list[list[dict]]:
    """The rows of every data set that has a column."""
    return [rows for rows in chart.to_dict()["datasets"].values() if rows and key in rows[0]]


@pytest.fixture(scope="module")
def sweep():
    return made_sweep(N, LAYERS)


# Findings ---------------------------------------------------------------------------------------------


def test_what_a_token_looks_at_is_summed_without_its_sinks(a):
    found, weights = attention_finding(a, 1, 2), a.looking.mean[1, 2].astype(float)
    sink = a.looking.attended[2]
    assert sink[0] and found.sinks == pytest.approx(weights[sink].sum())
    assert found.picture == pytest.approx(weights.sum()) and found.even == pytest.approx(weights.sum() / N)
    free = np.where(sink, 0, weights)
    assert [token for token, _ in found.strongest] == np.argsort(-free)[:3].tolist()
    assert strongest_patch(a, 1, 2) == int(free.argmax())
    assert found.picture + found.text == pytest.approx(1, abs=1e-6)
    assert 0 < found.first < found.text + 1e-9


@pytest.mark.parametrize(("kind", "apart"), [("special", (0.7, 0.1)), ("image", (0.5, 0.3))])
def test_the_first_position_is_taken_off_what_it_is(kind, apart):
    """Of the attention 0.7 is on the picture, 0.3 on text, 0.2 on position 0: text, or a visual token."""
    a = made_answer(N)
    looking = replace(
        a.looking,
        mean=np.full_like(a.looking.mean, 0.7 / N),
        share_visual=np.full_like(a.looking.share_visual, 0.7),
        share_first=np.full_like(a.looking.share_first, 0.2),
    )
    a = replace(a, looking=looking, prompt=replace(a.prompt, kind=(kind, *a.prompt.kind[1:])))
    found, frame = attention_finding(a, 1, 2), shares_frame(a, 1)
    assert (found.first, *found.apart) == pytest.approx((0.2, *apart), abs=1e-6)
    assert frame.loc[2, ["first", "visual", "text"]].tolist() == pytest.approx((0.2, *apart), abs=1e-6)


def test_half_of_the_attention_on_the_picture_is_counted_from_the_largest():
    a = made_answer(N)
    mean = np.zeros_like(a.looking.mean)
    mean[0, :, :4] = (0.1, 0.25, 0.2, 0.05)  # 0.6: half is 0.3, which takes the two largest
    a = replace(a, looking=replace(a.looking, mean=mean))
    assert attention_finding(a, 0).n_half == 2
    found = patch_finding(a, 2, 0)
    assert found.rank == 2 and found.weight == pytest.approx(0.2)


def test_a_sink_over_all_layers_is_one_in_at_least_half_of_them():
    a = made_answer(N)
    attended = np.zeros_like(a.looking.attended)
    attended[:2, 3], attended[0, 5] = True, True
    a = replace(a, looking=replace(a.looking, attended=attended))
    assert sink_patches(a).nonzero()[0].tolist() == [3] and sink_patches(a, 0).nonzero()[0].tolist() == [3, 5]
    assert patch_finding(a, 3, 0).sink_layers == 2


def test_the_whole_answer_is_as_likely_as_the_product_of_its_tokens(a):
    found = answer_finding(a)
    assert found.probability == pytest.approx(float(np.prod(np.exp(-a.tokens.surprisal.astype(float)))))
    assert found.picture == pytest.approx(float(a.looking.share_visual.mean()), rel=1e-5)


# On the picture ---------------------------------------------------------------------------------------


def test_every_patch_is_drawn_where_it_lies_over_the_picture_as_it_was(a):
    chart = picture_map(a.picture, PatchValues(np.arange(N, dtype=float), "numbers"))
    (rows,) = data_of(chart, "value")
    assert [[r[k] for k in ("left", "top", "right", "bottom")] for r in rows] == a.picture.boxes.tolist()
    assert [r["value"] for r in rows] == list(range(N))
    ((image,),) = data_of(chart, "url")
    drawn = Image.open(io.BytesIO(base64.b64decode(image["url"].partition(",")[2])))
    assert drawn.tobytes() == Image.open(io.BytesIO(a.picture.png)).tobytes()
    assert (image["x"], image["y"]) == (a.picture.width / 2, a.picture.height / 2)


def test_a_long_picture_keeps_its_shape_and_a_large_one_is_sent_smaller(a):
    file = io.BytesIO()
    Image.new("RGB", (2000, 500), (9, 9, 9)).save(file, "PNG")
    wide = replace(a.picture, png=file.getvalue(), width=2000, height=500)
    spec = picture_map(wide).to_dict()
    assert spec["width"] == 4 * spec["height"]
    ((image,),) = data_of(picture_map(wide), "url")
    assert Image.open(io.BytesIO(base64.b64decode(image["url"].partition(",")[2]))).size == (632, 158)


def test_small_and_large_views_of_a_picture_are_never_on_one_map(a):
    crops = replace(a.picture, crop=np.array([0] * 4 + [1] * 12))
    large, small = (data_of(picture_map(crops, whole=whole), "position")[0] for whole in (False, True))
    assert [r["position"] for r in large] == list(range(4, 16))
    assert [r["position"] for r in small] == list(range(4))


def test_all_figures_of_an_answer_are_drawn(a, theme_name="dark"):
    charts = [
        figures.attention_on_picture(
            a, 1, 2, 1, theme_name=theme_name, patch=3, without_sinks=True, pick=True
        ),
        figures.attention_shares(a, 0, theme_name=theme_name, layer=1, pick=True),
        figures.picture_heads(a, 0, theme_name=theme_name, layer=1, head=0, pick=True),
        figures.visual_layers(a, theme_name=theme_name, layer=2, pick=True),
        *(figures.patch_quantity(a, name, theme_name=theme_name) for name in PATCH_QUANTITIES),
    ]
    assert all(chart_svg(chart).startswith(b"<svg") for chart in charts)


def test_sinks_are_left_out_of_the_scale_alone(a):
    chart = figures.attention_on_picture(a, 1, 2, without_sinks=True)
    rows = data_of(chart, "value")[0]
    assert rows[0]["value"] is None and rows[1]["value"] == pytest.approx(float(a.looking.mean[1, 2, 1]))
    assert attention_frame(a, 1, 2)["attention"].notna().all()


# Tables -----------------------------------------------------------------------------------------------


def test_shares_of_a_layer_add_up_to_one_and_heads_are_numbered_row_by_row(a):
    frame = shares_frame(a, 1)
    assert frame[["visual", "text", "first"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-6)
    assert (frame[["visual", "text", "first"]] >= 0).all(axis=None)
    heads = picture_heads_frame(a, 1)
    row = heads[(heads["layer"] == 2) & (heads["head"] == 1)].iloc[0]
    assert row["share"] == pytest.approx(float(a.looking.share_visual[1, 2, 1]))


def test_layers_and_patches_in_their_units(a):
    nats, bits = layers_frame(a), layers_frame(a, "bits")
    assert bits["matrix_entropy_visual"].to_numpy() == pytest.approx(
        nats["matrix_entropy_visual"] / np.log(2)
    )
    assert list(nats["layer"]) == list(range(LAYERS + 1))
    frame = patch_quantity_frame(a, "transition", 3)
    assert frame["transition"].to_numpy() == pytest.approx(a.layers.transition[3])
    assert patch_quantity_frame(a, "received")["received"].to_numpy() == pytest.approx(
        a.looking.received.mean(0)
    )
    strip = answer_strip(a, unit="bits")
    assert strip.values == pytest.approx(a.tokens.entropy / np.log(2)) and strip.high >= strip.values.max()


# Pruning ----------------------------------------------------------------------------------------------


def test_seeds_become_a_mean_with_its_ends_and_all_tokens_are_no_method(sweep):
    rows = sweep_rows(sweep).set_index("policy")
    assert list(rows.index) == ["random", "fastv"]
    assert rows.loc["random", ["mean", "low", "high"]].tolist() == pytest.approx([0.4, 0.2, 0.6])
    assert rows.loc["fastv", "tokens"] == 4
    assert sweep_rows(sweep, counted="average").set_index("policy").loc["fastv", "tokens"] == 10
    assert sweep_rows(sweep, "change")["mean"].tolist() == pytest.approx([-0.5, -0.5])


def test_the_veil_lies_on_what_is_gone(a, sweep):
    chart = figures.kept_on_picture(a.picture, sweep, 3)
    counts = sorted(len(rows) for rows in data_of(chart, "left"))
    assert counts == [N - 4, N]
    assert gone_notes(sweep, 3)[3:5] == ("kept", "gone before layer 2")
    frame = kept_frame(a.picture, sweep, 3)
    assert frame["kept"].sum() == 4 and set(frame["gone_from_layer"]) == {2, LAYERS}


def test_merged_tokens_are_followed(sweep):
    this = sweep.settings[1]
    merged = replace(this, merged_into=np.where(np.arange(N) == 9, 2, this.merged_into))
    notes = gone_notes(replace(sweep, settings=(merged,)), 0)
    assert notes[9] == "merged into 2 before the language model"


def test_methods_have_one_look_each_and_controls_theirs():
    names = ["random", "fastv", "downsampling", *(f"m{k}" for k in range(16))]
    styles = method_styles(names, "#000000")
    assert len({(colour, tuple(dash)) for colour, dash in styles.values()}) == len(names)
    assert styles["random"][0] == "#999999" and styles["fastv"] == method_styles(names, "#111111")["fastv"]


def test_right_answers_over_many_questions_with_their_intervals():
    split = made_split()
    rows = split_rows(split).set_index("policy")
    assert rows["mean"].tolist() == pytest.approx([0.25, 0.25, 1.0])
    assert rows.loc["random", "low"] < 0.25 < rows.loc["random", "high"]
    assert split_rows(split, "reading").set_index("policy").loc["random", "mean"] == 0
    assert "100.0 % are right" in split_sentence(split) and "dart at 4." in split_sentence(split)
    assert chart_svg(figures.split_curves(split)).startswith(b"<svg")


# Layers and horizon -----------------------------------------------------------------------------------


def test_a_collapse_over_many_pictures_is_said_with_its_evidence(a):
    layers = {f"scene {k}": made_answer(N, seed=k).layers for k in range(3)}
    assert "Collapse layer 2" in collapse_sentence(layers)
    assert collapse_sentence(layers, "text").startswith("No collapse layer: the largest median drop")
    frame = collapse_frame(layers)
    assert len(frame) == 3 * (LAYERS + 1)
    assert chart_svg(figures.visual_collapse_curves(layers)).startswith(b"<svg")
    gone = {k: replace(one, matrix_entropy_text=np.full(LAYERS + 1, np.nan)) for k, one in layers.items()}
    said = "No collapse layer is known: no spectra of text tokens were taken."
    assert collapse_sentence(gone, "text") == said
    assert chart_svg(figures.visual_collapse_curves(gone, "text")).startswith(b"<svg")


def test_the_horizon_is_drawn_and_said(a):
    h = made_horizon(N)
    windows, values = h.window_of, h.alone
    assert horizon_sentence(h) == "From layer 2 of 4 on, “red” no longer needs the picture."
    assert window_frame(a.picture, h, 2)["without"].tolist() == pytest.approx((-values[1][windows]).tolist())
    rows = data_of(figures.horizon_on_picture(a.picture, h, 2, "alone"), "value")[0]
    assert [r["value"] for r in rows] == pytest.approx(values[1][windows].tolist())
    assert chart_svg(figures.visual_horizon(h, layer=1, pick=True)).startswith(b"<svg")
    changes = [row["change"] for row in data_of(figures.visual_horizon(h, unit="bits"), "change")[0]]
    assert changes == pytest.approx((h.change / np.log(2)).tolist())
    h = replace(
        h,
        tokens=(3,),
        tokens_logp=(h.answer_logp + np.eye(5)[0])[None],
        random_logp=np.tile(h.answer_logp, (2, 1)),
    )
    rows = data_of(figures.visual_horizon(h, unit="bits", pick=True), "change_of")[0]
    assert {row["what"] for row in rows} == {"picture", "sinks (1)", "random (1)"}
    sinks = [row["change_of"] for row in rows if row["what"] == "sinks (1)"]
    assert sinks == pytest.approx(((h.change + np.eye(5)[0]) / np.log(2)).tolist())
    assert chart_svg(figures.visual_horizon(h)).startswith(b"<svg")


def test_what_compression_alone_breaks_is_drawn_and_said():
    found = made_fragility()
    frame = fragility_frame(found).set_index("name")
    assert frame.loc["FastV, 4 kept", ["clean", "noisy", "broken"]].tolist() == pytest.approx([1, 0.25, 0.75])
    assert frame.loc["all tokens", "noisy"] == 1
    assert fragility_sentence(found).startswith("Most fragile: FastV, 4 kept. Of 8 questions")
    assert "75.0 %" in fragility_sentence(found)
    assert chart_svg(figures.fragility_chart(found)).startswith(b"<svg")


# Two answers ------------------------------------------------------------------------------------------


def test_both_pictures_of_a_pair_have_one_scale(a):
    pair = compare_answers(a, same_picture(N))
    top = max(a.looking.mean[1].mean(0).max(), pair.b.looking.mean[2].mean(0).max())
    assert strongest_colour(pair, (1, 2)) == pytest.approx(top)
    spec = figures.attention_of_pair(pair, (1, 2)).to_dict()
    ends = [
        layer["encoding"]["fill"]["scale"]["domain"][1]
        for part in spec["hconcat"]
        for layer in part["layer"]
        if "fill" in layer.get("encoding", {})
    ]
    assert ends == [pytest.approx(top)] * 2
    assert [part["title"]["text"][0] for part in spec["hconcat"]] == ["A", "B"]
    assert chart_svg(figures.attention_of_pair(pair, (1, 2), patch=3, theme_name="dark")).startswith(b"<svg")
    a_strip, b_strip = pair_strips(pair)
    assert a_strip.high == b_strip.high == max(answer_strip(one).high for one in (pair.a, pair.b))


def test_a_difference_is_signed_and_sinks_can_be_left_out(a):
    pair = compare_answers(a, same_picture(N))
    drawn = {
        row["position"]: row["value"]
        for row in data_of(figures.attention_difference(pair, (0, 1)), "value")[0]
    }
    expected = pair.difference((0, 1))
    assert [drawn[k] for k in range(N)] == pytest.approx(expected.tolist()) and min(expected) < 0 < max(
        expected
    )
    chart = figures.attention_difference(pair, (0, 1), without_sinks=True)
    assert data_of(chart, "value")[0][0]["value"] is None
    said = pair_sentence(pair, (0, 1))
    free = np.where(pair.sinks(), 0, expected)
    assert f"patch {free.argmax()}, +" in said and f"patch {free.argmin()}, −" in said
    frame = pair_frame(pair, (0, 1))
    assert (frame["difference"][:N] == frame["attention"][N:].to_numpy() - frame["attention"][:N]).all()


def test_two_pictures_have_layers_but_no_difference():
    pair = compare_answers(made_answer(N), made_answer(36, seed=1))
    frame = pair_frame(pair)
    assert "difference" not in frame and frame["answer"].value_counts().to_dict() == {"A": N, "B": 36}
    shares = pair_shares_frame(pair, (0, 1))
    picture = shares[shares["part"] == "picture"]
    assert picture["b"].tolist() == pytest.approx(pair.b.looking.share_visual[1].mean(1).tolist(), rel=1e-6)
    assert shares.groupby("layer")[["a", "b"]].sum().to_numpy() == pytest.approx(1, abs=1e-6)
    rows = data_of(figures.pair_shares(pair, (0, 1), layer=2, pick=True), "share")[0]
    assert {row["answer"] for row in rows} == {"A", "B"} and len(rows) == 2 * LAYERS
