"""The law of reward against entropy, its refusals, and where a run's entropy collapsed."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.entropy_collapse.training.law import LawRefusedError, fit_law, law_of, predict_rest
from analysis.entropy_collapse.training.least_squares import Line
from analysis.entropy_collapse.training.logs import EXAMPLES, read_training_log
from analysis.entropy_collapse.training.onset import RULE, collapse_onset, entropy_spent, smoothed
from analysis.entropy_collapse.training.results import TrainingCurve
from analysis.errors import AnalysisError

A, B = 0.15, 0.75


def law(h):
    return B - A * np.exp(h)


def falling(n=60, high=1.5, low=0.05):
    return np.linspace(high, low, n)


def curve(entropy, reward=None, step=None, meaning="per token"):
    entropy = np.asarray(entropy, float)
    step = np.arange(1.0, len(entropy) + 1) if step is None else np.asarray(step, float)
    columns = {"entropy": entropy} | ({} if reward is None else {"reward": np.asarray(reward, float)})
    return TrainingCurve("run", "test", step, columns, {c: c for c in columns}, meaning=meaning)


# The fit ----------------------------------------------------------------------------------------------


def test_the_law_is_recovered_exactly_without_noise():
    h = falling()
    fit = fit_law(h, law(h))
    assert (fit.a, fit.b) == (pytest.approx(A, abs=1e-12), pytest.approx(B, abs=1e-12))
    assert fit.ceiling == pytest.approx(0.6, abs=1e-12) and fit.r2 == pytest.approx(1, abs=1e-12)
    assert fit.verdict == "law" and fit.line_r2 < 0.99
    for value, (low, high) in ((A, fit.a_interval), (B, fit.b_interval), (0.6, fit.ceiling_interval)):
        assert low == pytest.approx(value, abs=1e-9) and high == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(fit.predict(np.array([0.0, 2.0])), [0.6, B - A * np.exp(2.0)])


def test_the_fit_is_least_squares():
    rng = np.random.default_rng(3)
    h = falling(40)
    r = law(h) + rng.normal(0, 0.03, 40)
    fit = fit_law(h, r)
    b, minus_a = np.linalg.lstsq(np.stack([np.ones(40), np.exp(h)], 1), r, rcond=None)[0]
    np.testing.assert_allclose([fit.a, fit.b], [-minus_a, b], rtol=1e-9)
    left = ((r - b - minus_a * np.exp(h)) ** 2).sum()
    assert fit.r2 == pytest.approx(1 - left / ((r - r.mean()) ** 2).sum(), rel=1e-9)
    assert fit.scatter == pytest.approx(np.sqrt(left / 38), rel=1e-9)
    intercept, slope = np.linalg.lstsq(np.stack([np.ones(40), h], 1), r, rcond=None)[0]
    np.testing.assert_allclose([fit.intercept, fit.slope], [intercept, slope], rtol=1e-9)
    own = Line.of(np.exp(h), r)
    np.testing.assert_allclose(own.basis @ (own.basis.T @ r), own.fitted)
    np.testing.assert_allclose(own.to_coefficients @ r, [b, minus_a])


@pytest.mark.parametrize("n", [20, 60, 200])
def test_the_intervals_hold_the_truth_as_often_as_they_say(n):
    inside = np.zeros(3)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        h = np.sort(rng.uniform(0.05, 1.5, n))[::-1]
        fit = fit_law(h, law(h) + rng.normal(0, 0.01, n), n_boot=300)
        intervals = (fit.a_interval, fit.b_interval, fit.ceiling_interval)
        inside += [low <= truth <= high for truth, (low, high) in zip((A, B, 0.6), intervals, strict=True)]
        assert fit.a_interval[1] - fit.a_interval[0] < 0.05  # not by being wide
    assert (inside >= 200 * 0.9).all()


def test_neighbours_that_resemble_each_other_widen_the_intervals():
    rng = np.random.default_rng(0)
    h, noise = falling(200), rng.normal(0, 0.02, 200)
    alone = fit_law(h, law(h) + noise)
    alike = smoothed(noise, 0.8)
    alike *= noise.std() / alike.std()
    together = fit_law(h, law(h) + alike)
    width = [high - low for low, high in (alone.a_interval, together.a_interval)]
    assert width[1] > 1.4 * width[0]


def test_the_same_seed_gives_the_same_intervals():
    h = falling()
    r = law(h) + np.random.default_rng(1).normal(0, 0.02, 60)
    assert fit_law(h, r).a_interval == fit_law(h, r).a_interval != fit_law(h, r, seed=1).a_interval


def test_the_band_holds_the_fit_and_widens_outside():
    h = falling()
    fit = fit_law(h, law(h) + np.random.default_rng(1).normal(0, 0.02, 60))
    at = np.array([0.7, 3.0])
    low, high = fit.band(at)
    assert (low < fit.predict(at)).all() and (fit.predict(at) < high).all()
    assert high[1] - low[1] > 3 * (high[0] - low[0])


def test_gaps_are_left_out():
    h = falling(20)
    r = law(h)
    h[3], r[7] = np.nan, np.nan
    fit = fit_law(h, r)
    assert len(fit.entropy) == 18 and fit.a == pytest.approx(A, abs=1e-12)


def test_very_many_points_are_thinned_and_it_is_said():
    h = falling(12_000)
    fit = fit_law(h, law(h), n_boot=50)
    assert len(fit.entropy) == 4000 and fit.notes == ("Fitted on every 3th point.",)


# Two shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_straight_line_is_refused(noise):
    h = falling()
    r = 0.7 - 0.3 * h + noise * np.random.default_rng(1).normal(0, 1, 60)
    with pytest.raises(LawRefusedError, match="straight line in the entropy itself fits better"):
        fit_law(h, r)


@pytest.mark.parametrize("shape", [law, lambda h: 0.6 - 0.17 * h])
def test_below_three_tenths_of_a_nat_the_two_cannot_be_told_apart(shape):
    h = falling(60, 0.3, 0.01)
    verdicts = []
    for seed in range(10):
        fit = fit_law(h, shape(h) + np.random.default_rng(seed).normal(0, 0.005, 60), n_boot=300)
        verdicts.append(fit.verdict)
        assert fit.apart < fit.scatter
    assert verdicts.count("undecided") >= 8


def test_over_a_wide_range_the_law_wins():
    h = falling()
    for seed in range(10):
        fit = fit_law(h, law(h) + np.random.default_rng(seed).normal(0, 0.02, 60), n_boot=300)
        assert fit.verdict == "law" and fit.r2 > fit.line_r2 and fit.line_chance < 0.05


# Refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entropy", "reward", "reason"),
    [
        (falling(5), law(falling(5)), "5 steps have both"),
        (falling(7), law(falling(7)), "7 steps have both"),
        (falling(), np.full(60, 0.4), "reward is constant"),
        (np.full(60, 0.5), falling(), "Entropy moves by 0 nats"),
        (falling(60, 0.505, 0.5), falling(), "Entropy moves by 0.005 nats"),
        (falling(), -law(falling()), "does not fall as entropy rises"),
        (falling(), np.random.default_rng(0).normal(0, 1, 60), "does not fall|none at all"),
        (40 * falling(), law(falling()), "sums over sequences"),
        (np.full(60, np.nan), falling(), "0 steps have both"),
    ],
)
def test_data_that_cannot_carry_the_law(entropy, reward, reason):
    with pytest.raises(LawRefusedError, match=reason) as caught:
        fit_law(entropy, reward)
    assert caught.value.hint
    assert isinstance(caught.value, AnalysisError)


def test_eight_points_are_enough():
    h = falling(8)
    assert fit_law(h, law(h)).a == pytest.approx(A, abs=1e-12)


def test_a_curve_says_what_its_entropy_is():
    h = falling()
    assert law_of(curve(h, law(h))).a == pytest.approx(A, abs=1e-12)
    with pytest.raises(LawRefusedError, match="summed over each answer"):
        law_of(curve(h, law(h), meaning="per sequence"))
    with pytest.raises(LawRefusedError, match="no reward"):
        law_of(curve(h))


# The rest of the run ----------------------------------------------------------------------------------


def test_the_first_part_predicts_the_rest():
    h = falling(100)
    found = predict_rest(h, law(h), share=0.36)
    assert found.n_fit == 36 and found.rmse < 1e-12 and found.ceiling == pytest.approx(0.6)
    assert found.line_rmse > 0.05  # the line bends away where the law does not
    shifted = np.where(np.arange(100) < 36, law(h), law(h) - 0.1)
    found = predict_rest(h, shifted, share=0.36)
    assert found.rmse == pytest.approx(0.1) and found.mean_error == pytest.approx(0.1)
    with pytest.raises(LawRefusedError, match="first 5 % are 5 of 100"):
        predict_rest(h, law(h), share=0.05)
    with pytest.raises(LawRefusedError, match="In the first part: Entropy moves"):
        predict_rest(np.where(np.arange(100) < 50, 1.0, h), law(h), share=0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        predict_rest(h, law(h), share=1.0)


def test_the_two_examples_teach_two_shapes():
    near, exact = (read_training_log(path) for path in EXAMPLES.values())
    fit = law_of(near)
    assert fit.verdict == "law" and fit.r2 > 0.95 > 0.85 > fit.line_r2
    with pytest.raises(LawRefusedError, match="straight line"):
        law_of(exact)
    assert collapse_onset(near).step is not None and collapse_onset(exact).step is not None


# Smoothing --------------------------------------------------------------------------------------------


def test_smoothing_is_a_fading_mean_and_leaves_gaps():
    values = np.array([4.0, 2.0, np.nan, 6.0])
    np.testing.assert_allclose(
        smoothed(values, 0.5), [4, (2 + 0.5 * 4) / 1.5, np.nan, (6 + 0.25 * 2 + 0.125 * 4) / 1.375]
    )
    np.testing.assert_array_equal(smoothed(values, 0.0), values)
    assert smoothed(values, 0.0) is not values
    np.testing.assert_allclose(smoothed(np.full(50, 3.0), 0.99), 3.0)  # no pull to zero at the start
    for weight in (1.0, -0.1):
        with pytest.raises(ValueError, match="weight"):
            smoothed(values, weight)


# Collapse ---------------------------------------------------------------------------------------------


def test_onset_is_the_first_row_where_the_rule_holds():
    h = np.concatenate([np.full(20, 1.0), np.full(100, 0.05)])
    r = np.concatenate([np.linspace(0, 1, 20), np.full(100, 1.0)])
    step = 5.0 * np.arange(1, 121)
    found = collapse_onset(curve(h, r, step))
    # The running mean after k low rows is .05 + .95 * (w^k - w^n) / (1 - w^n): under .1 from here on.
    n = np.arange(21, 121)
    mean = 0.05 + 0.95 * (0.9 ** (n - 20) - 0.9**n) / (1 - 0.9**n)
    assert found.low_step == step[20 + np.flatnonzero(mean < 0.1)[0]]
    assert found.step >= found.low_step and found.start == 1.0
    flat = np.flatnonzero(
        [np.polyfit(np.arange(20), r[k - 19 : k + 1], 1)[0] * 19 < 0.02 for k in range(19, 120)]
    )
    assert found.step <= max(found.low_step, step[flat[0] + 19]) and "Collapsed at step" in found.which


def test_rising_reward_is_no_collapse_yet():
    h = np.concatenate([np.full(20, 1.0), np.full(80, 0.01)])
    found = collapse_onset(curve(h, np.linspace(0, 1, 100)))
    assert found.step is None and found.low_step is not None and "goes on rising" in found.which
    falls = collapse_onset(curve(h, np.concatenate([np.linspace(0, 1, 50), np.linspace(1, 0.2, 50)])))
    assert falls.step is not None  # falling reward is not rising reward


def test_a_low_floor_counts_after_twenty_rows():
    h = np.full(60, 0.015)
    found = collapse_onset(curve(h, np.full(60, 1.0)))
    assert found.low_step == 20 and "under 0.02 nats for 20 rows" in found.which


def test_no_collapse_and_no_reward():
    h = np.linspace(1, 0.5, 60)
    found = collapse_onset(curve(h, h))
    assert (found.step, found.low_step) == (None, None) and found.lowest > 0.5
    found = collapse_onset(curve(np.concatenate([np.ones(20), np.full(60, 0.01)])))
    assert found.step is None and found.low_step is not None and "no reward" in found.which
    with pytest.raises(AnalysisError, match="8 rows"):
        collapse_onset(curve(np.ones(8)))
    with pytest.raises(AnalysisError, match="summed"):
        collapse_onset(curve(h, meaning="per sequence"))
    assert "10 %" in RULE and "20 rows" in RULE and "5 %" in RULE


def test_entropy_spent_against_reward_gained():
    h = np.concatenate([np.full(10, 2.0), np.linspace(2, 0.5, 50), np.full(200, 0.5)])
    r = np.concatenate([np.full(10, 0.1), np.linspace(0.1, 0.7, 50), np.full(200, 0.7)])
    found = entropy_spent(curve(h, r), weight=0.9)
    frame = found.to_frame()
    assert found.entropy_spent[-1] == pytest.approx(1.5, abs=1e-6)
    assert found.reward_gained[-1] == pytest.approx(0.6, abs=1e-6)
    np.testing.assert_allclose(frame["share_spent"], frame["share_gained"], atol=1e-6)
    assert found.entropy_spent[0] == 0 and frame["share_spent"].iloc[-1] == 1
    with pytest.raises(AnalysisError, match="both"):
        entropy_spent(curve(h))
