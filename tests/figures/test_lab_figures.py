"""Pictures of the lab: what is drawn, from which numbers, in which colour."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from analysis.drawing.charts import chart_svg
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.labs.four_squares import exchange_figures, figures
from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED, EntropyBonus, KLCov
from analysis.entropy_collapse.labs.four_squares.results import (
    EVALUATION_ARRAYS,
    STEP_ARRAYS,
    LabRun,
    LabSettings,
)
from analysis.entropy_collapse.training.law import fit_law
from tests.figures.synthetic import data_of

QUANTITIES = {
    "entropy": "entropy",
    "forks": "fork_entropy",
    "followers": "follower_entropy",
    "reward": "pass_1",
    "pass@k": "pass_k",
    "held-out pass@1": "held_pass_1",
    "held-out pass@k": "held_pass_k",
    "distinct": "distinct",
    "validity": "validity",
    "top share": "top_share",
    "covariance": "covariance",
    "answer entropy": "answer_entropy",
}
IN_NATS = {"entropy", "forks", "followers", "covariance", "answer entropy"}


def lab_run(intervention=RESCALED["none"], seed=0, steps=30, done=30):
    """A run whose reward follows the law R = -0.9 exp(H) + 1.8."""
    rng = np.random.default_rng(seed + len(intervention.name))
    entropy = np.linspace(0.6, 0.05, steps)[:done]
    values = {name: rng.uniform(0.1, 1, done) for name in STEP_ARRAYS}
    values |= {"entropy": entropy, "reward": 1.8 - 0.9 * np.exp(entropy) + rng.normal(0, 0.01, done)}
    values |= {"change": -0.01 * rng.uniform(0.5, 1, done)}
    evaluated = np.arange(0, done + 1, 10)
    values |= {name: rng.uniform(0.1, 1, len(evaluated)) for name in EVALUATION_ARRAYS}
    return LabRun(settings=LabSettings(intervention, seed=seed, steps=steps), evaluated=evaluated, **values)


RUNS = [lab_run(), lab_run(EntropyBonus(0.1)), lab_run(KLCov(0.2, 1.0))]


def layers(spec):
    return spec.get("layer", [spec])


def test_every_intervention_has_its_own_colour_and_dash():
    looks = {(figures.COLOURS[name], tuple(figures.DASHES[name])) for name in RESCALED}
    assert len(looks) == len(RESCALED) and set(figures.COLOURS.values()) == set(OKABE_ITO)


@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_colours_do_not_depend_on_what_else_is_drawn(theme_name):
    def scale(runs):
        spec = figures.lab_curve(runs, "entropy", theme_name=theme_name).to_dict()
        found = layers(spec)[0]["encoding"]["color"]["scale"]
        return dict(zip(found["domain"], found["range"], strict=True))

    alone, together = scale(RUNS[2:]), scale(RUNS)
    assert list(together) == ["none", "entropy bonus", "kl-cov"]
    assert alone["kl-cov"] == together["kl-cov"] == figures.COLOURS["kl-cov"]
    assert together["none"] == theme(theme_name).muted


@pytest.mark.parametrize(("quantity", "array"), QUANTITIES.items())
def test_a_curve_shows_its_numbers(quantity, array):
    spec = figures.lab_curve(RUNS, quantity, unit="bits").to_dict()
    line = next(layer for layer in layers(spec) if layer["mark"]["type"] == "line")
    drawn = data_of(spec, line)
    for run in RUNS:
        own = drawn[drawn["run"] == run.settings.key].sort_values("step")
        scale = math.log(2) if quantity in IN_NATS else 1
        np.testing.assert_allclose(own["value"], getattr(run, array) / scale)
        expected = run.evaluated if array in EVALUATION_ARRAYS else np.arange(30)
        assert own["step"].tolist() == expected.tolist()
    title = line["encoding"]["y"]["title"]
    assert ("bits" in title) == (quantity in IN_NATS) and "{" not in title
    assert line["encoding"]["x"]["title"] == "training step"
    assert chart_svg(figures.lab_curve(RUNS, quantity)).startswith(b"<svg")


def test_reward_of_single_steps_stays_visible_under_the_evaluations():
    spec = figures.lab_curve(RUNS[:1], "reward").to_dict()
    points, line = layers(spec)
    assert points["mark"]["type"] == "point" and points["mark"]["opacity"] < 0.5
    np.testing.assert_allclose(data_of(spec, points)["value"], RUNS[0].reward)
    assert len(data_of(spec, line)) == len(RUNS[0].evaluated)


def test_a_growing_run_is_drawn_from_its_first_step():
    first = lab_run(done=1)
    for quantity in ("forks", "reward"):
        assert chart_svg(figures.lab_curve([*RUNS, first], quantity)).startswith(b"<svg")
    spec = figures.lab_curve([first], "distinct").to_dict()
    assert layers(spec)[0]["mark"]["point"] == {"size": 18}  # one evaluation makes no line


def test_seeds_of_one_intervention_are_lines_of_their_own():
    spec = figures.lab_curve([lab_run(seed=0), lab_run(seed=1)], "entropy").to_dict()
    assert layers(spec)[0]["encoding"]["detail"]["field"] == "run"
    assert data_of(spec, layers(spec)[0])["run"].nunique() == 2


def test_panels_stand_next_to_each_other():
    spec = figures.lab_curves(RUNS, ["forks", "followers"]).to_dict()
    assert len(spec["hconcat"]) == 2 and all(isinstance(p["width"], int) for p in spec["hconcat"])
    assert chart_svg(figures.lab_curves(RUNS, ["reward", "pass@k"])).startswith(b"<svg")


def test_the_law_is_drawn_over_the_entropies_of_its_run():
    run = RUNS[0]
    fit = fit_law(run.entropy, run.reward, n_boot=50)
    chart = exchange_figures.reward_against_entropy(RUNS, {run.settings.key: fit})
    points, line = layers(chart.to_dict())
    drawn = data_of(chart.to_dict(), line)
    assert drawn["run"].unique().tolist() == [run.settings.key]
    assert drawn["entropy"].min() == run.entropy.min() and drawn["entropy"].max() == run.entropy.max()
    np.testing.assert_allclose(drawn["reward"], 1.8 - 0.9 * np.exp(drawn["entropy"]), atol=0.02)
    assert "R² 0.9" in drawn["law"][0] or "R² 1.0" in drawn["law"][0]
    assert len(data_of(chart.to_dict(), points)) == 90
    bits = exchange_figures.reward_against_entropy(RUNS, {run.settings.key: fit}, unit="bits").to_dict()
    np.testing.assert_allclose(data_of(bits, layers(bits)[1])["entropy"] * math.log(2), drawn["entropy"])
    np.testing.assert_allclose(data_of(bits, layers(bits)[1])["reward"], drawn["reward"])
    assert len(layers(exchange_figures.reward_against_entropy(RUNS).to_dict())) == 1


@pytest.mark.parametrize("by", ["exact", "covariance"])
def test_predictions_are_at_the_learning_rate_of_the_run(by):
    spec = exchange_figures.change_scatter(RUNS, by).to_dict()
    drawn = data_of(spec, layers(spec)[-1])
    own = drawn[drawn["intervention"] == "kl-cov"]
    sign, array = (1, "exact_slope") if by == "exact" else (-1, "covariance")
    np.testing.assert_allclose(own["predicted"], sign * 3e-4 * getattr(RUNS[2], array))
    np.testing.assert_allclose(own["actual"], RUNS[2].change)
    expected = np.corrcoef(own["predicted"], own["actual"])[0, 1]
    assert own["correlation"].unique() == pytest.approx(expected)
    assert chart_svg(exchange_figures.change_scatters(RUNS)).startswith(b"<svg")


def test_the_path_joins_evaluations_in_the_order_of_steps():
    spec = exchange_figures.entropy_path(RUNS, unit="bits").to_dict()
    drawn = data_of(spec, spec)
    own = drawn[drawn["run"] == RUNS[1].settings.key]
    np.testing.assert_allclose(own["token"] * math.log(2), RUNS[1].token_entropy)
    np.testing.assert_allclose(own["answer"] * math.log(2), RUNS[1].answer_entropy)
    np.testing.assert_allclose(own["corrected"] * math.log(2), RUNS[1].answer_entropy_corrected)
    assert spec["encoding"]["order"]["field"] == "step" and "n = 32" in spec["encoding"]["y"]["title"]


def test_results_settings_and_figures_need_no_torch():
    code = (
        "import sys\n"
        "import analysis.entropy_collapse.labs.four_squares.comparison, analysis.entropy_collapse.labs.four_squares.exchange_figures\n"
        "assert not {'torch', 'transformers', 'streamlit'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
