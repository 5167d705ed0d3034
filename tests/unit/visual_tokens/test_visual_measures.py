"""Shares of attention and sinks, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.visual_tokens.measures import modality_balance, sink_dimensions, visual_sinks


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
    alone = np.array([[1.0, 0, 0]])  # all of it on the token that is left out
    assert np.isnan(modality_balance(alone, np.array([False, True, False]), without_first=True)).all()


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
