"""Quadrants of TIP and deferral of texts, by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from analysis.comparison.rules import cascades
from analysis.comparison.rules.cascades import AVERAGE, SUM, DeferralCurve, deferral_curve
from analysis.comparison.rules.tip import quadrants
from analysis.errors import AnalysisError
from tests.budget import EXACT
from tests.comparisons import V, made_comparison, made_spans

NAN = np.nan


def with_rows(n=5, **values):
    """A comparison whose rows have these numbers."""
    c = made_comparison(n)
    assert c.rows is not None
    numbers = {name: np.array(value, np.float32) for name, value in values.items()}
    return replace(c, rows=replace(c.rows, **numbers))


def test_quadrants_are_cut_where_it_is_said():
    top = log(V)
    c = with_rows(
        entropy_a=[NAN, 0.5 * top, 0.5 * top, 0.1 * top, 0.1 * top],
        jsd=[NAN, 0.5 * log(2), 0.05 * log(2), 0.5 * log(2), 0.05 * log(2)],
    )
    found = quadrants(c, 0.2, 0.1)
    assert found.quadrant.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.entropy[1:], [0.5, 0.5, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found.divergence[1:], [0.5, 0.05, 0.5, 0.05], rtol=1e-6)
    np.testing.assert_allclose(found.weight[1:], [0.25, 0.025, 0.05, 0.005], rtol=1e-6)
    assert found.shares == {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25} and found.laid.positions == (3,)
    powers = quadrants(c, power_entropy=2.0, power_divergence=0.0)
    np.testing.assert_allclose(powers.weight[1:], [0.25, 0.25, 0.01, 0.01], rtol=1e-6)
    at = float(found.entropy[1]), float(found.divergence[1])
    assert quadrants(c, *at).quadrant.tolist()[1:] == [1, 2, 3, 4], "at the cut is high"
    assert quadrants(c, 1.0, 1.0).quadrant.tolist()[1:] == [4, 4, 4, 4]


def test_medians_force_the_shares():
    c = made_comparison(41)
    found = quadrants(c, medians=True)
    assert found.shares[1] == pytest.approx(found.shares[4]) and found.shares[2] == pytest.approx(
        found.shares[3]
    )
    assert found.medians and not quadrants(c).medians
    fixed = quadrants(c).shares
    assert sum(fixed.values()) == pytest.approx(1)


def test_cuts_are_shares_and_rows_are_needed():
    with pytest.raises(AnalysisError, match="share from 0 to 1"):
        quadrants(made_comparison(5), 1.5)
    with pytest.raises(AnalysisError, match="token by token"):
        quadrants(made_spans())


def test_the_weight_of_equal_sides_is_the_code_s_least():
    c = with_rows(entropy_a=[NAN, 1, 1, 1, 1], jsd=[NAN, 0, 0, 0, 0])
    assert quadrants(c).weight[1] == pytest.approx(1e-8 / log(V), rel=1e-6)


# Cascades ---------------------------------------------------------------------------------------------


def test_scores_of_a_text():
    found = cascades.scores(np.array([NAN, 4.0, 1.0, 2.0, 1.0]), (0.0, 0.5, 0.8, 1.0))
    assert found == {
        SUM: 8,
        AVERAGE: 2,
        "quantile 0.0": 1,
        "quantile 0.5": 1.5,
        "quantile 0.8": pytest.approx(2.8),
        "quantile 1.0": 4,
    }
    with pytest.raises(AnalysisError, match="No token"):
        cascades.scores(np.array([NAN]))


def test_the_least_sure_text_is_deferred_first():
    found = DeferralCurve(
        small=np.array([3.0, 1.0, 2.0, 2.0]),
        large=np.array([1.0, 0.9, 2.5, 1.0]),
        scores={"right": np.array([9.0, 3.0, 1.0, 7.0]), "wrong": np.array([1.0, 2.0, 4.0, 3.0])},
    )
    np.testing.assert_allclose(found.share, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.loss("right"), np.array([8, 6, 5, 4.9, 5.4]) / 4, rtol=EXACT)
    np.testing.assert_allclose(found.loss("wrong"), np.array([8, 8.5, 7.5, 7.4, 5.4]) / 4, rtol=EXACT)
    np.testing.assert_allclose(found.best, found.loss("right"), rtol=EXACT)
    assert found.gained("right") == pytest.approx(1) and found.gained("wrong") < 0
    curve = found.curve("right")
    assert [line.name for line in curve.lines] == ["right", "random order", "best order"]
    assert curve.lines[1].y.tolist() == pytest.approx([2.0, 1.35])


def test_sum_prefers_long_texts_and_mean_does_not():
    """The length bias of Chow-Sum: a long easy text before a short hard one."""
    long_easy, short_hard = cascades.scores(np.full(100, 0.5)), cascades.scores(np.full(4, 3.0))
    assert long_easy[SUM] > short_hard[SUM] and long_easy[AVERAGE] < short_hard[AVERAGE]


def test_a_curve_takes_thirty_texts():
    cs = [made_comparison(12, seed) for seed in range(30)]
    with pytest.raises(AnalysisError, match="30 texts or more; these are 29"):
        deferral_curve(cs[:29])
    found = deferral_curve(cs)
    bytes_of = np.array([float(c.a.tokens.n_bytes[1:].sum()) for c in cs])
    small = np.array([np.nansum(c.a.tokens.surprisal.astype(float)) for c in cs]) / bytes_of
    large = np.array([np.nansum(c.b.tokens.surprisal.astype(float)) for c in cs]) / bytes_of
    np.testing.assert_allclose(found.small, small, rtol=1e-6)
    np.testing.assert_allclose(found.loss(AVERAGE)[[0, -1]], [small.mean(), large.mean()], rtol=1e-6)
    means = [np.nanmean(c.a.tokens.surprisal.astype(float)) for c in cs]
    first = int(np.argmax(means))
    assert found.loss(AVERAGE)[1] == pytest.approx((small.sum() - small[first] + large[first]) / 30, rel=1e-6)
    for rule in found.scores:
        assert (found.best <= found.loss(rule) + EXACT).all() and len(found.loss(rule)) == 31
    assert len(found.to_frame()) == 30 and len(found.curve().lines) == 4


def test_texts_under_two_tokenizers_can_be_deferred():
    found = deferral_curve([made_spans(seed) for seed in range(3)], at_least=3)
    assert np.isfinite(found.small).all() and np.isfinite(found.loss("quantile 1.0")).all()
