"""Top-H by two rules and locally typical sampling in its order, against definitions in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analysis.token_entropy.orders import top_h_order, typical_order
from analysis.token_entropy.samplers import what_samplers_keep
from analysis.token_entropy.truncation import falling, prefix_entropies, top_h_of_the_paper

EXAMPLE = [0.4, 0.3, 0.15, 0.1, 0.05]


def log(p):
    return torch.tensor(p, dtype=torch.float64).log()


def entropy(p):
    total = sum(p)
    return -sum(x / total * math.log(x / total) for x in p if x)


def paper_set(p, share):
    """Greedy: take the next most probable token while what is taken, renormalised, has little enough entropy."""
    limit, taken = share * entropy(p), []
    for token in sorted(range(len(p)), key=lambda t: (-p[t], t)):
        if taken and (p[token] == 0 or entropy([p[t] for t in [*taken, token]]) > limit * (1 + 1e-9)):
            break
        taken.append(token)
    return set(taken)


def library_count(p, share):
    """Partial sums over the renormalised hundred largest, one token at least."""
    best = sorted(p, reverse=True)[:100]
    best = [x / sum(best) for x in best]
    parts = [-x * math.log(x) if x else 0.0 for x in best]
    return max(1, sum(1 for k in range(len(parts)) if sum(parts[: k + 1]) <= share * sum(parts)))


def random_probabilities(seed, n, spread):
    draws = np.random.default_rng(seed).normal(0, spread, n)
    p = np.exp(draws - draws.max())
    return (p / p.sum()).tolist()


def both(p, share):
    """Tokens kept by the library and by the paper, as the panel counts them."""
    kept = {k.sampler: k.count for k in what_samplers_keep(log(p), top_h=share)}
    return kept[f"top-H {share:g}, library"], kept[f"top-H {share:g}, paper"]


@pytest.mark.parametrize(
    ("share", "library", "paper"), [(0.4, 1, 1), (0.5, 1, 2), (0.8, 3, 3), (0.9, 4, 3), (1.0, 5, 5)]
)
def test_the_two_rules_of_top_h_part(share, library, paper):
    assert both(EXAMPLE, share) == (library, paper)
    order = top_h_order(log(EXAMPLE), share)
    assert (order.n_library, order.n_paper) == (library, paper)


def test_the_two_sums_of_top_h():
    order = top_h_order(log(EXAMPLE), 0.9)
    np.testing.assert_allclose(order.partial, [0.3665, 0.7277, 1.0123, 1.2425, 1.3923], atol=5e-5)
    np.testing.assert_allclose(order.renormalised, [0, 0.6829, 1.0284, 1.2566, 1.3923], atol=5e-5)
    assert (order.limit_library, order.limit_paper) == pytest.approx((0.9 * 1.3923,) * 2, abs=5e-5)
    frame = order.to_frame("bits")
    assert frame["kept_by_transformers"].tolist() == [True] * 4 + [False]
    assert frame["kept_by_paper"].tolist() == [True] * 3 + [False] * 2
    np.testing.assert_allclose(frame["partial_sum_bits"], order.partial / math.log(2))


@pytest.mark.parametrize(
    ("n", "share", "library", "paper"), [(200, 0.405, 40, 8), (200, 1.0, 100, 200), (16, 0.5, 8, 4)]
)
def test_a_flat_distribution(n, share, library, paper):
    """The paper keeps e^(share ln n) of n equal tokens, the library its share of a hundred."""
    assert top_h_order(torch.zeros(n), share).n_paper == paper == math.floor(n**share + 1e-9)
    assert top_h_of_the_paper(torch.zeros(n), share).tolist() == [True] * paper + [False] * (n - paper)
    if n != 16:  # there the library's border is a tie
        assert top_h_order(torch.zeros(n), share).n_library == library


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.25, 0.4, 0.8])
def test_both_rules_on_random_distributions(seed, share):
    p = random_probabilities(seed, 30 + 25 * seed, 0.4 + seed / 3)
    left = top_h_of_the_paper(log(p), share)
    assert set(left.nonzero()[:, 0].tolist()) == paper_set(p, share)
    order = top_h_order(log(p), share)
    assert order.n_library == library_count(p, share)
    assert both(p, share) == (order.n_library, order.n_paper)
    assert order.limit_paper == pytest.approx(share * entropy(p), rel=1e-9)
    assert order.limit_library == pytest.approx(share * entropy(sorted(p)[-100:]), rel=1e-9)


def test_prefix_entropies_never_fall():
    for seed in range(20):
        _, p, terms = falling(log(random_probabilities(seed, 200, 0.2 + seed / 5)))
        entropies = prefix_entropies(p, terms)
        assert entropies[0] == 0 and (entropies.diff() > -1e-12).all()


def test_the_paper_looks_at_the_whole_vocabulary_and_the_library_at_a_hundred():
    p = [0.3] + [0.7 / 999] * 999
    order = top_h_order(log(p), 0.4)
    assert (
        order.limit_paper == pytest.approx(0.4 * entropy(p)) and order.limit_library < 0.8 * order.limit_paper
    )
    assert np.isnan(order.partial[order.place > 100]).all()


def test_tokens_without_probability_are_never_kept():
    p = [0.5, 0.0, 0.3, 0.2, 0.0]
    assert top_h_of_the_paper(log(p), 1.0).tolist() == [True, False, True, True, False]
    order = typical_order(log(p), 0.99)
    assert order.n_kept == 3 and set(order.token_id[order.kept].tolist()) == {0, 2, 3}
    assert order.entropy == pytest.approx(entropy(p))


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match="top_h"):
        top_h_of_the_paper(log(EXAMPLE), share)


# Locally typical ---------------------------------------------------------------------------------------


def typical_by_hand(p, mass):
    """Order by |surprisal - entropy|, and how many of it reach the mass."""
    h = entropy(p)
    order = sorted(range(len(p)), key=lambda t: (abs(-math.log(p[t]) - h), t))
    so_far, count = 0.0, 0
    while so_far < mass and count < len(p):
        so_far, count = so_far + p[order[count]], count + 1
    return order, count


@pytest.mark.parametrize(("mass", "n_kept"), [(0.2, 1), (0.25, 2), (0.9, 3), (0.99, 4)])
def test_the_golden_order(mass, n_kept):
    """Surprisals .44, 1.44, 2.44, 3.44 around .9475: the second token is the closest."""
    order = typical_order(torch.tensor([2.0, 1.0, 0.0, -1.0]), mass, "abcd".__getitem__)
    assert order.entropy == pytest.approx(0.947537, abs=1e-6) and order.n_kept == n_kept
    listed = min(n_kept + 1, 4)
    assert order.token_id.tolist() == [1, 0, 2, 3][:listed] and order.name == tuple("bacd"[:listed])
    assert order.place.tolist() == list(range(1, listed + 1))
    assert order.kept.tolist() == [True] * n_kept + [False] * (listed - n_kept)
    np.testing.assert_allclose(order.distance, [0.4927, 0.5073, 1.4927, 2.4927][:listed], atol=5e-5)
    np.testing.assert_allclose(
        order.mass, np.cumsum([0.236883, 0.643914, 0.087144, 0.032059])[:listed], atol=1e-6
    )
    frame = order.to_frame("bits")
    np.testing.assert_allclose(frame["distance_bits"], order.distance / math.log(2))
    np.testing.assert_allclose(frame["probability"], np.exp(-order.surprisal))


def test_the_first_choice_can_be_the_first_that_is_left_out():
    p = [0.4] + [0.1] * 6
    few = typical_order(log(p), 0.3)
    assert few.n_kept == 3 and few.token_id.tolist()[:4] == [1, 2, 3, 4], (
        "of equally close tokens the smaller ids"
    )
    order = typical_order(log(p), 0.6)
    assert order.n_kept == 6
    assert order.token_id.tolist() == [1, 2, 3, 4, 5, 6, 0]
    assert order.kept.tolist() == [True] * 6 + [False]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mass", [0.3, 0.6, 0.9])
def test_the_order_is_that_of_the_definition(seed, mass):
    p = random_probabilities(seed, 40 + 30 * seed, 0.5 + seed / 3)
    expected, count = typical_by_hand(p, mass)
    order = typical_order(log(p), mass, most=10_000)
    assert order.n_kept == count
    assert order.token_id.tolist() == expected[: count + 1]
    np.testing.assert_allclose(order.mass, np.cumsum(np.array(p)[expected[: count + 1]]), rtol=1e-9)
    panel = {k.sampler: k for k in what_samplers_keep(log(p), typical=mass)}[f"typical {mass:g}"]
    assert (panel.count, panel.mass) == (count, pytest.approx(order.mass[count - 1], abs=1e-6))


def test_long_lists_show_their_front_and_their_border():
    p = random_probabilities(1, 400, 0.3)
    count = typical_by_hand(p, 0.9)[1]
    order = typical_order(log(p), 0.9, most=5)
    assert order.place.tolist() == [1, 2, 3, 4, 5, count, count + 1]
    top_h = top_h_order(log(p), 0.8, most=3)
    borders = {k for n in (top_h.n_library, top_h.n_paper) for k in (n, n + 1)}
    assert set(top_h.place.tolist()) == {1, 2, 3} | borders
