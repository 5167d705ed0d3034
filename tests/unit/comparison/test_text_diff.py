"""Matching stretches of two sequences: a longest common subsequence, also where the text repeats itself."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.comparison import text_diff
from analysis.comparison.text_diff import common_end, common_ends, matching_stretches
from analysis.errors import AnalysisError


def longest(a, b):
    """Length of a longest common subsequence, by the table."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


def edited(n, seed=0):
    """A text that repeats: n tokens, and the same with 3 % replaced, 2 % deleted, 2 % inserted."""
    draw = np.random.default_rng(seed)
    sentences = [draw.integers(100, 200, draw.integers(8, 30)) for _ in range(12)]
    text = np.concatenate([sentences[draw.integers(12)] for _ in range(n // 8)])[:n]
    fate, other = draw.random(n), []
    for token, what in zip(text.tolist(), fate, strict=True):
        if what < 0.02:
            continue
        other += [int(draw.integers(100, 200))] if what < 0.05 else [token]
        other += [int(draw.integers(100, 200))] if what > 0.98 else []
    return text, np.array(other)


@pytest.mark.parametrize("seed", range(60))
def test_it_is_a_longest_one_in_order(seed):
    draw = np.random.default_rng(seed)
    a, b = (draw.integers(0, draw.integers(1, 8), draw.integers(0, 30)) for _ in range(2))
    found = matching_stretches(a, b)
    assert sum(n for _, _, n in found) == longest(a, b)
    i = j = 0
    for at_a, at_b, n in found:
        assert at_a >= i and at_b >= j and n > 0
        assert (at_a, at_b) == (0, 0) or (at_a, at_b) != (i, j), "two that follow on each other are one"
        np.testing.assert_array_equal(a[at_a : at_a + n], b[at_b : at_b + n])
        i, j = at_a + n, at_b + n
    assert i <= len(a) and j <= len(b)


def test_a_text_that_repeats_is_matched_at_the_right_repeat():
    a, b = edited(8192)
    assert len(a) == 8192 and sum(n for _, _, n in matching_stretches(a, b)) >= 7700


def test_equal_empty_and_foreign_sequences():
    assert matching_stretches([1, 2, 3], [1, 2, 3]) == [(0, 0, 3)]
    assert matching_stretches([], [1]) == [] == matching_stretches([1, 2], [3])
    assert matching_stretches([1, 2, 9, 3], [1, 2, 3]) == [(0, 0, 2), (3, 2, 1)]


def test_common_ends():
    assert common_ends(np.array([1, 2, 3, 4]), np.array([1, 2, 9, 4])) == (2, 1)
    assert common_ends(np.array([1, 1]), np.array([1, 1, 1])) == (2, 0)
    assert common_end(np.array([1, 1]), np.array([1, 1, 1])) == 2
    assert common_ends(np.array([]), np.array([1])) == (0, 0)


def test_too_much_between_the_ends_is_refused_before_memory_is_taken(monkeypatch):
    monkeypatch.setattr(text_diff, "_MOST", 3)
    assert matching_stretches([1, 5, 2], [1, 6, 7, 2]) == [(0, 0, 1), (2, 3, 1)]
    with pytest.raises(AnalysisError, match="too many"):
        matching_stretches([1, 5, 5, 2], [1, 6, 7, 2])
