"""How many tokens a share keeps, and how unequal budgets are made to sum to the same."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.budgets import equalised, kept_count
from analysis.pruning_effects.eviction.policies import POLICIES, policy


@pytest.mark.parametrize(
    ("n", "share", "count"),
    [
        (10, 0.3, 3),
        (10, 0.7, 7),
        (512, 0.1, 51),
        (512, 0.9, 460),
        (7, 0.01, 1),
        (1, 1.0, 1),
        (1000, 0.29, 290),
    ],
)
def test_a_share_is_rounded_down_and_never_to_nothing(n, share, count):
    assert kept_count(n, share) == count


@pytest.mark.parametrize("share", [0, -0.1, 1.0001, 2, float("nan"), float("inf")])
def test_a_share_outside_the_range_is_refused(share):
    with pytest.raises(AnalysisError, match="cannot be kept") as caught:
        kept_count(100, share)
    assert "1 keeps everything" in caught.value.hint


def test_equalised_budgets_sum_exactly_and_keep_their_proportions():
    wanted = np.array([400, 300, 200, 100])
    np.testing.assert_array_equal(equalised(wanted, 500, 512), [200, 150, 100, 50])
    np.testing.assert_array_equal(equalised(wanted, 10, 512), [4, 3, 2, 1])
    np.testing.assert_array_equal(equalised(wanted, 4, 512), [1, 1, 1, 1])
    np.testing.assert_array_equal(equalised(wanted, 4 * 512, 512), [512] * 4)
    np.testing.assert_array_equal(equalised(wanted, 1400, 512), [512, 444, 296, 148])  # 560 would be too many
    np.testing.assert_array_equal(equalised(wanted, 1600, 512), [512, 512, 384, 192])


def test_equalised_budgets_over_many_random_pyramids():
    draw = np.random.default_rng(0)
    for _ in range(300):
        n_layers, most = int(draw.integers(1, 40)), int(draw.integers(1, 600))
        wanted = draw.integers(1, most + 1, n_layers)
        total = int(draw.integers(n_layers, n_layers * most + 1))
        budgets = equalised(wanted, total, most)
        assert budgets.sum() == total and budgets.min() >= 1 and budgets.max() <= most
        assert (np.diff(budgets[np.argsort(wanted)]) >= -1).all()  # a larger wish gets no less


def test_an_impossible_sum_is_our_own_mistake():
    with pytest.raises(ValueError, match="cannot sum to"):
        equalised(np.array([1, 1]), 9, 4)


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3, 0.15])
def test_all_methods_get_the_same_sum(share):
    for name in POLICIES:
        if name != "full":
            budgets = policy(name).budgets(512, share, 30)
            assert budgets.sum() == 30 * kept_count(512, share), name
            assert budgets.min() >= 1


def test_the_published_pyramid_overshoots():
    """Budgets that kvpress 0.5.5 gives at 512 tokens (golden README): the overshoot is real, ours takes it out."""
    pyramid = policy("pyramidkv")
    assert pyramid.published_budgets(512, 0.3, 30).tolist() == [154] * 30
    falling = pyramid.published_budgets(512, 0.5, 30)
    assert falling[0] == 448 and falling[-1] == 64 and falling.sum() == 30 * 256
    assert pyramid.published_budgets(512, 0.7, 30)[[0, -1]].tolist() == [448, 269]
    assert pyramid.budgets(512, 0.7, 30).sum() == 30 * 358 != pyramid.published_budgets(512, 0.7, 30).sum()
