"""Methods that choose visual tokens, on features whose right answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import analysis as an
from analysis.visual_tokens.policies.base import VisualView
from analysis.visual_tokens.policies.cdpruner import CDPrunerLike, largest_determinant
from analysis.visual_tokens.policies.dart import Dart
from analysis.visual_tokens.policies.divprune import DivPrune
from analysis.visual_tokens.policies.entropyprune import EntropyPrune, head_entropy
from analysis.visual_tokens.policies.fastv import FastV
from analysis.visual_tokens.policies.random import RandomTokens
from analysis.visual_tokens.policies.sparsevlm import SparseVLM, raters
from analysis.visual_tokens.policies.transprune import TransPrune
from analysis.visual_tokens.policies.zoo import ZooPrune, sensitivity

METHODS = [
    RandomTokens(),
    DivPrune(),
    CDPrunerLike(),
    Dart(),
    FastV(),
    EntropyPrune(),
    SparseVLM(),
    TransPrune(),
    ZooPrune(),
]
by_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)


def some_view(n: int = 24, m: int = 5, width: int = 8) -> VisualView:
    draw = torch.Generator().manual_seed(0)
    one = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    return VisualView(
        features=one(n, width),
        question=one(width),
        states=one(n, width),
        keys=one(n, 6),
        text_states=one(m, width),
        text_keys=one(m, 6),
        queries=one(n, 4, 6),
        attention=one(m, n).softmax(-1),
        text_features=one(m, width),
        transitions=one(n).exp(),
        sensitivity=one(n).exp(),
    )


def chosen(kept: torch.Tensor) -> list[int]:
    return kept.nonzero()[:, 0].tolist()


@by_method
def test_exactly_the_budget_is_kept(method):
    view = some_view()
    for budget in (0, 1, 2, 3, 7, 9, 17, 23, 24):
        assert int(method.keep(view, budget).sum()) == budget
    for wrong in (-1, 25):
        with pytest.raises(an.AnalysisError, match="cannot be kept"):
            method.keep(view, wrong)


@by_method
def test_equal_tokens_are_no_trouble(method):
    view = some_view()
    same = {
        name: getattr(view, name)[:1].expand_as(getattr(view, name))
        for name in ("features", "states", "keys", "queries")
    }
    assert int(method.keep(replace(view, **same), 10).sum()) == 10
    nothing = {name: torch.zeros_like(part) for name, part in same.items()}
    assert int(method.keep(replace(view, **nothing), 10).sum()) == 10


@by_method
def test_what_is_not_there_is_named(method):
    bare = VisualView(some_view().features)
    if method.needs == ("features",):
        assert int(method.keep(bare, 3).sum()) == 3
        return
    with pytest.raises(an.AnalysisError, match="needs"):
        method.keep(bare, 3)


def test_random_depends_on_the_seed_alone():
    view = some_view()
    assert chosen(RandomTokens().keep(view, 8, 1)) == chosen(RandomTokens().keep(view, 8, 1))
    assert chosen(RandomTokens().keep(view, 8, 1)) != chosen(RandomTokens().keep(view, 8, 2))
    counts = sum(RandomTokens().keep(view, 6, seed).long() for seed in range(400))
    # 400 draws of one in four: mean 100, standard deviation 8.7
    assert (counts - 100).abs().max() < 40


def test_divprune_takes_one_of_each_direction():
    """Three directions, the third a little off and alone; duplicates come last."""
    east, north = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    alone = torch.tensor([0, 0.1, 1.0])
    view = VisualView(torch.stack([east, 5 * east, north, 2 * north, alone]))
    assert 4 in chosen(DivPrune().keep(view, 1)), "the one whose nearest neighbour is farthest"
    three = chosen(DivPrune().keep(view, 3))
    assert three == [0, 2, 4], "lengths do not count, and of equals the first stays"


def test_a_determinant_takes_one_of_two_equal_tokens():
    rows = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]).double()
    assert sorted(largest_determinant(rows @ rows.T, 3)) == [0, 2, 3]
    assert len(largest_determinant(rows @ rows.T, 4)) == 3, "its rank is used up: no NaN, no fourth"


def test_the_greedy_determinant_is_the_greedy_determinant():
    """Against determinants taken one by one."""
    rows = torch.randn(9, 6, generator=torch.Generator().manual_seed(3)).double()
    kernel = rows @ rows.T
    found: list[int] = []
    for _ in range(5):
        rest = [i for i in range(9) if i not in found]
        found.append(max(rest, key=lambda i: float(torch.linalg.det(kernel[[*found, i]][:, [*found, i]]))))
    assert largest_determinant(kernel, 5) == found


def test_cdpruner_goes_on_where_the_rank_ends():
    """40 tokens of width 4: a determinant of five is 0."""
    view = some_view(n=40, width=4)
    assert int(CDPrunerLike().keep(view, 30).sum()) == 30


def test_cdpruner_prefers_what_belongs_to_the_question():
    base = torch.eye(4)
    view = VisualView(base, question=torch.tensor([0.1, 0.2, 0.9, 0.4]))
    assert chosen(CDPrunerLike().keep(view, 2)) == [2, 3]
    assert chosen(CDPrunerLike(negated=True).keep(view, 2)) == [0, 1]


def test_dart_drops_what_repeats_a_pivot():
    """One pivot by the largest key; its duplicates go first. No text pivot."""
    states = torch.tensor([[1.0, 0], [1.0, 0.01], [0.0, 1.0], [0.7, 0.7]])
    view = VisualView(
        states,
        states=states,
        keys=torch.tensor([[9.0, -9.0], [1.0, 0], [1.0, 0], [1.0, 0]]),
        text_states=torch.zeros(0, 2),
        text_keys=torch.zeros(0, 2),
    )
    dart = Dart(n_image=1)
    assert [chosen(dart.keep(view, b)) for b in (1, 2, 3)] == [[0], [0, 2], [0, 2, 3]]


def test_dart_shares_the_rest_out_to_all_pivots():
    """Budget 5 with two pivots of the image and one of the text: the text's pivot adds one token least like it."""
    states = torch.tensor(
        [[1.0, 0, 0], [0, 1.0, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0, 1.0], [0.2, 0.2, 0.9]]
    )
    view = VisualView(
        states,
        states=states,
        keys=torch.tensor([[5.0], [4.0], [1.0], [1.0], [1.0], [1.0]]),
        text_states=torch.tensor([[0, 0, 1.0]]),
        text_keys=torch.tensor([[1.0]]),
    )
    kept = chosen(Dart(n_image=2, n_text=1).keep(view, 5))
    # pivot 0: the least like it is 4 (cosine 0, as 1, which is kept); pivot 1: 2 (0.11); the text: 3 (0)
    assert kept == [0, 1, 2, 3, 4]


