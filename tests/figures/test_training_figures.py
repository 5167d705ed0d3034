"""Training curves, the law, and what entropy was spent on: what is drawn, from which numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from analysis.drawing.charts import MAX_POINTS, chart_svg
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.training.figures import apart, colours_of, training_chart
from analysis.entropy_collapse.training.law import fit_law, predict_rest
from analysis.entropy_collapse.training.law_figures import law_chart, points_chart, spent_chart
from analysis.entropy_collapse.training.onset import collapse_onset, entropy_spent, smoothed
from analysis.entropy_collapse.training.results import TrainingCurve
from analysis.errors import AnalysisError

LN2 = np.log(2)


def run(name="a", n=40, meaning="per token", **more):
    h = np.linspace(2.0, 0.1, n)
    columns = {"entropy": h, "reward": 0.75 - 0.1 * np.exp(h)}
    step = 10.0 * np.arange(1, n + 1)
    clock = {"tokens": 1000 * step, "seconds": 30.0 * np.arange(n)}
    curve = TrainingCurve(name, "test", step, columns, {c: c for c in columns}, meaning=meaning, **clock)
    return replace(curve, **more) if more else curve


def layers(chart):
    return chart.to_dict()["layer"]


def rows(chart, k=0):
    spec = chart.to_dict()
    layer = spec["layer"][k]
    return spec["datasets"][layer.get("data", spec.get("data"))["name"]]


def marks(chart):
    return [layer["mark"]["type"] for layer in layers(chart)]


# Curves -----------------------------------------------------------------------------------------------


def test_raw_values_stay_beside_the_smoothed():
    curve = run()
    chart = training_chart([curve], smoothing=0.9)
    data = rows(chart)
    np.testing.assert_allclose([r["value"] for r in data], curve.entropy)
    np.testing.assert_allclose([r["smooth"] for r in data], smoothed(curve.entropy, 0.9))
    assert marks(chart) == ["line", "point", "line"]
    thin, _, thick = layers(chart)
    assert thin["mark"]["strokeWidth"] < thick["mark"]["strokeWidth"] and thin["mark"]["opacity"] < 1
    assert (thin["encoding"]["y"]["field"], thick["encoding"]["y"]["field"]) == ("value", "smooth")
    assert marks(training_chart([curve], smoothing=0)) == ["line", "point"]


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_entropy_is_converted_and_the_axis_says_so(unit):
    curve = run()
    chart = training_chart([curve], unit=unit)
    factor = 1 if unit == "nats" else 1 / LN2
    np.testing.assert_allclose([r["value"] for r in rows(chart)], curve.entropy * factor)
    assert layers(chart)[0]["encoding"]["y"]["title"] == f"entropy ({unit} per token)"
    reward = training_chart([curve], "reward", unit=unit)
    np.testing.assert_allclose([r["value"] for r in rows(reward)], curve.reward)
    unknown = training_chart([run(meaning="not known")], unit=unit)
    np.testing.assert_allclose([r["value"] for r in rows(unknown)], curve.entropy)
    assert layers(unknown)[0]["encoding"]["y"]["title"] == "entropy as logged (unit not known)"


def test_a_threshold_is_a_line_through_the_entropy_alone():
    curve = run()
    for unit, value in (("nats", 0.5), ("bits", 0.5 / LN2)):
        chart = training_chart([curve], threshold=0.5, unit=unit)
        assert marks(chart)[-1] == "rule" and rows(chart, -1)[0]["value"] == pytest.approx(value)
    assert "rule" not in marks(training_chart([curve], "reward", threshold=0.5))
    assert "rule" not in marks(training_chart([run(meaning="per sequence")], threshold=0.5))
    assert "rule" not in marks(training_chart([curve]))


@pytest.mark.parametrize(
    ("x", "values", "title"),
    [
        ("step", 10.0 * np.arange(1, 41), "training step"),
        ("tokens", 10_000.0 * np.arange(1, 41), "tokens processed"),
        ("time", 0.5 * np.arange(40), "time (minutes)"),
    ],
)
def test_axes(x, values, title):
    chart = training_chart([run()], x=x)
    np.testing.assert_allclose([r["x"] for r in rows(chart)], values)
    assert layers(chart)[0]["encoding"]["x"]["title"] == title


def test_gaps_are_not_bridged():
    h = np.linspace(2, 1, 40)
    h[[10, 11]] = np.nan
    chart = training_chart([run(columns={"entropy": h})])
    data = rows(chart)
    assert len(data) == 40 and data[10]["value"] is None and data[11]["smooth"] is None
    assert data[12]["smooth"] == pytest.approx(smoothed(h, 0.6)[12])
    for layer in (layers(chart)[0], layers(chart)[2]):
        assert layer["mark"]["invalid"] == "break-paths-show-path-domains"


def test_sums_and_means_never_share_an_axis():
    mean, total, unknown = run("m"), run("s", meaning="per sequence"), run("u", meaning="not known")
    for pair in ([mean, total], [mean, unknown], [total, unknown]):
        with pytest.raises(AnalysisError, match="do not belong on one axis"):
            training_chart(pair)
        assert len(apart(pair)) == 2
        training_chart(pair, "reward")
    estimate = run("e", meaning="estimator")
    assert apart([mean, total, estimate]) == [[mean, estimate], [total]]
    assert len({row["run"] for row in rows(training_chart([mean, estimate]))}) == 2
    summed = training_chart([total])
    assert layers(summed)[0]["encoding"]["y"]["title"] == "entropy (nats per answer, summed)"


def test_a_run_keeps_its_colour_in_every_chart():
    runs = [run("a"), run("b", meaning="per sequence"), run("c")]
    colours = colours_of([c.name for c in runs])
    assert list(colours.values()) == list(OKABE_ITO[:3])
    scale = layers(training_chart([runs[2]], colours=colours))[0]["encoding"]["color"]["scale"]
    assert scale == {"domain": ["c"], "range": [OKABE_ITO[2]]}


def test_onset_is_marked_where_it_is():
    h = np.concatenate([np.full(15, 2.0), np.full(45, 0.01)])
    r = np.concatenate([np.linspace(0, 1, 15), np.ones(45)])
    step = 10.0 * np.arange(1, 61)
    curve = run(step=step, columns={"entropy": h, "reward": r}, tokens=5 * step, seconds=None)
    onset = collapse_onset(curve)
    assert onset.step is not None
    for x, factor in (("step", 1), ("tokens", 5)):
        chart = training_chart([curve], x=x, onsets={"a": onset})
        assert marks(chart)[-1] == "rule"
        (mark,) = rows(chart, -1)
        assert mark["x"] == factor * onset.step and "Collapsed" in mark["what"]
    assert "rule" not in marks(training_chart([run()], onsets={"a": collapse_onset(run())}))


def test_held_out_rows_are_diamonds_of_their_own():
    held = TrainingCurve("e", "test", np.array([100.0, 200.0]), {"reward": np.array([0.3, 0.4])}, {})
    curve = run(evaluation=held)
    chart = training_chart([curve], "reward", x="tokens")
    diamonds = [k for k, layer in enumerate(layers(chart)) if layer["mark"].get("shape") == "diamond"]
    assert [(r["x"], r["value"]) for r in rows(chart, diamonds[0])] == [(100_000, 0.3), (200_000, 0.4)]
    assert all(r["value"] not in (0.3, 0.4) for r in rows(chart))
    assert "diamond" not in json.dumps(training_chart([curve]).to_dict())


def test_long_runs_are_thinned_to_their_own_values():
    n = 3 * MAX_POINTS
    h = np.random.default_rng(0).uniform(size=n)
    curve = TrainingCurve("a", "test", np.arange(n, dtype=float), {"entropy": h}, {}, meaning="per token")
    chart = training_chart([curve])
    data = rows(chart)
    assert len(data) == MAX_POINTS and "every 3 rows" in layers(chart)[0]["encoding"]["x"]["title"]
    assert all(row["value"] == h[int(row["step"])] for row in data)


def test_what_is_not_in_the_log_is_not_drawn():
    with pytest.raises(AnalysisError, match="No run has kl over step"):
        training_chart([run()], "kl")
    with pytest.raises(AnalysisError, match="over tokens"):
        training_chart([run(tokens=None)], x="tokens")
    with_tokens = training_chart([run("a"), run("b", tokens=None)], x="tokens")
    assert {row["run"] for row in rows(with_tokens)} == {"a"}
    with pytest.raises(ValueError, match="same name"):
        training_chart([run(), run()])


# The law ----------------------------------------------------------------------------------------------


def law_run():
    h = np.linspace(1.5, 0.1, 60)
    return h, 0.75 - 0.15 * np.exp(h) + np.random.default_rng(0).normal(0, 0.01, 60)


def test_the_law_is_dashed_beyond_its_points():
    h, r = law_run()
    fit = fit_law(h, r)
    chart = law_chart(fit, predict_rest(h, r, share=0.4))
    lines = next(k for k, layer in enumerate(layers(chart)) if layer["mark"]["type"] == "line")
    encoding = layers(chart)[lines]["encoding"]
    assert encoding["strokeDash"]["scale"]["range"] == [[1, 0], [5, 4]]
    data = rows(chart, lines)
    for name, low in (("law", 0.1), ("straight line", 0.1), ("law of the first 40%", h[23])):
        own = [row for row in data if row["fit"] == name]
        solid = [row["x"] for row in own if row["where"] == "where its points are"]
        dashed = [row["x"] for row in own if row["where"] == "beyond its points"]
        assert min(solid) == pytest.approx(low, abs=0.02) and max(solid) == pytest.approx(1.5, abs=0.02)
        assert min(dashed) == 0 and max(dashed) == pytest.approx(1.5 + 0.15 * 1.4)
    law = [row for row in data if row["fit"] == "law"]
    expected = fit.predict(np.array([row["x"] for row in law]))
    np.testing.assert_allclose([row["reward"] for row in law], expected)
    (ceiling,) = rows(chart, len(layers(chart)) - 1)
    assert ceiling["reward"] == pytest.approx(fit.ceiling) and ceiling["low"] < fit.ceiling < ceiling["high"]
    assert ceiling["x"] == 0


def test_the_law_in_bits_bends_the_axis_only():
    h, r = law_run()
    fit = fit_law(h, r)
    nats, bits = (rows(law_chart(fit, unit=unit), 1) for unit in ("nats", "bits"))
    np.testing.assert_allclose([row["x"] for row in bits], np.array([row["x"] for row in nats]) / LN2)
    assert [row["reward"] for row in bits] == [row["reward"] for row in nats] == r.tolist()
    band = rows(law_chart(fit), 0)
    assert all(row["low"] <= row["high"] for row in band)


def test_refused_runs_still_show_their_points():
    curve = run(meaning="per sequence")
    chart = points_chart(curve)
    assert marks(chart) == ["point"]
    np.testing.assert_allclose([row["x"] for row in rows(chart)], curve.entropy)
    assert layers(chart)[0]["encoding"]["x"]["title"] == "entropy (nats per answer, summed)"


def test_spent_against_gained():
    curve = run()
    spent = entropy_spent(curve)
    chart = spent_chart({"a": spent}, unit="bits")
    data = rows(chart)
    np.testing.assert_allclose([row["entropy_spent"] for row in data], spent.entropy_spent / LN2)
    np.testing.assert_allclose([row["reward_gained"] for row in data], spent.reward_gained)
    assert sum(row["tenth"] for row in data) == 11 and data[-1]["tenth"]


@pytest.mark.parametrize("name", ["light", "dark"])
def test_both_themes_and_files(name):
    h, r = law_run()
    hostile = "<script>alert(1)</script>"
    charts = [
        training_chart([run(hostile), run("b")], theme_name=name),
        law_chart(fit_law(h, r), theme_name=name),
        points_chart(run(), theme_name=name),
        spent_chart({hostile: entropy_spent(run())}, theme_name=name),
    ]
    for chart in charts:
        assert chart.to_dict()["config"]["background"] == theme(name).ground
        svg = chart_svg(chart).decode()
        assert svg.startswith("<svg") and "<script" not in svg


def test_figures_need_no_model_library():
    code = (
        "import sys, analysis.entropy_collapse.training.law_figures, analysis.entropy_collapse.training.figures\n"
        "assert not {'torch', 'transformers', 'streamlit', 'tensorboard'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
