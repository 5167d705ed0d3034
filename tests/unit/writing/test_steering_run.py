"""Steering with the shipped prompts: strength 1 is as long as the states."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.writing import steering_run
from analysis.writing.steering import Steered, SteeringVector, steer, steering_vector
from tests.budget import rounding


def test_a_strength_is_in_lengths_of_the_states(llama, monkeypatch):
    monkeypatch.setattr(steering_run, "CHOICES", ("a", "b"))
    found = steering_run.measure_steering(llama, (0.0, 0.3))
    raw = steering_vector(llama, steering_run.FOUND_WITH, ("a", "b"))
    scale = raw.state_norm / np.linalg.norm(raw.vector)
    by_hand = SteeringVector(raw.layer, raw.vector, raw.choices, raw.entropy, raw.state_norm)
    other = steer(llama, steering_run.STEERED, by_hand, (0.0, 0.3 * scale))
    assert found.probabilities == pytest.approx(other.probabilities, abs=rounding(1.0))
    assert np.ptp(found.probabilities, axis=0).max() > 10 * rounding(1.0), "the push reaches the answer"


def test_prompts_that_are_steered_are_others():
    assert not set(steering_run.STEERED) & set(steering_run.FOUND_WITH)


def test_a_strength_has_means_over_its_prompts():
    p = np.array([[[0.5, 0.5], [0.2, 0.2]], [[0.9, 0.1], [0.3, 0.0]]])
    found = Steered(1, np.array([-1.0, 1.0]), ("a", "b"), p)
    assert found.nearest(0.4) == 1 and found.nearest(-3) == 0 and found.highest == pytest.approx(np.log(2))
    assert found.means(0) == pytest.approx((np.log(2), 0.7))
    assert found.means(1) == pytest.approx((-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / 2, 0.65))
