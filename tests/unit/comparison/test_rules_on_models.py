"""Rules on whole distributions of two models, read again from the states that a comparison kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import analysis as an
from analysis.comparison.results import VocabularyMatch
from analysis.comparison.rules import r2r
from analysis.comparison.rules.registry import RULES, lay
from analysis.comparison.rules.whole import whole_of_sides
from analysis.errors import AnalysisError
from tests.budget import rounding
from tests.comparisons import log_softmax
from tests.tiny_models.families import save_tiny

TEXT = "the tin in the inn is thin and the hen is in it, and he sat at the fire on a moor"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another model with the same tokenizer."""
    return an.load_model(str(save_tiny("llama", tmp_path_factory.mktemp("other"), seed=1)))


@pytest.fixture(scope="module")
def sides(llama, other):
    return an.Side(llama, TEXT), an.Side(other, TEXT)


@pytest.fixture(scope="module")
def c(sides):
    return an.compare(*sides)


def dense(run, model):
    """float64, (T - 1, V): row t predicted token t + 1."""
    with torch.inference_mode():
        logits = model.anatomy.head.logits(torch.from_numpy(run.final_states[:-1]))
    return log_softmax(logits.double().numpy())


def test_a_rule_reads_both_heads_again(c, sides, llama, other):
    lp, lq = dense(c.a, llama), dense(c.b, other)
    text = c.a.tokens.token_id[1:]
    rows = []
    whole = whole_of_sides(c, *sides, rows.append)
    found = lay("cdpo", c, whole)
    expected = -log_softmax(2 * lq - lp)[np.arange(len(text)), text]
    near = 4 * rounding(lp, lq)
    np.testing.assert_allclose(found.values("minus_log_score")[1:], expected, atol=near)
    assert np.isnan(found.values("minus_log_score")[0]) and sum(rows) == len(text)
    teacher = lay("align_distil", c, whole).values("weight")
    np.testing.assert_allclose(
        teacher[1:], 10 * np.abs(np.exp(lp) - np.exp(lq)).sum(-1) + 1e-3, atol=10 * near
    )
    for rule in RULES.values():
        if rule.needs == "heads":
            assert np.isfinite(lay(rule.name, c, whole).quantities[0].values[1:]).all(), rule.name


def test_ids_in_another_order_are_the_same_tokens(c, sides):
    """B with its ids turned round is the same B: the match says which id is which."""
    whole = whole_of_sides(c, *sides)
    n_ids = c.a.spec.vocab_size
    turned = np.arange(n_ids)[::-1].copy()
    match = VocabularyMatch("permuted", "", turned, n_shared=n_ids)
    from analysis.comparison.pairs import PairedStates, paired_states
    from analysis.comparison.rules.whole import whole_of
    from analysis.comparison.two_heads import HeadStates

    heads = [side.model.anatomy.head for side in sides]
    plain = paired_states(c.a, c.b, c.alignment, *heads)
    head = replace(heads[1], weight=heads[1].weight.flip(0).clone())
    moved = PairedStates(
        plain.a, HeadStates(head, plain.b.states), plain.targets_a, n_ids - 1 - plain.targets_b, plain.of
    )
    again = whole_of(replace(c, vocabulary=match), moved)
    for name in ("cdpo", "differential_information"):
        one, two = (lay(name, c, x).quantities[0].values for x in (whole, again))
        np.testing.assert_allclose(one, two, atol=4 * rounding(np.nan_to_num(one), np.log(n_ids)))


def test_largest_logits_are_those_of_the_head(c, sides, llama):
    from analysis.comparison.pairs import paired_states

    heads = [side.model.anatomy.head for side in sides]
    paired = paired_states(c.a, c.b, c.alignment, *heads)
    found = r2r.top_logits(paired.a, paired.of, len(c.alignment.pairs))
    with torch.inference_mode():
        logits = llama.anatomy.head.logits(torch.from_numpy(c.a.final_states[:-1])).numpy()
    np.testing.assert_allclose(found[1:], -np.sort(-logits, -1)[:, :10], atol=rounding(logits))
    assert np.isnan(found[0]).all()


def test_what_whole_distributions_ask_for(c, sides):
    a, b = sides
    with pytest.raises(AnalysisError, match="Side B has no model"):
        whole_of_sides(c, a, an.Side(None, TEXT, trace=c.b))
    with pytest.raises(AnalysisError, match="another model made it"):
        whole_of_sides(c, a, a)
    with pytest.raises(AnalysisError, match="kept no states"):
        whole_of_sides(replace(c, a=replace(c.a, final_states=None)), a, b)
    extended = replace(c, vocabulary=VocabularyMatch("extended", "B has more ids."))
    with pytest.raises(AnalysisError, match="B has more ids"):
        whole_of_sides(extended, a, b)


def test_public_names(c):
    assert an.routing_curve(c, "EAD", 3.0).chosen[0] <= 1
    assert set(an.quadrants(c).shares) == {1, 2, 3, 4}
    assert len(an.deferral_curve([c, c], at_least=2).share) == 3
