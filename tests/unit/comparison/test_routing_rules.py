"""Routers between a small and a large model, by hand and by counting."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from analysis.comparison.rules import ead, r2r
from analysis.comparison.rules.routing import ROUTERS, routing_curve
from analysis.errors import AnalysisError
from tests.budget import EXACT
from tests.comparisons import made_comparison, made_spans, made_truth

NAN = np.nan


def test_the_mean_is_of_the_last_tokens_that_have_an_entropy():
    assert ead.recent_mean(np.array([NAN, 4.0, 0.0, NAN, 2.0, 6.0]), 2).tolist()[1:3] == [4, 2]
    mean = ead.recent_mean(np.array([NAN, 4.0, 0.0, NAN, 2.0, 6.0]), 3)
    np.testing.assert_allclose(mean, [NAN, 4, 2, NAN, 2, 8 / 3], rtol=EXACT)


def test_ead_waits_after_a_switch():
    mean = np.array([NAN, 1.0, 5.0, 1.0, 1.0, 5.0, 3.0])
    #       1 below; 2 above, large from here; 3 below, small again at once with d_min 1; 6 equal to it: small.
    assert np.flatnonzero(ead.routed(mean, 3.0)).tolist() == [2, 5]
    #       with 2 the large model writes 2 and 3, the small one 4 and may not be left for 5.
    assert np.flatnonzero(ead.routed(mean, 3.0, 2)).tolist() == [2, 3]
    assert np.flatnonzero(ead.routed(mean, 3.0, 3)).tolist() == [2, 3, 4, 5]
    assert ead.routed(np.array([5.0, 5.0]), 3.0, 9).all(), "before the first switch nothing is waited for"


def test_logu_of_equal_logits_is_a_difference_of_harmonic_numbers():
    """psi(n + 1) - psi(m + 1) = H_n - H_m: with ten logits of 1 it is H_10 - H_1."""
    harmonic = sum(1 / i for i in range(1, 11))
    large = np.full((1, 10), 1e9)
    assert r2r.log_u(np.ones((1, 10)))[0] == pytest.approx(harmonic - 1, rel=EXACT)
    assert r2r.log_u(large)[0] == pytest.approx(log(10), rel=1e-8)
    two = r2r.log_u(np.array([[3.0, 1.0]]))[0]
    h = {n: sum(1 / i for i in range(1, n + 1)) for n in (1, 3, 4)}
    assert two == pytest.approx(-(3 / 4 * (h[3] - h[4]) + 1 / 4 * (h[1] - h[4])), rel=EXACT)
    assert np.isnan(r2r.log_u(np.array([[3.0, 0.0], [NAN, NAN]]))).all()


def test_momentum_begins_with_the_large_model_and_leaves_it_late():
    # momentum .3, .51, .657, .7599 (small), then .53193, .372351, .260646 (large)
    value = np.array([0, 0, 0, NAN, 0, 9, 9, 9, 0])
    assert np.flatnonzero(r2r.routed(value, 1.0, "momentum")).tolist() == [0, 1, 2, 7, 8]


def test_a_window_is_large_at_once_and_small_by_its_mean():
    # mean .5 at 0: small at once; 9 large at once; means 4.5 and 3: large; mean of three zeros: small
    value = np.array([0.5, 9.0, 0.0, 0.0, 0.0, 0.3, 0.5])
    assert np.flatnonzero(r2r.routed(value, 1.0, "window")).tolist() == [1, 2, 3]
    with pytest.raises(AnalysisError, match="no switching"):
        r2r.routed(value, 1.0, "luck")  # type: ignore[arg-type]


def test_a_token_at_the_threshold_is_not_simple():
    assert r2r.routed(np.array([0.44, 0.45, 0.46, NAN]), 0.45).tolist() == [False, True, True, False]


def test_share_loss_and_recall_by_counting():
    c = made_comparison(40)
    found = routing_curve(c, "entropy", 1.0)
    rows = c.rows
    assert rows is not None
    for level, share, loss, recall in zip(
        found.thresholds, found.share, found.loss, found.recall, strict=True
    ):
        large = [bool(rows.entropy_a[i] >= level) for i in range(1, 40)]
        spent = [rows.surprisal_b[i] if use else rows.surprisal_a[i] for i, use in enumerate(large, 1)]
        differ = [use for i, use in enumerate(large, 1) if rows.first_differs[i]]
        assert share == pytest.approx(sum(large) / 39)
        assert loss == pytest.approx(float(np.mean(np.array(spent, float))), rel=1e-6)
        assert recall == pytest.approx(sum(differ) / len(differ))
    assert (found.share[0], found.recall[0]) == (0, 0) and (found.share[-1], found.recall[-1]) == (1, 1)
    assert found.loss[0] == pytest.approx(np.nanmean(rows.surprisal_a.astype(float)))
    assert found.loss[-1] == pytest.approx(np.nanmean(rows.surprisal_b.astype(float)))
    share, loss, _ = found.chosen
    at = np.interp(share, found.best.x, found.best.y)
    assert at <= loss + EXACT
    assert (np.interp(found.share, found.best.x, found.best.y) <= found.loss + EXACT).all()
    gains = sorted(float(x) for x in found.change[1:])
    assert found.best.y[3] == pytest.approx(found.loss[0] + sum(gains[:3]) / 39, rel=EXACT)
    assert found.best.y[-1] == pytest.approx(found.loss[-1], rel=1e-6)


def test_a_router_that_sees_the_difference_finds_it_all():
    """Where entropy is high exactly at the differing tokens, one threshold routes these and no other."""
    c = made_comparison(40)
    rows = c.rows
    assert rows is not None
    entropy = np.where(rows.first_differs == 1, 2.0, 0.1).astype(np.float32)
    found = routing_curve(replace(c, rows=replace(rows, entropy_a=entropy)), "entropy", 1.0)
    share, _, recall = found.chosen
    assert recall == 1 and share == pytest.approx(np.nansum(rows.first_differs) / 39)
    curve = found.against_recall()
    assert curve.lines[2].x[1] == pytest.approx(share) and curve.places[0].y[0] == 1


def test_ead_s_threshold_is_in_bits():
    c = made_comparison(30)
    rows = c.rows
    assert rows is not None
    entropy = np.full(30, 0.5 / 1.4426950408889634, np.float32)
    entropy[20:] = 2.0 / 1.4426950408889634
    found = routing_curve(replace(c, rows=replace(rows, entropy_a=entropy)), "EAD", 1.0, window=1, d_min=1)
    assert np.flatnonzero(found.routed).tolist() == list(range(20, 30))
    assert found.threshold == pytest.approx(log(2)) and found.laid.limit == found.threshold


def test_routing_needs_rows_a_router_and_logits():
    c = made_comparison(12)
    for router in ROUTERS:
        if router.startswith("LogU"):
            with pytest.raises(AnalysisError, match="largest logits"):
                routing_curve(c, router)
            found = routing_curve(c, router, top_logits=np.full((12, 10), 3.0))
        else:
            found = routing_curve(c, router)
        assert len(found.to_frame()) == len(found.thresholds) and not found.routed[0]
        assert found.against_loss().lines[0].name == router
    with pytest.raises(AnalysisError, match="vocabularies are different"):
        routing_curve(made_spans())
    with pytest.raises(AnalysisError, match="no router"):
        routing_curve(c, "luck")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="at least 1"):
        routing_curve(c, "EAD", d_min=0)
    with pytest.raises(AnalysisError, match="not above 0"):
        routing_curve(c, "LogU", top_logits=np.full((12, 10), -3.0))


def test_equal_sides_have_no_differing_token():
    truth = made_truth(12)
    from tests.comparisons import comparison_of

    c = comparison_of(replace(truth, log_q=truth.log_p))
    found = routing_curve(c, "entropy")
    assert np.isnan(found.recall).all() and np.ptp(found.loss) < 1e-6
    with pytest.raises(AnalysisError, match="same everywhere"):
        found.against_recall()