def test_fastv_reads_the_last_row():
    attention = torch.tensor([[0.9, 0.05, 0.05], [0.1, 0.2, 0.7]])
    view = VisualView(torch.zeros(3, 2), attention=attention)
    assert chosen(FastV().keep(view, 1)) == [2] and chosen(FastV().keep(view, 2)) == [1, 2]


def test_entropy_of_heads_by_hand():
    """Four heads: the same query, differences along one direction, and along three equally (3 of 4: ln 3 / ln 4)."""
    same = torch.ones(4, 8)
    line = torch.zeros(4, 8)
    line[:, 0] = torch.tensor([1.0, -1.0, 2.0, -2.0])
    simplex = torch.eye(4, 8)
    queries = torch.stack([same, line, simplex])
    found = head_entropy(queries)
    assert found.tolist() == pytest.approx([0, 0, math.log(3) / math.log(4)], abs=1e-6)
    assert torch.allclose(head_entropy(7 * queries), found, atol=1e-6), "an entropy does not know the scale"
    assert chosen(EntropyPrune().keep(VisualView(torch.zeros(3, 2), queries=queries), 1)) == [2]
    # released: values 1/4 three times, not divided by their sum: -(3 x 1/4 ln 1/4) / ln 4 = 3/4
    released = head_entropy(queries[2:], released=True)
    assert float(released) == pytest.approx(0.75, abs=1e-6)
    assert np.sign(float(head_entropy(7 * queries[2:], released=True))) == -1, "no entropy is negative"


def test_words_that_belong_to_the_image_rate():
    """Both visual tokens lie along the first word: its share is above a half, and its row alone decides."""
    view = VisualView(
        torch.tensor([[2.0, 0], [3.0, 0], [2.0, 0]]),
        text_features=torch.tensor([[1.0, 0], [0, 1.0]]),
        attention=torch.tensor([[0.1, 0.5, 0.4], [0.9, 0.05, 0.05]]),
    )
    assert view.text_features is not None
    assert raters(view.features, view.text_features).tolist() == [True, False]
    assert chosen(SparseVLM().keep(view, 1)) == [1]


def test_transitions_and_attention_are_added_as_shares():
    """Shares .5 .3 .2 and .1 .3 .6: sums .6 .6 .8; without attention the first."""
    view = VisualView(
        torch.zeros(3, 2),
        transitions=torch.tensor([50.0, 30.0, 20.0]),
        attention=torch.tensor([[0.1, 0.2, 0.4], [0.1, 0.4, 0.8]]),
    )
    assert chosen(TransPrune().keep(view, 1)) == [2]
    assert chosen(TransPrune().keep(view, 2)) == [0, 2], "of equals the first stays"
    assert chosen(TransPrune(with_attention=False).keep(view, 1)) == [0]


def test_sensitivity_of_a_linear_projector_is_the_mean_length_of_its_noise():
    """M(x) = 3 x in two dimensions: 3 times the mean length of a standard normal pair, sqrt(pi / 2)."""
    states = torch.zeros(50, 2, dtype=torch.float64)
    found = sensitivity(lambda x: 3 * x, states, draws=400)
    assert float(found.mean()) == pytest.approx(3 * math.sqrt(math.pi / 2), rel=0.02)
    deaf = sensitivity(lambda x: x * torch.tensor([0] + [1] * 48 + [9])[:, None], states)
    assert float(deaf[0]) == 0 and int(deaf.argmax()) == 49


def test_zoo_weighs_sensitivity_with_distance():
    """The strongest first; its copy is as strong and comes last; the weakest weighs nothing."""
    view = VisualView(
        torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0], [-1.0, 0]]),
        sensitivity=torch.tensor([10.0, 9.0, 5.0, 0.0]),
    )
    assert chosen(ZooPrune().keep(view, 2)) == [0, 2]
