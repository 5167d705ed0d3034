"""Curves over layers, spectra, drops, models: the numbers drawn are those of the results."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.drawing.charts import chart_svg
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.layers import checkpoint_figures
from analysis.entropy_collapse.layers import figures as collapse_figures
from analysis.entropy_collapse.layers.checkpoints import ModelShape
from analysis.entropy_collapse.layers.curves import QUANTITIES, collapse_layer, layer_curve
from analysis.results.collapse import LEAST_DROP
from analysis.results.spectra import alpha_req, renyi_entropy
from tests.figures.synthetic import HOSTILE, data_of, run

N = 130


def spectra(seed=0, layers=5, n=N):
    """Power laws that steepen layer by layer; gentler without token 0."""
    rng = np.random.default_rng(seed)
    ranks = np.arange(1, n + 1)
    alpha = np.linspace(0.5, 2.0, layers) + rng.uniform(0, 0.1, layers)
    shares = np.stack([ranks ** -alpha[:, None], ranks ** (-0.5 * alpha[:, None])])
    shares[1, :, -1] = 0  # one token less
    return shares / shares.sum(-1, keepdims=True)


def text(seed=0):
    trace = run(200)
    layers = replace(
        trace.layers,
        spectrum=spectra(seed),
        key_spectrum=spectra(seed + 9, layers=4, n=50),
        curvature=np.random.default_rng(seed).uniform(1, 2, (2, 5)),
        lens_layers=np.array([0, 2, 4], np.int32),
        lens_entropy=np.random.default_rng(seed).uniform(0, 5, (3, 200)).astype(np.float32),
        lens_kl=np.zeros((3, 200), np.float32),
        lens_top_ids=np.zeros((3, 200), np.int64),
    )
    return replace(trace, layers=layers, spec=replace(trace.spec, hidden_size=N, spectra=("states", "key")))


def shape(name, step, seed=0):
    rank = 10.0 + 5 * seed
    return ModelShape(name, step, 200, spectra(seed), 2 * rank, rank, rank, 1 + 0.1 * seed, 0.99)


def layers_of(spec):
    """All layers of a layered chart, nested ones too, each with its data."""
    for layer in spec["layer"]:
        layer = {**({"data": spec["data"]} if "data" in spec else {}), **layer}
        yield from layers_of(layer) if "layer" in layer else [layer]


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_curves_are_the_results(quantity, unit):
    trace = text()
    frame = collapse_figures.curves_frame({"this text": trace}, quantity, unit=unit)
    factor = 1 / math.log(2) if unit == "bits" and quantity in ("matrix entropy", "lens entropy") else 1.0
    for first_token, label in ((True, "all tokens"), (False, "without token 0")):
        own = frame[frame["tokens"] == label]
        curve = layer_curve(trace, quantity, first_token=first_token)
        assert own["layer"].tolist() == curve["layer"].tolist()
        np.testing.assert_allclose(own["value"], factor * curve["value"])
    spec = figures.matrix_entropy(trace, quantity, unit=unit).to_dict()
    drawn = data_of(spec, next(layers_of(spec)))
    pd.testing.assert_frame_equal(drawn[frame.columns], frame, check_dtype=False)
    y = next(layers_of(spec))["encoding"]["y"]
    assert y["scale"]["zero"] is False
    word = {"matrix entropy": unit, "lens entropy": unit, "curvature": "radians", "alpha-ReQ": "exponent"}
    assert y["title"].endswith(word.get(quantity, "directions"))
    assert ("r_squared" in frame) == (quantity == "alpha-ReQ")
    assert chart_svg(figures.matrix_entropy(trace, quantity)).startswith(b"<svg")


def test_order_and_scale_are_named_and_drawn():
    trace = text()
    spec = figures.matrix_entropy(trace, order=2.0, scale="per ln N", unit="bits").to_dict()
    first = next(layers_of(spec))
    assert first["encoding"]["y"]["title"] == "matrix entropy, order 2, share of ln N"
    drawn = data_of(spec, first)
    expected = renyi_entropy(trace.layers.spectrum[0], 2) / math.log(200)
    np.testing.assert_allclose(drawn["value"][:5], expected)  # a share has no unit to convert
    without = renyi_entropy(trace.layers.spectrum[1], 2) / math.log(199)
    np.testing.assert_allclose(drawn["value"][5:], without)


def test_keys_begin_at_block_1():
    spec = figures.matrix_entropy(text(), kind="key").to_dict()
    first = next(layers_of(spec))
    assert data_of(spec, first)["layer"].tolist() == [1, 2, 3, 4] * 2
    assert "keys of block l" in first["encoding"]["x"]["title"]


@pytest.mark.parametrize("name", ["light", "dark"])
def test_one_text_has_the_pictures_colour_and_a_dash_without_token_0(name):
    spec = figures.matrix_entropy(text(), theme_name=name, selected=3, collapse=2, pick=True).to_dict()
    colours = theme(name)
    lines = [layer for layer in layers_of(spec) if layer["mark"]["type"] == "line"]
    assert lines[0]["encoding"]["color"]["value"] == colours.pictures["entropy_collapse"]
    dash = lines[0]["encoding"]["strokeDash"]["scale"]
    assert dash["domain"] == ["all tokens", "without token 0"] and dash["range"][0] == [1, 0]
    rules = [layer for layer in layers_of(spec) if layer["mark"]["type"] == "rule"]
    marked = {data_of(spec, rule)["label"][0]: rule["mark"]["color"] for rule in rules}
    assert marked == {"collapse layer 2": colours.positive, "chosen 3": colours.muted}
    (pick,) = spec["params"]
    assert pick["name"] == "pick" and pick["select"]["fields"] == ["layer"]
    assert "params" not in figures.matrix_entropy(text()).to_dict()
    assert spec["width"] == "container"


def test_several_texts_have_a_colour_each():
    texts = {"a": text(0), "b": text(1), "c": text(2)}
    spec = figures.matrix_entropy(texts).to_dict()
    first = next(layers_of(spec))
    colour = first["encoding"]["color"]
    assert colour["field"] == "text" and colour["scale"]["domain"] == ["a", "b", "c"]
    assert len(set(colour["scale"]["range"])) == 3 and set(colour["scale"]["range"][1:]) <= set(OKABE_ITO)
    many = figures.matrix_entropy({str(i): text(i) for i in range(8)}).to_dict()
    colours = next(layers_of(many))["encoding"]["color"]["scale"]["range"]
    assert len(set(colours)) == 8 and "#009E73" not in colours  # too near the first one
    drawn = data_of(spec, first)
    own = drawn[(drawn["text"] == "c") & (drawn["tokens"] == "without token 0")]
    np.testing.assert_allclose(own["value"], renyi_entropy(texts["c"].layers.spectrum[1]))


def test_names_are_data_not_markup():
    texts = {name: text(i) for i, name in enumerate(HOSTILE[:3])}
    spec = figures.matrix_entropy(texts).to_dict()
    assert set(data_of(spec, next(layers_of(spec)))["text"]) == set(HOSTILE[:3])
    assert b"<img" not in chart_svg(figures.matrix_entropy(texts))
    shapes = [shape(name, None, i) for i, name in enumerate(HOSTILE[:3])]
    assert b"<img" not in chart_svg(figures.model_curves(shapes))
    drops = figures.layer_drops(collapse_layer(texts))
    assert b"<img" not in chart_svg(drops)


def test_a_spectrum_on_two_log_axes_with_its_power_law():
    trace = text()
    spec = figures.spectrum(trace, 3).to_dict()
    line, law = spec["layer"]
    for axis in ("x", "y"):
        assert line["encoding"][axis]["scale"]["type"] == "log"
    drawn = data_of(spec, line)
    for i, label in enumerate(("all tokens", "without token 0")):
        own = drawn[drawn["tokens"] == label]
        shares = trace.layers.spectrum[i, 3]
        np.testing.assert_allclose(own["share"], shares[shares > 0])
        assert own["rank"].tolist() == list(range(1, (shares > 0).sum() + 1))
    fitted = data_of(spec, law)
    assert fitted["rank"].tolist() == list(range(11, 101))
    # The spectrum is an exact power law, so the line lies on it.
    np.testing.assert_allclose(fitted["share"], trace.layers.spectrum[0, 3, 10:100], rtol=1e-9)
    slope = np.polyfit(np.log(fitted["rank"]), np.log(fitted["share"]), 1)[0]
    assert -slope == pytest.approx(alpha_req(trace.layers.spectrum[0, 3]).alpha)
    assert chart_svg(figures.spectrum(trace, 3, theme_name="dark")).startswith(b"<svg")


def test_no_power_law_is_drawn_where_none_can_be_fitted():
    spec = figures.spectrum(text(), 4, kind="key").to_dict()
    assert len(spec["layer"]) == 1
    drawn = data_of(spec, spec["layer"][0])
    key = text().layers.key_spectrum[0, 3]  # layer 4 of the keys is block 4
    np.testing.assert_allclose(drawn[drawn["tokens"] == "all tokens"]["share"], key)


def test_a_layer_that_overflowed_is_an_empty_spectrum():
    trace = text()
    trace.layers.spectrum[:, 2] = np.nan
    spec = figures.spectrum(trace, 2).to_dict()
    assert len(spec["layer"]) == 1 and len(collapse_figures.spectrum_frame(trace, 2)) == 0
    frame = collapse_figures.curves_frame({"t": trace}, order=2.0)
    assert np.isnan(frame["value"][2]) and frame["value"].notna().sum() == 8
    assert chart_svg(figures.matrix_entropy(trace)).startswith(b"<svg")


def test_drops_are_the_evidence():
    texts = {"a": text(0), "b": text(1), "c": text(2)}
    found = collapse_layer(texts)
    assert found.layer is not None
    spec = figures.layer_drops(found, theme_name="dark").to_dict()
    drawn = {layer["mark"]["type"]: layer for layer in layers_of(spec)}
    bars = data_of(spec, drawn["bar"])
    np.testing.assert_allclose(bars["drop"], found.median_drop)
    assert bars["layer"].tolist() == [1, 2, 3, 4]
    dots = data_of(spec, drawn["point"])
    pd.testing.assert_frame_equal(dots, found.to_frame(), check_dtype=False)
    rules = [data_of(spec, layer) for layer in layers_of(spec) if layer["mark"]["type"] == "rule"]
    assert any("drop" in rule and rule["drop"].tolist() == [LEAST_DROP] for rule in rules)
    assert any("layer" in rule and rule["layer"].tolist() == [found.layer] for rule in rules)
    none = replace(found, drop=0.01 * found.drop)
    assert none.layer is None
    texts_drawn = [
        layer for layer in layers_of(figures.layer_drops(none).to_dict()) if "text" in layer["mark"]
    ]
    assert texts_drawn == []


# Models and checkpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_model_curves_are_the_results(unit):
    shapes = [shape("m/one", None, 0), shape("m/two", None, 1)]
    for first_token, which in ((True, 0), (False, 1)):
        chart = figures.model_curves(shapes, order=2.0, first_token=first_token, unit=unit)
        spec = chart.to_dict()
        drawn = data_of(spec, spec["layer"][0])
        assert len(drawn) == 10
        expected = renyi_entropy(shapes[1].spectrum[which], 2) / (math.log(2) if unit == "bits" else 1)
        np.testing.assert_allclose(drawn[drawn["model"] == "m/two"]["value"], expected)
        title = spec["layer"][0]["encoding"]["y"]["title"]
        assert "order 2" in title and title.endswith(unit)
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["m/one", "m/two"]


def test_checkpoints_are_shaded_by_step_and_one_is_chosen():
    shapes = [shape(f"step {s}", s, i) for i, s in enumerate((10, 200, 3000))]
    spec = figures.model_curves(shapes, selected="step 200", theme_name="dark").to_dict()
    lines, chosen = spec["layer"]
    assert lines["encoding"]["color"]["field"] == "step" and lines["encoding"]["detail"]["field"] == "model"
    assert chosen["mark"]["color"] == theme("dark").positive
    assert "step 200" in json.dumps(chosen["transform"])
    assert data_of(spec, lines)["step"].unique().tolist() == [10, 200, 3000]


def test_many_models_lose_their_legend_not_their_names():
    shapes = [shape(f"model {i}", None, i) for i in range(12)]
    spec = figures.model_curves(shapes).to_dict()
    assert spec["layer"][0]["encoding"]["color"]["legend"] is None
    assert any(tip["field"] == "model" for tip in spec["layer"][0]["encoding"]["tooltip"])
    assert chart_svg(figures.model_curves(shapes)).startswith(b"<svg")


@pytest.mark.parametrize("name", ["light", "dark"])
def test_ranks_over_training_with_their_phases(name):
    ranks = (40.0, 10.0, 30.0, 60.0, 20.0)
    shapes = [
        replace(shape(f"step {s}", s, i), rank_eigen=r, rank_singular=2 * r)
        for i, (s, r) in enumerate(zip((1, 10, 100, 1000, 2000), ranks, strict=True))
    ]
    panels = figures.rank_panels(shapes, theme_name=name)
    assert len(panels) == 2
    spec = panels[0].to_dict()
    bands, lines = spec["layer"]
    spans = data_of(spec, bands)
    assert spans.to_dict("list") == {
        "name": ["collapse", "expansion", "compression"],
        "first": [1, 10, 1000],
        "last": [10, 1000, 2000],
    }
    drawn = data_of(spec, lines)
    eigen = drawn[drawn["measure"] == "effective rank, eigenvalues"].sort_values("step")
    assert eigen["value"].tolist() == list(ranks)
    singular = drawn[drawn["measure"] == "RankMe, singular values"].sort_values("step")
    assert singular["value"].tolist() == [2 * r for r in ranks]
    alpha = panels[1].to_dict()
    assert data_of(alpha, alpha["layer"][1])["value"].tolist() == pytest.approx([1, 1.1, 1.2, 1.3, 1.4])
    assert all(chart_svg(panel).startswith(b"<svg") for panel in panels)


def test_alpha_that_was_refused_has_no_panel():
    shapes = [replace(shape(f"step {s}", s, i), alpha=math.nan) for i, s in enumerate((1, 2, 3))]
    (panel,) = figures.rank_panels(shapes)
    assert len(panel.to_dict()["layer"]) == 1  # three checkpoints tell no phase either
    with_other = [*shapes, shape("a model", None)]
    spec = figures.rank_panels(with_other)[0].to_dict()
    assert sorted(set(data_of(spec, spec["layer"][0])["step"])) == [1, 2, 3]


def test_figures_need_no_torch():
    modules = [
        collapse_figures.__name__,
        checkpoint_figures.__name__,
        "analysis.entropy_collapse.layers.curves",
    ]
    code = "import sys\n" + "".join(f"import {m}\n" for m in modules)
    code += "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
