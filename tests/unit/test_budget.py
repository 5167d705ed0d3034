"""The error budget itself: what it lets pass, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests import budget


def test_a_budget_goes_with_the_largest_logit():
    assert budget.rounding(np.zeros(3)) == budget.rounding(0.5) == 32 * 2.0**-23
    assert budget.rounding([-42.2, 3.0, np.nan]) == pytest.approx(1.61e-4, rel=0.01)
    assert budget.rounding([1.0], [8.0]) == 8 * budget.rounding([1.0])


def test_a_varentropy_has_the_budget_of_its_log_probabilities():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(50, 200)) * 5
    near = 1e-3

    def varentropy(z):
        lp = z - np.log(np.exp(z).sum(-1, keepdims=True))
        h = -(np.exp(lp) * lp).sum(-1, keepdims=True)
        return (np.exp(lp) * (lp + h) ** 2).sum(-1)

    moved = varentropy(logits + draw.uniform(-near / 4, near / 4, logits.shape))
    assert (np.abs(moved - varentropy(logits)) < budget.of_varentropy(varentropy(logits), near)).all()
    assert (budget.of_varentropy(varentropy(logits), near) < 0.03).all()


def sets(score, count):
    order = np.argsort(-score, kind="stable", axis=-1)
    return np.take_along_axis(order.argsort(-1) < count, np.arange(score.shape[-1])[None], -1)


def test_sets_are_the_same_up_to_ties():
    score = np.linspace(1, 2, 200)[None].repeat(4, 0)
    score[:, 100] = score[:, 99] * (1 + 2 * budget.EPS)
    theirs, ours = sets(score, 100), sets(score, 100)
    budget.assert_same_up_to_ties(ours, theirs, score)
    ours[0, [99, 100]] = ours[0, [100, 99]]  # the two that rounding sets apart
    budget.assert_same_up_to_ties(ours, theirs, score)
    ours[1, [99, 101]] = ours[1, [101, 99]]
    with pytest.raises(AssertionError, match="1 of 800 members differ that are no ties"):
        budget.assert_same_up_to_ties(ours, theirs, score)


def test_a_score_that_ties_everywhere_chooses_nothing():
    score = np.ones((1, 200))
    theirs = np.arange(200)[None] < 100
    with pytest.raises(AssertionError, match="too many"):
        budget.assert_same_up_to_ties(~theirs, theirs, score)


def test_infinite_scores_are_no_ties_of_finite_ones():
    score = np.r_[np.full(10, np.inf), np.linspace(1, 2, 190)][None]
    theirs = sets(score, 10)
    budget.assert_same_up_to_ties(theirs, theirs, score)
    ours = theirs.copy()
    ours[0, [0, 199]] = [False, True]
    with pytest.raises(AssertionError, match="no ties"):
        budget.assert_same_up_to_ties(ours, theirs, score)
