"""Equal scores: the earlier position wins, whatever the kernel that computed them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analysis.pruning_effects.eviction.policies import policy
from analysis.pruning_effects.eviction.policies.adakv import AdaKV
from analysis.pruning_effects.eviction.policies.chunks import Chunks
from analysis.pruning_effects.eviction.policies.criticalkv import CriticalKV
from analysis.pruning_effects.eviction.policies.sirllm import SirLLM
from analysis.ties import SLACK, keep_top, ranked
from analysis.token_entropy.samplers import what_samplers_keep

EPS = 2.0**-23


def places(mask: torch.Tensor) -> list[int]:
    return mask.nonzero()[:, 0].tolist()


@pytest.mark.parametrize("n", [1, 7, 99, 100])
def test_without_ties_the_highest_are_kept(n):
    scores = torch.randn(3, 2, 100, generator=torch.Generator().manual_seed(n)) * 50
    expected = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, scores.topk(n).indices, True)
    assert torch.equal(keep_top(scores, n), expected)
    assert not keep_top(scores, 0).any()


def test_of_equal_scores_the_earlier_stay():
    scores = torch.tensor([1.0, 3.0, 2.0, 2.0, 3.0, 2.0, 0.0])
    assert [places(keep_top(scores, n)) for n in range(1, 7)] == [
        [1],
        [1, 4],
        [1, 2, 4],
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
    ]
    assert places(keep_top(torch.zeros(9), 4)) == [0, 1, 2, 3]
    assert places(keep_top(-torch.ones(9), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("scale", [1e-6, 1.0, -1.0, 1e4])
def test_scores_a_few_roundings_apart_are_equal_whichever_is_higher(scale):
    """As another processor would round them."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        noise = torch.randint(-2, 3, (40,), generator=draw) * EPS
        scores = scale * (1 + noise)
        scores[30:] += abs(scale)  # plainly higher
        assert places(keep_top(scores, 15)) == [*range(5), *range(30, 40)]


def test_what_is_no_tie_is_not_made_one():
    scores = torch.tensor([1.0, 1 + 4 * SLACK, 1.0, 1 + 8 * SLACK])
    assert places(keep_top(scores, 2)) == [1, 3]
    # The width goes by the score at the border: one huge score does not blur the small ones.
    scores = torch.tensor([1e6, 1e-3, 1.1e-3, 1.2e-3])
    assert places(keep_top(scores, 2)) == [0, 3]


def test_infinite_scores_and_what_is_no_number():
    inf = torch.inf
    assert places(keep_top(torch.tensor([inf, 1.0, inf, 1.0, -inf]), 1)) == [0]
    assert places(keep_top(torch.tensor([inf, 1.0, inf, 1.0, -inf]), 3)) == [0, 1, 2]
    assert places(keep_top(torch.tensor([-inf, -inf, 1.0, -inf]), 2)) == [0, 2]
    assert places(keep_top(torch.tensor([torch.nan, 1.0, 2.0, torch.nan]), 3)) == [0, 1, 2]


def test_rows_do_not_disturb_each_other():
    scores = torch.randint(0, 4, (5, 3, 200), generator=torch.Generator().manual_seed(0)).float()
    together = keep_top(scores, 77)
    assert (together.sum(-1) == 77).all()
    for row in range(5):
        for head in range(3):
            assert torch.equal(together[row, head], keep_top(scores[row, head], 77))
            order = scores[row, head].sort(descending=True, stable=True).indices[:77]
            assert set(places(together[row, head])) == set(order.tolist())


def test_a_list_of_the_best_is_in_the_order_of_positions_where_it_ties():
    values, ids = ranked(torch.tensor([[5.0, 7.0, 7.0, 5.0, 7.0, 1.0]]), 5)
    assert values.tolist() == [[7, 7, 7, 5, 5]] and ids.tolist() == [[1, 2, 4, 0, 3]]
    scores = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    for ours, torchs in zip(ranked(scores, 10), scores.topk(10), strict=True):
        assert torch.equal(ours, torchs)


# Methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["knorm", "keydiff", "observed", "tova", "snapkv", "pyramidkv", "expected"])
def test_methods_keep_the_earlier_of_equal_tokens(name):
    scores = torch.ones(2, 3, 50)
    scores[..., 40:] = 2
    kept = policy(name).keep(scores, np.array([20, 15]))
    for layer, rest in ((0, 10), (1, 5)):
        for head in range(3):
            assert places(kept[layer, head]) == [*range(rest), *range(40, 50)]


def test_methods_that_choose_in_several_steps_too():
    even = torch.ones(1, 2, 40)
    assert places(CriticalKV().keep(torch.stack([even, even], 1), np.array([8]))[0, 0]) == list(range(8))
    kept = AdaKV().keep(even, np.array([8]))[0]
    assert places(kept[0]) == places(kept[1]) == list(range(8))  # the heads share alike
    assert places(Chunks()._keep_one(torch.ones(40), 14)) == list(range(14))
    assert places(SirLLM().keep(even, np.array([8]))[0, 0]) == [*range(4), *range(36, 40)]  # then the newest


def test_one_key_at_many_positions_is_one_norm():
    """In the first layer a key is that of its token, turned by its position: its norm is the same on paper."""
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(64, generator=draw)
    angle = torch.arange(300.0)[:, None] * 10000.0 ** (-torch.arange(32) / 32)
    turned = torch.cat(
        [one[:32] * angle.cos() - one[32:] * angle.sin(), one[32:] * angle.cos() + one[:32] * angle.sin()], -1
    )
    norms = -turned.norm(dim=-1)
    assert len(norms.unique()) > 1  # rounding
    kept = policy("knorm").keep(norms[None, None], np.array([100]))
    assert places(kept[0, 0]) == list(range(100))


# Samplers ---------------------------------------------------------------------------------------------


def kept_tokens(log_probs: torch.Tensor, name: str, **settings: float) -> list[int]:
    return [
        token
        for token in range(len(log_probs))
        if {k.sampler.split()[0]: k for k in what_samplers_keep(log_probs, token, **settings)}[
            name
        ].keeps_actual
    ]


@pytest.mark.parametrize("name", ["top-p", "typical"])
def test_samplers_take_equal_tokens_in_order_and_no_more_than_needed(name):
    """Ten equal tokens: nine hold 0.9 on paper, although nine times a rounded tenth may not."""
    settings = {"top_p": 0.9, "typical": 0.9}
    for log_probs in (torch.zeros(10).log_softmax(-1), torch.full((10,), -math.log(10))):
        assert kept_tokens(log_probs, name, **settings) == list(range(9))
    probs = torch.tensor([0.1, 0.3, 0.1, 0.3, 0.1, 0.1])
    assert kept_tokens(probs.log(), "top-p", top_p=0.65) == [0, 1, 3]
    assert kept_tokens(probs.log(), "top-p", top_p=1.0) == list(range(6))


def test_typical_takes_the_lower_id_of_two_equally_typical_tokens():
    log_probs = torch.tensor([0.25, 0.25, 0.25, 0.25]).log()
    assert kept_tokens(log_probs, "typical", typical=0.4) == [0, 1]
    kept = {k.sampler.split()[0]: k for k in what_samplers_keep(log_probs, typical=0.4)}
    assert kept["typical"].count == 2 and kept["typical"].mass == pytest.approx(0.5)
