"""How long tokens survive: numbers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.pruning_effects.eviction.survival import Survival, survival
from tests.figures.synthetic_sweep import G, L, M, N, sweep


def by_hand(survived):
    """One method at shares 0.1 to 0.4 and one token."""
    rows = np.array([survived], np.float32)[:, :, None]
    return Survival(
        ("a",), ("A",), np.array([0.1, 0.2, 0.3, 0.4]), rows, np.zeros((1, 4, 2)), np.zeros(2), (2, 3)
    )


@pytest.mark.parametrize(
    ("survived", "expected"),
    [
        ([0.0, 0.49, 0.5, 1.0], 0.3),
        ([0.0, 0.6, 0.4, 0.9], 0.4),
        ([0.7, 0.6, 0.8, 0.9], 0.1),
        ([np.nan, 0.6, 0.8, 0.9], 0.2),
        ([np.nan, np.nan, 0.2, 0.9], 0.4),
        ([0.1, 0.2, 0.3, 0.4], np.nan),
        ([0.9, 0.9, 0.9, 0.4], np.nan),
    ],
    ids=["first", "falls again", "always", "refused below", "refused twice", "never", "not even the largest"],
)
def test_a_token_is_kept_from_the_share_above_which_half_hold_it(survived, expected):
    np.testing.assert_equal(by_hand(survived).lost_below(0), [expected])


def test_a_sweep_is_reduced_to_its_tokens():
    made = sweep()
    found = survival(made)
    assert found.names == ("snapkv", "knorm", "random")  # one that deletes nothing is left out
    assert found.labels == ("SnapKV", "key norm", "random")
    assert found.kept.tolist() == [0.5] and found.caches == (L, G) and found.n_context == N
    np.testing.assert_array_equal(found.survived[0, 0], np.arange(N) < N // 2)
    np.testing.assert_array_equal(found.survived[1, 0], np.arange(N) % 2 == 0)
    drawn = (made.kept(3).mean((0, 1)) + made.kept(4).mean((0, 1))) / 2
    np.testing.assert_allclose(found.survived[2, 0], drawn, atol=1e-6)
    np.testing.assert_allclose(found.surprisal[:, 0, 1], [1.5, 3.0, 4.0])
    np.testing.assert_array_equal(found.full, [1, 2, 3, 4])
    assert found.surprisal.shape == (3, 1, M)


def test_the_mean_over_methods_leaves_out_those_that_refuse():
    rows = np.array([[[0.2, 0.4]], [[np.nan, np.nan]], [[0.6, 1.0]]], np.float32)
    found = dataclasses.replace(by_hand([0, 0, 0, 0]), kept=np.array([0.3]), survived=rows)
    np.testing.assert_allclose(found.mean_at(0.25), [0.4, 0.7])


def test_a_sweep_without_methods_is_refused():
    made = sweep()
    with pytest.raises(ValueError, match="no method that deletes"):
        survival(dataclasses.replace(made, settings=made.settings[:1]))
