"""The Bigram-Backcopy pictures: what is drawn, from which numbers, in which colours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.charts import chart_svg
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.labs.backcopy.figures import (
    character_frame,
    first_token_figure,
    forming_figure,
    forming_panels,
    risks_figure,
)
from analysis.entropy_collapse.labs.backcopy.results import VARIANTS, BackcopyRun, BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import OracleRisks
from analysis.units import from_nats

ROOT = Path(__file__).parents[2]
ORACLE = OracleRisks(markov=2.0, backcopy=0.0, overall=1.5, trigger_share=0.25, bigram_on_triggers=6.0)


def made(**settings) -> BackcopyRun:
    """A run of five looks with numbers that tell the fields apart."""
    settings = BackcopySettings(**settings)
    rng = np.random.default_rng(settings.layers)
    n, n_layers = 5, settings.layers

    def heads() -> np.ndarray:
        return rng.uniform(0.1, 0.9, (n, n_layers))

    def states() -> np.ndarray:
        return rng.uniform(1, 9, (n, n_layers + 1))

    return BackcopyRun(
        settings=settings,
        oracle=ORACLE,
        step=np.arange(n) * 10,
        markov=np.linspace(4.0, 2.1, n),
        markov_error=np.full(n, 0.01),
        backcopy=np.linspace(4.1, 0.2, n),
        sink=heads(),
        sink_ordinary=heads(),
        sink_trigger=heads() / 10,
        row_mass=np.ones((n, n_layers)),
        delta_logit=heads(),
        value_drain=heads(),
        residual_token=states(),
        residual_median=states(),
        residual_max=states(),
        characters="\n <&",
        triggers=(1,),
        by_character=np.array([[0.5, 0.01, 0.7, np.nan]] * n_layers),
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def pair():
    return [made(), made(layers=3, optimizer="sgd", attention="relu")]


def layers_of(spec):
    """Every drawn layer of a chart with its own table."""
    for layer in spec["layer"]:
        data = layer.get("data") or spec["data"]
        yield layer, pd.DataFrame(spec["datasets"][data["name"]])


def lines_of(spec):
    (found,) = [pair for pair in layers_of(spec) if pair[0]["mark"]["type"] == "line"]
    return found


def levels_of(spec):
    return [table["level"].iloc[0] for layer, table in layers_of(spec) if layer["mark"]["type"] == "rule"]


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_risks_are_the_runs_and_the_levels_the_oracles(pair, unit):
    spec = risks_figure(pair, unit=unit).to_dict()
    layer, table = lines_of(spec)
    assert layer["encoding"]["y"]["title"] == f"risk ({unit})"
    assert layer["encoding"]["x"]["title"] == "step"
    for after, name in (("ordinary characters", "markov"), ("triggers", "backcopy")):
        for run in pair:
            drawn = table[(table["after"] == after) & (table["run"] == run.settings.variant)]
            np.testing.assert_allclose(drawn["value"], from_nats(getattr(run, name), unit))
            np.testing.assert_array_equal(drawn["step"], run.step)
    assert levels_of(spec) == [pytest.approx(from_nats(2.0, unit)), 0.0]
    assert f"{from_nats(2.0, unit):.3f} {unit}" in json.dumps(spec)


def test_a_variant_has_its_colour_in_every_company(pair):
    for runs in (pair, pair[:1], pair[1:], pair[::-1]):
        for chart in (risks_figure(runs), forming_panels(runs)[0]):
            scale = lines_of(chart.to_dict())[0]["encoding"]["color"]["scale"]
            for name, colour in zip(scale["domain"], scale["range"], strict=True):
                assert colour == OKABE_ITO[VARIANTS.index(name)]
            assert set(scale["domain"]) == {run.settings.variant for run in runs}


def test_panels_show_the_layer_with_the_strongest_sink(pair):
    sink, drain, peak = (panel.to_dict() for panel in forming_panels(pair))
    for run in pair:
        layer = int(np.argmax(run.sink_ordinary[-1]))
        mine = {name: lines_of(spec)[1] for name, spec in (("sink", sink), ("drain", drain), ("peak", peak))}
        mine = {name: table[table["run"] == run.settings.variant] for name, table in mine.items()}
        ordinary = mine["sink"][mine["sink"]["after"] == "ordinary characters"]["value"]
        np.testing.assert_allclose(ordinary, run.sink_ordinary[:, layer])
        triggers = mine["sink"][mine["sink"]["after"] == "triggers"]["value"]
        np.testing.assert_allclose(triggers, run.sink_trigger[:, layer])
        np.testing.assert_allclose(mine["drain"]["value"], run.value_drain[:, layer])
        after_blocks = (run.residual_token / run.residual_median)[:, 1:]
        np.testing.assert_allclose(mine["peak"]["value"], after_blocks.max(1))
    uniform = np.mean([1 / (i + 1) for i in range(1, pair[0].settings.length)])
    assert levels_of(sink) == [pytest.approx(uniform)]
    assert levels_of(drain) == levels_of(peak) == [1.0]


def test_two_seeds_of_a_variant_are_two_lines():
    spec = risks_figure([made(), made(seed=1)]).to_dict()
    layer, table = lines_of(spec)
    assert layer["encoding"]["detail"]["field"] == "seed" and set(table["seed"]) == {0, 1}


def test_characters_are_marked_and_absent_ones_left_out(pair):
    frame = character_frame(pair[0])
    assert list(frame["character"]) == ["\n", " ", "<"]
    assert list(frame["kind"]) == ["ordinary", "trigger", "ordinary"]
    np.testing.assert_allclose(frame["attention"], [0.5, 0.01, 0.7])
    spec = first_token_figure(pair[0]).to_dict()
    (table,) = spec["datasets"].values()
    assert [row["character"] for row in table] == ["↵", "·", "<"]
    assert spec["encoding"]["y"]["title"] == "attention on token 0"
    assert first_token_figure(pair[1], 2).to_dict()["datasets"] != spec["datasets"]


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_figure_follows_the_theme_and_becomes_a_file(pair, name):
    charts = [risks_figure(pair, theme_name=name), *forming_panels(pair, theme_name=name)]
    charts += [forming_figure(pair, theme_name=name), first_token_figure(pair[0], theme_name=name)]
    for chart in charts:
        assert chart.to_dict()["config"]["background"] == theme(name).ground
    for chart in charts[-2:]:
        assert chart_svg(chart).startswith(b"<svg")


def test_the_figures_and_results_need_no_torch():
    code = "import analysis.entropy_collapse.labs.backcopy.figures, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "streamlit"} & set(done.stdout.split())
