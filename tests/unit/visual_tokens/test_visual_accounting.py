"""Counts and costs of visual tokens by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.visual_tokens.accounting import (
    LanguageShape,
    average_floor,
    cache_bytes,
    flops,
    kept_for_average,
    tokens_per_layer,
)
from analysis.visual_tokens.policies import Choice, Stage

SMALL = LanguageShape(n_layers=2, width=3, mlp=5, n_heads=2, n_kv_heads=1, head_width=7)


def test_tokens_of_each_layer():
    stages = Stage(0, torch.arange(10)), Stage(2, torch.arange(6)), Stage(3, torch.arange(1))
    assert tokens_per_layer(Choice(20, stages), 5).tolist() == [10, 10, 6, 1, 1]
    assert tokens_per_layer(Choice(20, stages[1:]), 5).tolist() == [20, 20, 6, 1, 1]


@pytest.mark.parametrize(
    ("n", "average", "layer", "n_layers", "kept"),
    [
        (576, 192, 2, 32, 166),  # as published for K = 2
        (144, 36, 2, 8, 0),  # the floor
        (144, 35, 2, 8, None),
        (144, 36, 0, 8, 36),
        (144, 144, 2, 8, 144),
        (144, 145, 2, 8, None),
        (144, 36, 8, 8, None),  # no layer is left
    ],
)
def test_what_must_be_left_for_an_average(n, average, layer, n_layers, kept):
    assert kept_for_average(n, average, layer, n_layers) == kept
    if kept is not None:
        counts = [n] * layer + [kept] * (n_layers - layer)
        assert np.mean(counts) == pytest.approx(average, abs=0.5)


def test_the_floor_of_a_late_method():
    assert average_floor(144, 2, 8) == 36
    assert average_floor(144, 0, 8) == 0


def test_operations_by_hand():
    # one token a layer, 3 x (14 + 7 + 7) in and 14 x 3 out, MLP 3 x 3 x 5, one pair of 2 heads
    one = 2 * (3 * 28 + 14 * 3) + 2 * 45 + 2 * (2 * 2 * 7)
    assert flops(np.array([0, 0]), 1, SMALL) == 2 * one
    # four tokens: ten pairs
    four = 4 * (2 * (3 * 28 + 14 * 3) + 2 * 45) + 10 * 56
    assert flops(np.array([3, 0]), 1, SMALL) == four + one


def test_large_models_do_not_overflow():
    shape = LanguageShape(10_000, 100_000, 400_000, 1000, 1000, 128)
    assert flops(np.full(10_000, 10**6), 0, shape) > 2**63


def test_bytes_of_the_cache():
    assert cache_bytes(np.array([10, 4]), 3, SMALL, 2) == (13 + 7) * 2 * 7 * 2
