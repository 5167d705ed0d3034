"""Estimates from sampled tokens: golden means, signs, bias, and weights."""

from __future__ import annotations

from math import exp, inf, isnan, log

import numpy as np
import pytest

from analysis.comparison.sampled import (
    chi_squared,
    effective_share,
    estimate,
    importance,
    k1,
    k2,
    k3,
    of_sequences,
)
from analysis.errors import AnalysisError
from tests.budget import EXACT

P, Q = (np.exp(z) / np.exp(z).sum() for z in (np.array([2.0, 1, 0, -1]), np.array([1.0, 2, 0, 0])))
X = np.log(Q / P)
KL = (P * np.log(P / Q)).sum()


def test_means_over_p():
    """k1 and k3 are unbiased, k2 is not: golden values."""
    assert pytest.approx(0.428595, abs=1e-6) == KL
    assert (P * k1(X)).sum() == pytest.approx(KL, rel=EXACT)
    assert (P * k3(X)).sum() == pytest.approx(KL, rel=EXACT)
    assert (P * k2(X)).sum() == pytest.approx(0.477972, abs=1e-6)
    assert (k1(X) < 0).any() and (k2(X) >= 0).all() and (k3(X) >= 0).all()


def test_k3_is_that_of_the_direction_of_the_samples():
    """Of tokens from p it estimates KL(p || q); the reverse is another number."""
    back = (Q * np.log(Q / P)).sum()
    assert (Q * k3(-X)).sum() == pytest.approx(back, rel=EXACT) and abs(back - KL) > 0.01


def test_k3_keeps_its_digits_where_the_sides_are_close():
    x = np.array([0.0, 1e-12, -1e-9, 1e-7, -1e-4, 0.0499, -0.0499, 0.0501])
    expected = [
        float(sum(v**n / np.prod(np.arange(1, n + 1), dtype=float) for n in range(14, 1, -1))) for v in x
    ]
    np.testing.assert_allclose(k3(x), expected, rtol=1e-9)
    assert k3(np.array([800.0]))[0] == inf and np.isnan(k3(np.array([np.nan]))[0])


def drawn():
    """A sample of a million in which every token is as frequent as it is likely."""
    return np.repeat(X, np.round(P * 1e6).astype(int))


def test_weights_of_a_sample():
    x = drawn()
    assert importance(x).mean() == pytest.approx(1, abs=1e-5)
    assert effective_share(x) == pytest.approx(0.515013, abs=1e-5)
    assert chi_squared(x) == pytest.approx(0.941700, abs=2e-5)
    assert effective_share(np.full(7, 3.0)) == 1 and chi_squared(np.zeros(7)) == 0
    assert importance(np.array([1.0, 0.0]), 2.0).tolist() == [2.0, 1.0]
    cut = importance(x, 2.0)
    assert effective_share(x, cap=2.0) == pytest.approx(cut.mean() ** 2 / (cut**2).mean(), rel=EXACT)
    assert effective_share(x, cap=2.0) > 1.1 * effective_share(x)  # flattered
    assert effective_share(np.array([900.0, 900.0, np.nan])) == 1


def test_a_mean_and_its_standard_error():
    found = estimate(np.array([1.0, 2, 3, np.nan, 6]))
    assert (found.mean, found.n) == (3, 4)
    assert found.standard_error == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 3 / 4), rel=EXACT)
    assert isnan(estimate(np.array([2.0])).standard_error)
    with pytest.raises(AnalysisError, match="no log-probabilities"):
        estimate(np.array([np.nan]))


def test_whole_sequences():
    x = np.array([1.0, 2, -30, 0.5])
    assert of_sequences(x, np.array([2, 0, 1, 1])).tolist() == [3, 0, -20, 0.5]
    assert of_sequences(x, [2, 0, 1, 1], limit=inf).tolist() == [3, 0, -30, 0.5]
    assert importance(of_sequences(x, [4]))[0] == pytest.approx(exp(-20), rel=EXACT)
    assert np.isnan(of_sequences(np.array([np.nan, log(2)]), [1, 1])).tolist() == [True, False]
    with pytest.raises(AnalysisError, match="add up"):
        of_sequences(x, [3])
