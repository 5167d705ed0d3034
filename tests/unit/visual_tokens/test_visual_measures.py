"""Shares of attention, sinks, transitions and budgets, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.visual_tokens.budgets import average_kept, counts_after, kept_for_average, least_average
from analysis.visual_tokens.measures import modality_balance, sink_dimensions, transition_scores, visual_sinks


def test_shares_of_text_and_image_by_hand():
    """Token 0 (text) 0.5, two visual 0.1 each, one text 0.3: A_T .8 of 2 keys, A_V .2 of 2."""
    row = np.array([[0.5, 0.1, 0.1, 0.3]])
    visual = np.array([False, True, True, False])
    assert modality_balance(row, visual) == pytest.approx((4.0, 0.8 / 0.5))
    # without the sink: A_T .3 of one key, A_V .2 of two
    assert modality_balance(row, visual, without_first=True) == pytest.approx((3.0, 0.6 / (1 / 3)))
    even = np.full((3, 4), 0.25)
    assert modality_balance(even, visual) == pytest.approx((1.0, 1.0))
    assert np.isnan(modality_balance(row, np.zeros(4, bool))[0])
    assert modality_balance(np.array([[1.0, 0, 0, 0]]), visual)[0] == math.inf


def test_sinks_are_massive_in_the_dimensions_of_the_first_token():
    """Of 900 dimensions one holds everything: its size is 30 times the root mean square."""
    first = np.zeros((2, 900))
    first[1, 7] = 5.0
    first[0] = 1.0
    assert sink_dimensions(first).tolist() == [7]
    states = np.ones((3, 900))
    states[1, 7] = 1000.0  # over its own root mean square: 30
    states[2, 8] = 1000.0  # as massive, in another dimension
    assert visual_sinks(states, np.array([7])).tolist() == [False, True, False]
    assert visual_sinks(1e-3 * states, np.array([7])).tolist() == [False, True, False]
    assert not visual_sinks(states, np.array([], int)).any()


def test_transitions_by_hand():
    """Not turned and doubled; turned by a right angle; turned round: 1 - cosine is 0, 1 and 2."""
    before = np.array([[1.0, 0], [1.0, 0], [2.0, 0]])
    after = np.array([[2.0, 0], [0, 1.0], [-2.0, 0]])
    share = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert transition_scores(before, after) == pytest.approx(np.array([2.0, 1.0, 1.0]) * share)
    assert np.isfinite(transition_scores(np.zeros((2, 3)), np.zeros((2, 3)))).all()


def test_averages_and_counts_are_turned_into_one_another():
    """EntropyPrune's own numbers: 576 tokens, 32 layers, from layer 2: an average of 192 leaves 166."""
    assert kept_for_average(576, 192, 2, 32) == 166
    assert average_kept(counts_after(576, 166, 2, 32)) == pytest.approx(192, abs=0.5)
    assert kept_for_average(144, 36, 0, 8) == 36, "before the language model the two are one"
    # 8 layers, from layer 2: the first two alone see 36 of 144 on average
    assert least_average(144, 2, 8) == 36 and kept_for_average(144, 36, 2, 8) == 0
    assert kept_for_average(144, 35, 2, 8) is None
    assert kept_for_average(144, 144, 2, 8) == 144 and kept_for_average(144, 150, 2, 8) is None
    assert kept_for_average(144, 36, 8, 8) is None
