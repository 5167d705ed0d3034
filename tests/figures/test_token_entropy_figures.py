"""Every picture of token entropy: what is drawn, in which unit, from which numbers."""

from __future__ import annotations

import base64
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.drawing.charts import MAX_POINTS, chart_svg, plotly_html
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.results.token_quantities import TOKEN_QUANTITIES
from analysis.token_entropy.figures import QUADRANT_ORDER
from analysis.token_entropy.lens_figures import MAX_COLUMNS
from analysis.token_entropy.measures import forking_tokens, moving_threshold, quadrants
from analysis.token_entropy.strips import marked_tokens
from tests.figures.synthetic import HOSTILE, run

ALTAIR = {
    "along_text": figures.along_text,
    "surprisal_scatter": figures.surprisal_scatter,
    "entropy_histogram": figures.entropy_histogram,
    "lens_curve": figures.lens_curve,
}
each_chart = pytest.mark.parametrize("name", ALTAIR)
each_unit = pytest.mark.parametrize("unit", ["nats", "bits"])


@pytest.fixture(scope="module")
def trace():
    return run()


def layers_of(spec):
    return spec.get("layer", [spec])


def rows(spec, layer):
    """Data of one layer of a chart."""
    data = layer.get("data") or spec["data"]
    return pd.DataFrame(spec["datasets"][data["name"]])


def mark(layer):
    return layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]


def with_mark(spec, kind):
    return [layer for layer in layers_of(spec) if mark(layer) == kind]


def array(z):
    """Numbers of a Plotly array as they are sent: base64 with a type, or a list."""
    if isinstance(z, dict):
        flat = np.frombuffer(base64.b64decode(z["bdata"]), dtype=z["dtype"])
        return flat.reshape([int(v) for v in z["shape"].split(",")]) if "shape" in z else flat
    return np.array(z, dtype=float)


def heat(figure):
    return json.loads(figure.to_json())["data"][0]


# All charts ---------------------------------------------------------------------------------------


@each_chart
@each_unit
def test_charts_are_valid_and_name_their_unit(name, unit, trace):
    spec = ALTAIR[name](trace, unit=unit).to_dict(validate=True)
    said = json.dumps({k: v for k, v in spec.items() if k != "datasets"})
    other = "bits" if unit == "nats" else "nats"
    assert unit in said and not re.search(rf"\b{other}\b", said)
    titles = {
        layer["encoding"][axis].get("title")
        for layer in layers_of(spec)
        for axis in ("x", "y")
        if axis in layer["encoding"]
    }
    assert any(title and unit in title for title in titles)


@each_chart
def test_charts_follow_the_theme(name, trace):
    light, dark = (ALTAIR[name](trace, theme_name=t).to_dict() for t in ("light", "dark"))
    assert light["config"]["background"] == theme("light").ground
    assert dark["config"]["background"] == theme("dark").ground
    assert light["config"]["axis"]["labelColor"] != dark["config"]["axis"]["labelColor"]
    if name != "surprisal_scatter":  # its classes keep their colours
        colour = {t: theme(t).pictures["token_entropy"] for t in ("light", "dark")}
        assert colour["light"] in json.dumps(light) and colour["dark"] not in json.dumps(light)
        assert colour["dark"] in json.dumps(dark) and colour["light"] not in json.dumps(dark)
    assert light["datasets"] == dark["datasets"]


@each_chart
def test_the_same_run_gives_the_same_chart(name, trace):
    assert ALTAIR[name](trace).to_dict() == ALTAIR[name](run()).to_dict()


@each_chart
def test_charts_become_svg_without_anything_outside(name, trace):
    chart = ALTAIR[name](run(texts=HOSTILE))
    data = chart_svg(chart)
    tree = ET.fromstring(data)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(tree.attrib["width"]) > 600
    for element in tree.iter():
        assert element.tag.rpartition("}")[2] not in {"script", "image", "foreignObject", "a"}
        for key, value in element.attrib.items():
            assert "href" not in key and not key.startswith("on")
            assert key == "aria-label" or ("http" not in value and "url(" not in value.replace("url(#", ""))


