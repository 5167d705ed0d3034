"""The pictures of prompt compression: what is drawn, from which numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.charts import chart_svg
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.pruning_effects.compression import figures
from analysis.pruning_effects.compression.results import (
    METHODS,
    Compressed,
    CompressionResult,
    CompressionSweep,
)

WORDS = ("One", " <b>two</b>", " \u202ethree", "\n", "four")


def compressed(method="gradient", kept=0.5, seed=0, n_tokens=2, scores=None):
    n = len(WORDS)
    return Compressed(
        method=method,
        kept=kept,
        unit="word",
        seed=seed,
        budget=3,
        original="".join(WORDS),
        text="Onefour",
        n_original=n,
        n_tokens=n_tokens,
        keep=np.array([True, False, False, False, True]),
        spans=np.array([[0, 3], [20, 24]]),
        scores=np.array([0.5, 0.25, np.nan, 0.0, 2.0], np.float32) if scores is None else scores,
        cell=np.arange(n, dtype=np.int32),
        cell_text=WORDS,
        score_name="|gradient x input|, nats",
    )


@pytest.fixture(scope="module")
def sweep():
    readings = [
        CompressionResult(compressed("gradient", 0.5, n_tokens=3), 1.25),
        CompressionResult(
            compressed("gradient", 0.2, n_tokens=1), 0.75
        ),  # below the whole context: not clipped
        CompressionResult(compressed("bottom gradient", 0.5), 4.0),
        CompressionResult(compressed("first", 0.5), 2.0),
    ]
    readings += [
        CompressionResult(compressed("random", 0.5, seed=s), value) for s, value in enumerate((2.0, 3.0, 7.0))
    ]
    return CompressionSweep(
        "m",
        "float32",
        "CPU",
        "One …",
        "Q?",
        "A",
        "word",
        5,
        2,
        1.0,
        6.0,
        tuple(readings),
        {"reagent": "long"},
    )


def layers(sweep, **more):
    spec = figures.compression_curves(sweep, **more).to_dict()
    found = []
    for layer in spec["layer"]:
        data = layer.get("data") or spec.get("data")
        found.append((layer, pd.DataFrame(spec["datasets"][data["name"]])))
    return found


def test_the_frame_joins_seeds_and_clips_nothing(sweep):
    frame = figures.compression_frame(sweep).set_index(["method", "kept"])
    assert frame.loc[("gradient", 0.2), "mean"] == -0.25
    random = frame.loc[("random", 0.5)]
    assert (random["mean"], random["low"], random["high"], random["runs"]) == (3.0, 1.0, 6.0, 3)
    assert frame.loc[("gradient", 0.5), "share"] == pytest.approx(3 / 5)  # tokens, not the share asked for
    assert set(frame.index.get_level_values(0)) == {"gradient", "bottom gradient", "first", "random"}
    bits = figures.compression_frame(sweep, "bits").set_index(["method", "kept"])
    assert bits.loc[("gradient", 0.2), "mean"] == pytest.approx(-0.25 / math.log(2))


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_curves_name_their_units_and_references(sweep, unit):
    (rule, marks), (band, bands), (line, data) = layers(sweep, unit=unit)
    assert line["encoding"]["y"]["title"] == f"change of NLL ({unit} per token)"
    assert line["encoding"]["x"]["title"] == "share of the context's tokens kept"
    assert (
        rule["mark"]["type"] == "rule" and band["mark"]["type"] == "area" and line["mark"]["type"] == "line"
    )
    scale = 1 if unit == "nats" else math.log(2)
    assert sorted(marks["mean"]) == pytest.approx([0, 5 / scale])
    assert bands["method"].unique().tolist() == ["random"]
    assert data["mean"].min() == pytest.approx(-0.25 / scale)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_a_method_has_one_colour_everywhere(sweep, name):
    _, _, (line, _) = layers(sweep, theme_name=name)
    scale = line["encoding"]["color"]["scale"]
    drawn = dict(zip(scale["domain"], scale["range"], strict=True))
    assert drawn["gradient"] == drawn["bottom gradient"] == OKABE_ITO[3]
    assert drawn["random"] == OKABE_ITO[7] and drawn["first"] == theme(name).muted
    dashes = line["encoding"]["strokeDash"]["scale"]
    dash = dict(zip(dashes["domain"], dashes["range"], strict=True))
    assert dash["gradient"] != dash["bottom gradient"]
    looks = {
        (figures.method_colour(m, name), tuple(figures._dash(m)))
        for m in METHODS
        if not m.startswith("bottom ")
    }
    assert len(looks) == len([m for m in METHODS if not m.startswith("bottom ")])
    assert line["encoding"]["color"]["scale"]["domain"] == ["gradient", "random", "first", "bottom gradient"]
    assert set(METHODS) >= set(drawn)


def test_curves_can_be_saved_and_are_the_same_twice(sweep):
    one, two = (figures.compression_curves(sweep).to_dict() for _ in range(2))
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert b"<svg" in chart_svg(figures.compression_curves(sweep))


def test_the_strip_marks_kept_words_in_their_place():
    strip = figures.kept_strip(compressed())
    assert strip.values.tolist() == [1, 0, 0, 0, 1] and strip.cell_text == WORDS
    assert [strip.buckets[int(v)] for v in strip.values] == [
        "kept",
        "left out",
        "left out",
        "left out",
        "kept",
    ]
    assert "0.5" in strip.details[0] and "no score" in strip.details[2]
    html = figures.compression_strip(compressed()).html
    assert "<b>two" not in html and "&lt;b&gt;two" in html
    assert "2 of 5 tokens" in html


def test_a_sweep_without_readings_can_be_drawn(sweep):
    from dataclasses import replace

    assert figures.compression_curves(replace(sweep, readings=())).to_dict()["layer"]


def test_figures_and_results_load_no_torch():
    code = (
        "import analysis.pruning_effects.compression.figures, analysis.pruning_effects.compression.results, sys;"
        "print(*{'torch', 'transformers', 'streamlit'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
