"""Rules that mix whole distributions of both sides: two tokens by hand, and many against dense sums."""

from __future__ import annotations

from itertools import combinations
from math import log, sqrt

import numpy as np
import pytest

from analysis.comparison.rules.align_distil import align_distil
from analysis.comparison.rules.cdpo import contrastive_score
from analysis.comparison.rules.differential_information import differential_information
from analysis.comparison.rules.spectr import acceptance, acceptance_of_many, expected_tokens
from analysis.comparison.rules.uscd import contrast
from analysis.errors import AnalysisError
from tests.budget import EXACT
from tests.comparisons import V, entropy_of, log_softmax, made_comparison, made_spans, made_truth
from tests.unit.comparison.whole_distributions import one_row, whole_of_truth

N = 40
TRUTH, C = made_truth(N), made_comparison(N)
WHOLE = whole_of_truth(TRUTH)
P, Q = np.exp(TRUTH.log_p[:N]), np.exp(TRUTH.log_q[:N])


def at_text(log_probs):
    return log_probs[np.arange(N), TRUTH.ids]


def test_contrast_by_hand():
    """(1/2, 1/2) over the roots of (4/5, 1/5): 1 to 2, that is 1/3 and 2/3."""
    c, whole = one_row([0.5, 0.5], [0.8, 0.2])
    found = contrast(c, whole, alpha=0.5, gate=1.0)
    assert found.values("surprisal")[1] == pytest.approx(log(3), rel=1e-5)
    assert found.values("surprisal_change")[1] == pytest.approx(log(0.5) + log(3), rel=1e-5)
    assert found.values("entropy")[1] == pytest.approx(log(3) - 2 / 3 * log(2), rel=1e-5)
    assert found.values("spread")[1] == pytest.approx(sqrt(0.5 - 1 / V), rel=1e-5)


def test_contrast_over_a_text_and_its_gate():
    spread = np.sqrt((P**2).sum(-1) - 1 / V)
    after = log_softmax(TRUTH.log_p[:N] - 0.3 * TRUTH.log_q[:N])
    acts = spread < 0.5
    found = contrast(C, WHOLE)
    expected = np.where(acts, -at_text(after), -at_text(TRUTH.log_p[:N]))
    np.testing.assert_allclose(found.values("surprisal")[1:], expected[1:], rtol=1e-6)
    np.testing.assert_allclose(found.values("spread")[1:], spread[1:], rtol=1e-6)
    moved = acts & (after.argmax(-1) != P.argmax(-1))
    assert found.positions == tuple(np.flatnonzero(moved)) and 0 < acts[1:].sum() < N - 1
    assert found.number("corrected") == pytest.approx(acts[1:].mean())
    for nothing in (contrast(C, WHOLE, alpha=0.0), contrast(C, WHOLE, gate=0.0)):
        assert np.nanmax(np.abs(nothing.values("surprisal_change"))) < 2e-6 and not nothing.marks.any()
        np.testing.assert_allclose(nothing.values("entropy")[1:], entropy_of(TRUTH.log_p[1:N]), rtol=1e-5)


def test_the_positive_model_counts_twice_in_the_contrastive_score():
    """(1/2, 1/2) negative, (4/5, 1/5) positive: .64 / .5 to .04 / .5, that is 16/17."""
    c, whole = one_row([0.5, 0.5], [0.8, 0.2])
    assert contrastive_score(c, whole).values("score")[1] == pytest.approx(16 / 17, rel=1e-6)
    plain = contrastive_score(C, WHOLE, beta=0.0).values("score")
    np.testing.assert_allclose(plain[1:], np.exp(at_text(TRUTH.log_q[:N]))[1:], rtol=EXACT)
    found = contrastive_score(C, WHOLE, critical=0.1)
    expected = at_text(log_softmax(2 * TRUTH.log_q[:N] - TRUTH.log_p[:N]))
    np.testing.assert_allclose(found.values("minus_log_score")[1:], -expected[1:], rtol=1e-8)
    assert found.positions == tuple(np.flatnonzero(np.exp(expected) < 0.1)) and found.positions


def test_the_teacher_of_align_distil_goes_beyond_b():
    """L1 distance .6, so w = 6.001: (.8^7.001 / .5^6.001) to (.2^7.001 / .5^6.001)."""
    c, whole = one_row([0.5, 0.5], [0.8, 0.2], target=1)
    found = align_distil(c, whole)
    assert found.values("weight")[1] == pytest.approx(6.001, rel=1e-5)
    assert found.values("reward")[1] == pytest.approx(0.1 * log(0.2 / 0.5), rel=1e-5)
    assert found.values("teacher_surprisal")[1] == pytest.approx(log(1 + 4**7.001), rel=1e-5)
    w = 10 * np.abs(P - Q).sum(-1) + 1e-3
    rows = align_distil(C, WHOLE)
    np.testing.assert_allclose(rows.values("weight")[1:], w[1:], rtol=1e-5)
    teacher = log_softmax((1 + w)[:, None] * TRUTH.log_q[:N] - w[:, None] * TRUTH.log_p[:N])
    np.testing.assert_allclose(
        rows.values("teacher_surprisal")[1:], -at_text(teacher)[1:], rtol=1e-6, atol=1e-9
    )
    without = align_distil(C)
    assert [one.name for one in without.quantities] == ["reward", "weight"]
    np.testing.assert_array_equal(without.values("reward"), rows.values("reward"))