@each_chart
def test_hostile_tokens_are_data_and_never_part_of_a_chart(name):
    spec = ALTAIR[name](run(texts=HOSTILE)).to_dict()
    said = json.dumps({k: v for k, v in spec.items() if k != "datasets"})
    assert "alert" not in said and "evil" not in said
    json.dumps(spec).encode()  # a lone surrogate would raise in a message to the browser
    assert "\\ud800" not in json.dumps(spec)


@each_chart
def test_drawing_leaves_the_run_as_it_was(name):
    trace = run()
    before = {k: v.copy() for k, v in vars(trace.tokens).items() if isinstance(v, np.ndarray)}
    ALTAIR[name](trace, unit="bits")
    for key, value in before.items():
        np.testing.assert_array_equal(getattr(trace.tokens, key), value)


# Along the text -----------------------------------------------------------------------------------


@each_unit
def test_along_text_draws_the_run(unit, trace):
    spec = figures.along_text(trace, unit=unit).to_dict()
    scale = 1 if unit == "nats" else 1 / math.log(2)
    lines = with_mark(spec, "line")
    assert len(lines) == 3
    data = rows(spec, lines[0])
    assert len(data) == 60
    for column in ("entropy", "surprisal"):
        wanted = getattr(trace.tokens, column).astype(float) * scale
        np.testing.assert_allclose(data[column].astype(float), wanted, rtol=1e-6)
    np.testing.assert_allclose(
        data["threshold"].astype(float), moving_threshold(trace.tokens.entropy) * scale, rtol=1e-6
    )
    assert data["entropy"].isna().tolist() == [True] + [False] * 59
    assert data["threshold"].isna().sum() == 25 + 1
    dots = rows(spec, with_mark(spec, "point")[0])
    assert dots["position"].tolist() == np.flatnonzero(forking_tokens(trace.tokens.entropy)).tolist()
    assert {layer["encoding"]["y"]["title"] for layer in lines} == {unit}
    assert {layer["encoding"]["x"]["title"] for layer in lines} == {"token"}


def test_along_text_can_leave_the_threshold_out(trace):
    spec = figures.along_text(trace, show_threshold=False).to_dict()
    assert len(with_mark(spec, "line")) == 2
    assert "moving threshold" not in json.dumps(spec)
    share = figures.along_text(trace, share=0.5).to_dict()
    assert len(rows(share, with_mark(share, "point")[0])) == 30


def test_a_threshold_beyond_the_chart_is_not_pressed_onto_its_edge(trace):
    """A clamped line would show a threshold where there is none."""
    for layer in with_mark(figures.along_text(trace).to_dict(), "line"):
        assert "clamp" not in layer["encoding"]["y"]["scale"] and layer["mark"]["clip"]