def test_differential_information_by_hand_and_dense():
    """q / p = (8/5, 2/5): 4/5 and 1/5. The floor keeps the impossible ids out, whose quotient is 1."""
    c, whole = one_row([0.5, 0.5], [0.8, 0.2])
    found = differential_information(c, whole)
    assert found.values("entropy")[1] == pytest.approx(-0.8 * log(0.8) - 0.2 * log(0.2), rel=1e-6)
    assert found.values("surprisal")[1] == pytest.approx(-log(0.8), rel=1e-6)
    assert found.values("tokens")[1] == 2
    assert differential_information(c, whole, least=0.0).values("tokens")[1] == V
    dense = differential_information(C, WHOLE, least=0.01)
    kept = (P >= 0.01) | (Q >= 0.01)
    ratio = np.where(kept, Q / P, 0)[1:]
    ratio /= ratio.sum(-1, keepdims=True)
    entropy = -(ratio * np.log(np.where(ratio > 0, ratio, 1))).sum(-1)
    np.testing.assert_allclose(dense.values("entropy")[1:], entropy, rtol=EXACT)
    below = [not kept[t, i] for t, i in enumerate(TRUTH.ids)]
    assert dense.positions == tuple(t for t in range(1, N) if below[t])


# Drafts -----------------------------------------------------------------------------------------------


def best_by_listing(p, q, k):
    """1 + the least of q(S) - p(S)^k over all sets of tokens."""
    ids = range(len(p))
    sets = [list(s) for n in range(len(p) + 1) for s in combinations(ids, n)]
    return 1 + min(q[s].sum() - p[s].sum() ** k for s in sets)


@pytest.mark.parametrize(
    ("p", "q", "k", "accepted"),
    [
        ([1.0, 0.0], [0.5, 0.5], 4, 0.5),  # every draft is the same token
        ([0.5, 0.5], [1.0, 0.0], 1, 0.5),
        ([0.5, 0.5], [1.0, 0.0], 2, 0.75),  # one of two drafts is the right one
        ([0.5, 0.5], [1.0, 0.0], 4, 1 - 1 / 16),
        ([0.3, 0.7], [0.3, 0.7], 2, 1.0),
    ],
)
def test_drafts_by_hand(p, q, k, accepted):
    c, whole = one_row(p, q)
    assert acceptance_of_many(c, whole, (k,)).values(f"acceptance_{k}")[1] == pytest.approx(
        accepted, abs=1e-7
    )
    if k == 1:
        assert acceptance(c).values("acceptance")[1] == pytest.approx(accepted, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_choice_among_drafts_is_the_least_cut(seed):
    random = np.random.default_rng(seed)
    p, q = random.dirichlet(np.full(6, 0.6)), random.dirichlet(np.full(6, 0.6))
    c, whole = one_row(p.tolist(), q.tolist())
    found = acceptance_of_many(c, whole, (1, 2, 3, 8))
    for k in (1, 2, 3, 8):
        assert found.values(f"acceptance_{k}")[1] == pytest.approx(best_by_listing(p, q, k), abs=1e-6)


def test_more_drafts_are_accepted_more_often():
    one = acceptance(C)
    np.testing.assert_allclose(one.values("acceptance")[1:], np.minimum(P, Q).sum(-1)[1:], atol=1e-6)
    many = acceptance_of_many(C, WHOLE)
    np.testing.assert_allclose(many.values("acceptance_1")[1:], np.minimum(P, Q).sum(-1)[1:], rtol=EXACT)
    means = many.curve.lines[0].y
    assert (np.diff(means) > 0).all() and means[-1] < 1 and not many.marks.any()
    assert one.positions == tuple(np.flatnonzero(np.minimum(P, Q).sum(-1) < 0.5))


def test_tokens_per_step():
    assert expected_tokens(0.5, 2) == 1.75 and expected_tokens(1.0, 4) == 5 and expected_tokens(0.0, 4) == 1
    with pytest.raises(AnalysisError, match="1 token or more"):
        acceptance(C, 0)
    with pytest.raises(AnalysisError, match="token by token"):
        acceptance(made_spans())