def test_long_texts_are_averaged_and_say_so():
    trace = run(10_000, lens=None)
    spec = figures.along_text(trace).to_dict()
    lines = with_mark(spec, "line")
    data = rows(spec, lines[0])
    step = 3
    assert len(data) == -(-10_000 // step) <= MAX_POINTS
    assert {layer["encoding"]["x"]["title"] for layer in lines} == {"token, mean of 3 tokens"}
    assert not with_mark(spec, "point")
    entropy = trace.tokens.entropy.astype(float)
    assert data["position"].tolist()[:3] == [0, 3, 6]
    np.testing.assert_allclose(data["entropy"][0], entropy[1:3].mean())
    np.testing.assert_allclose(data["entropy"][100], entropy[300:303].mean())
    np.testing.assert_allclose(data["entropy"].iloc[-1], entropy[9_999:].mean())


@each_unit
@pytest.mark.parametrize("n", [60, 10_000])
def test_triggers_stand_at_their_own_tokens_and_entropies(unit, n):
    trace = run(n, lens=None)
    entropy = trace.tokens.entropy.astype(float)
    above = [
        t
        for t in range(11, n)
        if entropy[t] > max(entropy[t - 10 : t].mean() + 1.2 * max(entropy[t - 10 : t].std(), 0.5), 1.8)
    ]
    assert 3 < len(above) < n / 4
    spec = figures.along_text(trace, unit=unit, window=10, factor=1.2).to_dict(validate=True)
    (layer,) = [one for one in with_mark(spec, "point") if one["mark"].get("shape") == "triangle-down"]
    data = rows(spec, layer)
    assert data["position"].tolist() == above
    scale = 1 if unit == "nats" else 1 / math.log(2)
    np.testing.assert_allclose(data["entropy"].astype(float), entropy[above] * scale, rtol=1e-6)
    assert layer["encoding"]["y"]["scale"]["domain"][1] >= data["entropy"].max()
    assert layer["encoding"]["color"]["scale"]["domain"][-1] == "trigger"
    quiet = figures.along_text(trace, window=10, factor=1.2, show_threshold=False).to_dict()
    assert "triangle-down" not in json.dumps(quiet) and "trigger" not in json.dumps(quiet)


def test_a_strip_marks_forking_tokens_or_triggers(trace):
    entropy = trace.tokens.entropy
    marked, name = marked_tokens(entropy)
    assert marked.tolist() == forking_tokens(entropy).tolist() and "top 20% entropy" in name
    marked, name = marked_tokens(entropy, "SRGen triggers", window=10, factor=1.0)
    assert marked.tolist() == (entropy > moving_threshold(entropy, 10, 1.0)).tolist()
    assert marked.sum() > 0 and f"({marked.sum()} here)" in name
    html = figures.token_strip(trace, mark="SRGen triggers", window=10, factor=1.0).html
    assert html.count(' m"') == marked.sum() and "SRGen" in html
    with pytest.raises(ValueError, match="mark must be one of"):
        marked_tokens(entropy, "anything")


# Scatter ------------------------------------------------------------------------------------------


@each_unit
def test_scatter_draws_every_predicted_token(unit, trace):
    spec = figures.surprisal_scatter(trace, unit=unit).to_dict()
    points = with_mark(spec, "point")[0]
    data = rows(spec, points)
    assert data["position"].tolist() == list(range(1, 60))
    scale = 1 if unit == "nats" else 1 / math.log(2)
    tokens = trace.tokens
    np.testing.assert_allclose(data["entropy"], tokens.entropy[1:].astype(float) * scale)
    np.testing.assert_allclose(data["surprisal"], tokens.surprisal[1:].astype(float) * scale)
    np.testing.assert_allclose(data["varentropy"], tokens.varentropy[1:].astype(float) * scale**2)
    # Classes are decided in nats, whatever the unit on screen.
    assert data["class"].tolist() == quadrants(tokens.entropy, tokens.varentropy)[1:].tolist()
    assert points["encoding"]["x"]["title"] == f"entropy before the token ({unit})"
    assert points["encoding"]["y"]["title"] == f"surprisal of the token ({unit})"
    diagonal = rows(spec, with_mark(spec, "line")[0])["a"].tolist()
    assert diagonal == [0.0, pytest.approx(data[["entropy", "surprisal"]].to_numpy().max())]


def test_scatter_tells_classes_apart_by_shape_too(trace):
    encoding = with_mark(figures.surprisal_scatter(trace).to_dict(), "point")[0]["encoding"]
    for channel in ("color", "shape"):
        assert tuple(encoding[channel]["scale"]["domain"]) == QUADRANT_ORDER
        assert len(set(encoding[channel]["scale"]["range"])) == 5


def test_scatter_can_be_clicked(trace):
    params = figures.surprisal_scatter(trace).to_dict()["params"]
    assert [p["name"] for p in params] == ["pick"]
    assert params[0]["select"]["fields"] == ["position"]


def test_scatter_of_a_long_text_says_how_many_it_draws():
    spec = figures.surprisal_scatter(run(10_000, lens=None)).to_dict()
    points = with_mark(spec, "point")[0]
    assert len(rows(spec, points)) == 3333 <= MAX_POINTS
    assert "1 of 3 tokens drawn" in points["encoding"]["x"]["title"]


# Histogram ----------------------------------------------------------------------------------------


@each_unit
def test_histogram_counts_all_predicted_tokens(unit, trace):
    spec = figures.entropy_histogram(trace, 7, unit=unit).to_dict()
    bars = rows(spec, with_mark(spec, "bar")[0])
    assert bars["tokens"].sum() == 59
    here = rows(spec, with_mark(spec, "rule")[0])["here"].tolist()
    scale = 1 if unit == "nats" else 1 / math.log(2)
    assert here == [pytest.approx(float(trace.tokens.entropy[7]) * scale)]
    assert bars["high"].iloc[-1] == pytest.approx(float(np.nanmax(trace.tokens.entropy)) * scale)


@pytest.mark.parametrize("position", [None, 0])
def test_histogram_without_a_value_has_no_rule(position, trace):
    assert not with_mark(figures.entropy_histogram(trace, position).to_dict(), "rule")


def test_a_text_without_any_doubt_can_be_drawn():
    trace = run(30, lens=None)
    zero = np.where(np.isnan(trace.tokens.entropy), np.nan, 0).astype(np.float32)
    sure = replace(trace, tokens=replace(trace.tokens, entropy=zero, surprisal=zero, varentropy=zero))
    for name in ("along_text", "surprisal_scatter", "entropy_histogram"):
        chart_svg(ALTAIR[name](sure))
    figures.token_strip(sure)


def test_a_text_of_two_tokens_can_be_drawn():
    trace = run(2)
    for build in ALTAIR.values():
        chart_svg(build(trace))
    assert heat(figures.lens_heatmap(trace))["type"] == "heatmap"
    figures.token_strip(trace)


# Lens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "field"), [("entropy", "lens_entropy"), ("kl", "lens_kl")])
@each_unit
def test_lens_heatmap_draws_the_run(quantity, field, unit, trace):
    figure = figures.lens_heatmap(trace, quantity, unit=unit)
    assert [t.type for t in figure.data] == ["heatmap"]
    sent = heat(figure)
    z = array(sent["z"])
    assert z.shape == (3, 60) and z.dtype == np.float32
    scale = 1 if unit == "nats" else 1 / math.log(2)
    np.testing.assert_allclose(z, getattr(trace.layers, field) * scale, rtol=1e-6)
    assert np.isnan(z[:, 0]).all()
    assert array(sent["x"]).tolist() == list(range(60)) and array(sent["y"]).tolist() == [0, 2, 4]
    assert sent["colorbar"]["title"]["text"] == unit and unit in sent["hovertemplate"]
    assert figure.layout.xaxis.title.text == "token" and figure.layout.yaxis.title.text == "layer"
    assert sent["zmin"] == 0
    assert sent["zmax"] == pytest.approx(np.nanpercentile(z, 99.5), rel=1e-5)


def test_lens_heatmap_is_the_same_twice_and_follows_the_theme(trace):
    one, two = figures.lens_heatmap(trace), figures.lens_heatmap(run())
    assert one.to_json() == two.to_json()
    dark = figures.lens_heatmap(trace, theme_name="dark")
    assert dark.layout.paper_bgcolor == theme("dark").ground != one.layout.paper_bgcolor
    assert dark.data[0].colorscale != one.data[0].colorscale
    assert dark.data[0].colorscale[0][1] == theme("dark").panel.lower()


def test_lens_heatmap_of_a_long_text_keeps_the_largest():
    trace = run(2000)
    spike = trace.layers.lens_entropy.copy()
    spike[1, 777] = 99.0
    trace = replace(trace, layers=replace(trace.layers, lens_entropy=spike))
    figure = figures.lens_heatmap(trace)
    sent = heat(figure)
    z, x = array(sent["z"]), array(sent["x"])
    assert z.shape == (3, 500) and z.shape[1] <= MAX_COLUMNS
    assert x.tolist() == list(range(0, 2000, 4))
    assert z[1, 777 // 4] == 99.0 and x[777 // 4] == 776
    np.testing.assert_allclose(z[0, 0], np.nanmax(spike[0, :4]))  # the missing first value does not spread
    assert "largest of 4 neighbours" in figure.layout.xaxis.title.text
    assert sent.get("text") is None
    part = figures.lens_heatmap(trace, first=700, last=800)
    assert array(heat(part)["z"]).shape == (3, 100) and array(heat(part)["x"])[0] == 700
    assert part.layout.xaxis.title.text == "token"


def test_hostile_tokens_are_letters_in_a_hover():
    """Plotly reads a little HTML in hovers: bold becomes bold, and unknown tags vanish."""
    sent = heat(figures.lens_heatmap(run(texts=HOSTILE)))
    shown = [text for row in [*sent["customdata"], *sent["text"]] for text in row]
    assert shown and not any("<" in text for text in shown)
    assert "&lt;|im_end|&gt;" in shown and "&amp;lt;" in shown
    assert any("↵" in text and "→" in text and "·" in text for text in shown)


@pytest.mark.parametrize(("first", "last"), [(60, 61), (5, 5), (-1, 4), (0, 61), (9, 3)])
def test_lens_heatmap_refuses_what_is_not_a_stretch(first, last, trace):
    with pytest.raises(ValueError, match="not a stretch"):
        figures.lens_heatmap(trace, first=first, last=last)


def test_figures_of_the_lens_say_when_there_is_none():
    for build in (figures.lens_heatmap, figures.lens_curve):
        with pytest.raises(ValueError, match="no lens"):
            build(run(lens=None))


@each_unit
def test_lens_curve_is_the_mean_over_predicted_tokens(unit, trace):
    spec = figures.lens_curve(trace, unit=unit).to_dict()
    data = rows(spec, spec)
    scale = 1 if unit == "nats" else 1 / math.log(2)
    wanted = trace.layers.lens_entropy[:, 1:].astype(float).mean(axis=1) * scale
    np.testing.assert_allclose(data["entropy"], wanted)
    assert data["layer"].tolist() == [0, 2, 4]


def test_plotly_html_needs_nothing_from_outside():
    page = plotly_html(figures.lens_heatmap(run(texts=HOSTILE))).decode()
    assert page.lower().startswith(("<!doctype html", "<html")) and 'charset="utf-8"' in page[:300]
    own = page[page.rindex("Plotly.newPlot") :]
    assert len(own) < 100_000, "what follows the library"
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*\b(src|href)\s*=", page[:2000] + own)
    assert '"showSendToCloud": false' in own
    assert "<img" not in own and "</script><script>alert" not in own


# Words before a token -------------------------------------------------------------------------------


def svg_texts(chart):
    tree = ET.fromstring(chart_svg(chart))
    assert not {e.tag.rpartition("}")[2] for e in tree.iter()} & {"script", "image", "foreignObject", "a"}
    return ["".join(e.itertext()) for e in tree.iter() if e.tag.endswith("}text")]


def test_expected_tokens_are_bars_of_their_probabilities(trace):
    spec = figures.expected_tokens(trace, 5).to_dict(validate=True)
    drawn = rows(spec, spec)
    np.testing.assert_allclose(drawn["probability"][:3], np.exp(trace.tokens.top_logprobs[5].astype(float)))
    assert drawn["came"].sum() == 1 and drawn["percent"][0] == "22.3 %"
    (bars,) = with_mark(spec, "bar")
    assert bars["encoding"]["color"] == {
        "condition": {"test": "datum.came", "value": theme("light").ink},
        "value": theme("light").pictures["token_entropy"],
    }
    shown = svg_texts(figures.expected_tokens(trace, 5))
    assert [text for text in shown if "%" in text] == drawn["percent"].tolist()
    with pytest.raises(ValueError, match="nothing came before"):
        figures.expected_tokens(trace, 0)


@pytest.mark.parametrize("quantity", ["entropy", "kl", "rank"])
def test_lens_window_writes_each_layers_word_and_frames_the_choice(quantity, trace):
    spec = figures.lens_window(trace, quantity, first=20, width=5, token=22, layer=2).to_dict(validate=True)
    cells = rows(spec, layers_of(spec)[0])
    assert cells["layer"].unique().tolist() == [4, 2, 0] and cells["position"].unique().tolist() == [
        20,
        21,
        22,
        23,
        24,
    ]
    for _, cell in cells.iterrows():
        layer = [0, 2, 4].index(cell["layer"])
        says = trace.layers.lens_top_ids[:, cell["position"]]
        assert cell["says"] == visible(trace.tokens.names[int(says[layer])])
        assert (cell["edge"] == theme("light").ink) == (says[layer] == says[-1])
    column, row = (rows(spec, layer) for layer in layers_of(spec)[2:])
    assert column["token"][0].startswith("22\n") and row["layer"].tolist() == [2]
    assert len(layers_of(figures.lens_window(trace, quantity, token=50).to_dict())) == 2, "not in the window"
    svg = svg_texts(figures.lens_window(trace, quantity, first=20, width=5))
    assert [text for text in svg if text[-2:] in ("20", "21", "22", "23", "24")]


def test_words_before_hostile_tokens_are_data():
    hostile = run(texts=HOSTILE)
    for chart in (figures.expected_tokens(hostile, 3), figures.lens_window(hostile, token=3)):
        spec = chart.to_dict(validate=True)
        said = json.dumps({k: v for k, v in spec.items() if k != "datasets"})
        assert "alert" not in said and "evil" not in said and "\\ud800" not in json.dumps(spec)
        svg_texts(chart)


def test_curve_and_scatter_mark_the_chosen_token(trace):
    plain, marked = (figures.along_text(trace, token=t, pick=t is not None).to_dict() for t in (None, 7))
    (own,) = [x for x in with_mark(marked, "rule") if rows(marked, x)["position"].tolist() == [7]]
    assert own["mark"]["color"] == theme("light").ink and len(layers_of(marked)) == len(layers_of(plain)) + 2
    assert any(parameter["name"] == "pick" for parameter in marked["params"])
    ring = layers_of(figures.surprisal_scatter(trace, token=7).to_dict())[-1]
    assert ring["mark"]["stroke"] == theme("light").ink
    assert len(layers_of(figures.surprisal_scatter(trace, token=0).to_dict())) == 2, "it had no context"


# Strip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", TOKEN_QUANTITIES)
def test_token_strip_draws_every_quantity(quantity):
    trace = run(texts=HOSTILE)
    light = figures.token_strip(trace, quantity)
    assert light.html == figures.token_strip(trace, quantity).html
    assert light.html != figures.token_strip(trace, quantity, theme_name="dark").html
    assert not re.search(r"<(script|img|a|iframe|link)\b", light.html)
    assert "&lt;img" in light.html
    assert "some &lt;b&gt;model&lt;/b&gt;" in light.html, "the caption is text too"
    in_bits = figures.token_strip(trace, quantity, unit="bits").html
    has_unit = quantity in ("entropy", "surprisal", "gap", "varentropy")
    assert ("bits" in in_bits) == has_unit and ("nats" in light.html) == has_unit
    assert "nats" not in in_bits
    document = light.document(title="<i>")
    assert document.startswith("<!doctype html>") and "<title>&lt;i&gt;</title>" in document


def test_altair_is_not_left_in_another_theme(trace):
    before = alt.theme.active
    figures.along_text(trace)
    assert alt.theme.active == before
