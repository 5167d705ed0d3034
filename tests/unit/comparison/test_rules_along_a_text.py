"""Rules that follow from compared rows or spans: values worked out by hand, and directions that must not be turned."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from analysis.comparison.results import VocabularyMatch
from analysis.comparison.rules import alm, dyspec, edge_qat, f2c, sstoken
from analysis.comparison.rules.feature_gap import feature_gap
from analysis.comparison.rules.hyperfitting import sharpening, type_token_ratio
from analysis.comparison.rules.other_tokenizer import other_tokenizer
from analysis.comparison.rules.read_twice import read_twice
from analysis.comparison.rules.t_reg import token_rewards
from analysis.comparison.rules.tdpo import token_dpo
from analysis.errors import AnalysisError
from tests.budget import EXACT
from tests.comparisons import (
    attention,
    comparison_of,
    kl_of,
    made_comparison,
    made_spans,
    made_truth,
    reads_twice,
)
from tests.unit.comparison.whole_distributions import one_row

NAN = np.nan


def with_rows(n=5, **values):
    """A comparison whose rows have these numbers."""
    c = made_comparison(n)
    assert c.rows is not None
    numbers = {name: np.array(value, np.float32) for name, value in values.items()}
    return replace(c, rows=replace(c.rows, **numbers))


# Rewards ----------------------------------------------------------------------------------------------


def test_a_token_that_b_finds_likelier_is_rewarded():
    c = with_rows(surprisal_a=[NAN, 3, 1, 2, 2], surprisal_b=[NAN, 1, 2, 2, 0])
    t_reg = token_rewards(c)
    assert t_reg.values("ratio")[1:].tolist() == [2, -1, 0, 2] and t_reg.positions == (1, 4)
    sigmoid = [1 / (1 + exp(-x)) - 0.5 for x in (2, -1, 0, 2)]
    np.testing.assert_allclose(t_reg.values("reward")[1:], sigmoid, rtol=EXACT, atol=1e-12)
    assert t_reg.number("sum_ratio") == 3
    late = token_rewards(c, first=3)
    assert np.isnan(late.values("ratio")[:3]).all() and late.number("sum_ratio") == 2


def test_token_dpo_has_the_reference_first():
    truth = made_truth(30)
    found = token_dpo(comparison_of(truth), beta=0.2)
    forward = kl_of(truth.log_p[1:30], truth.log_q[1:30]).sum()
    backward = kl_of(truth.log_q[1:30], truth.log_p[1:30]).sum()
    assert abs(forward - backward) > 0.1
    assert found.number("divergence") == pytest.approx(forward, rel=1e-5)
    assert found.number("margin_part") == pytest.approx(0.2 * 0.5 * forward, rel=1e-5)
    at = np.arange(1, 30), truth.ids[1:]
    gained = truth.log_q[1:30][at[0] - 1, at[1]] - truth.log_p[1:30][at[0] - 1, at[1]]
    assert found.number("reward") == pytest.approx(0.2 * gained.sum(), rel=1e-5)
    assert found.positions == tuple(1 + np.flatnonzero(gained > 0))


# Prompts ----------------------------------------------------------------------------------------------


def test_the_gap_is_that_of_the_context_against_none():
    truth = made_truth(30)
    c = comparison_of(truth)
    found = feature_gap(c, first=10)
    with_context = kl_of(truth.log_q[10:30], truth.log_p[10:30])
    np.testing.assert_allclose(found.values("gap")[10:], with_context, rtol=1e-4, atol=1e-6)
    assert found.number("mean_gap") == pytest.approx(with_context.mean(), rel=1e-5)
    assert not found.marks[:10].any() and np.isnan(found.values("gap")[:10]).all()
    with pytest.raises(AnalysisError, match="No token from 30 on"):
        feature_gap(c, first=30)


def test_what_the_second_reading_takes_away():
    c = with_rows(
        surprisal_a=[NAN, 3, 1, 2, 2],
        surprisal_b=[NAN, 1, 2, 2, 0],
        entropy_a=[NAN, 1, 1, 1, 1],
        entropy_b=[NAN, 0.5, 1, 1, 1.5],
    )
    with pytest.raises(AnalysisError, match="once more"):
        read_twice(c)
    c = reads_twice(c)
    found = read_twice(c)
    assert found.values("surprisal_change")[1:].tolist() == [-2, 1, 0, -2] and found.positions == (1, 4)
    assert found.number("surprisal_change") == -0.75 and found.number("helped") == 0.5
    assert found.number("entropy_change") == 0
    assert read_twice(c, first=4).number("surprisal_change") == -2
    prompt = int(c.a.tokens.end[2])
    answer = read_twice(reads_twice(c, prompt))
    assert np.isnan(answer.values("surprisal_change")[:3]).all() and answer.number("surprisal_change") == -1
    other = replace(c, b=replace(c.b, text="Something else. " + c.a.text))
    with pytest.raises(AnalysisError, match="once more"):
        read_twice(other)


def test_marks_stand_on_each_side_at_its_own_place():
    c = reads_twice(made_comparison(10, ahead=3))
    found = read_twice(c)
    on_a, on_b = found.on(c, "a"), found.on(c, "b")
    assert len(on_a) == 10 and len(on_b) == 13
    np.testing.assert_array_equal(np.flatnonzero(on_b), np.flatnonzero(on_a) + 3)
    assert found.to_frame(c, "bits")["surprisal_change_bits"][1] == pytest.approx(
        found.values("surprisal_change")[1] / log(2), rel=EXACT
    )


# Sharpening -------------------------------------------------------------------------------------------


def test_sharpening():
    assert type_token_ratio([1, 2, 1, 2]) == 0.5 and type_token_ratio([9] * 100 + [1, 2] * 48) == 2 / 96
    with pytest.raises(AnalysisError, match="Nothing was written"):
        type_token_ratio([])
    c = with_rows(entropy_a=[NAN, 2, 2, 2, 2], entropy_b=[NAN, 0.9, 1, 3, 0])
    found = sharpening(c, written_a=[1, 1], written_b=[1, 2])
    assert found.positions == (1, 4) and found.number("entropy_b") == pytest.approx(4.9 / 4)
    assert (found.number("ttr_a"), found.number("ttr_b")) == (0.5, 1.0)
    assert found.values("entropy_change")[1:].tolist() == pytest.approx([-1.1, -1, 1, -2])
    assert [one.name for one in sharpening(c).numbers] == ["entropy_a", "entropy_b", "surprisal_change"]


# Drafts by their probability --------------------------------------------------------------------------


def test_means_within_bins():
    edges = np.array([0.0, 0.5, 1.0])
    centre, mean, total = dyspec.mean_by_bin(
        np.array([0.1, 0.3, 0.5, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 3.0, 1.0, 1.0]), edges
    )
    assert mean.tolist() == [0.25, 0.5] and total.tolist() == [4, 2]
    assert centre.tolist() == pytest.approx([0.25, 0.75])
    assert np.isnan(dyspec.mean_by_bin(*np.full((3, 1), 0.1), edges)[1][1])


def test_a_draft_is_accepted_by_the_smaller_of_one_and_the_quotient():
    """Drafts (.7, .3) of a target (.35, .65): the first is accepted every second time, the second always."""
    c, _ = one_row([0.7, 0.3], [0.35, 0.65])
    line = dyspec.by_probability(c).lines[0]
    assert line.x[-2:].tolist() == pytest.approx([0.3, 0.7], rel=1e-5)
    assert line.y[-2:].tolist() == pytest.approx([1.0, 0.5], rel=1e-5)
    by_entropy = dyspec.by_entropy(c).lines[0]
    assert by_entropy.y.tolist() == pytest.approx([0.65], rel=1e-5), "1 - TV"


def test_acceptance_in_bins_adds_up():
    c = made_comparison(60)
    found = dyspec.acceptance(c)
    assert c.rows is not None
    assert found.number("acceptance") == pytest.approx(1 - float(np.nanmean(c.rows.tv.astype(float))))
    curve = dyspec.by_entropy(c, 5)
    assert len(curve.lines[0].x) == 5 and (np.diff(curve.lines[0].x) > 0).all()
    sure = np.exp(c.rows.top_logprobs_a[:, 0]) >= 0.9
    assert found.positions == tuple(np.flatnonzero(sure))


# Selection of tokens ----------------------------------------------------------------------------------


def test_tokens_worth_training_on():
    c = with_rows(surprisal_a=[NAN, 3, 1, 2, 2], surprisal_b=[NAN, 1, 2, 2, 0])
    alone = sstoken.token_selection(c, kept=0.5)
    assert alone.values("score")[1:].tolist() == pytest.approx([1, 0, 1 / 3, 1])
    assert alone.positions == (1, 4) and alone.number("gamma") == 1
    seen = replace(c, b=replace(c.b, attention=attention(np.array([0.9, 0.1, 0.4, 0.2, 0.1]))))
    found = sstoken.token_selection(seen, gamma=0.5, kept=0.5)
    assert found.values("attention")[1:].tolist() == pytest.approx([0.25, 1, 0.5, 0.25]), "of the answer"
    assert found.values("score")[1:].tolist() == pytest.approx([0.625, 0.5, 5 / 12, 0.625])
    assert found.positions == (1, 4)
    only = sstoken.token_selection(seen, gamma=0.0, kept=0.26)
    assert only.positions == (2, 3), "ceil(1.04) of four"
    assert sstoken.token_selection(c, kept=0.6, first=2).marks.sum() == 2, "ceil(1.8) of three"
    with pytest.raises(AnalysisError, match="from 0 to 1"):
        sstoken.token_selection(c, kept=0.0)


def test_equal_losses_have_no_difference_to_rank():
    c = with_rows(surprisal_a=[NAN, 1, 1, 1, 1], surprisal_b=[NAN, 1, 1, 1, 1])
    found = sstoken.token_selection(c, kept=0.5)
    assert found.values("score")[1:].tolist() == [0, 0, 0, 0] and found.positions == (1, 2)


# Heads and variants -----------------------------------------------------------------------------------


def test_heads_under_rounding():
    c = made_comparison(6)
    both = replace(
        c,
        a=replace(c.a, attention=attention(np.ones(6), entropy=1.5, sink=0.5)),
        b=replace(c.b, attention=attention(np.ones(6), entropy=1.0, sink=0.2)),
    )
    found = edge_qat.head_change(both)
    assert found.entropy.tolist() == [[-0.5, -0.5]]
    assert found.first_token.ravel() == pytest.approx([-0.3, -0.3], abs=1e-7)
    assert found.to_frame("bits")["entropy_change_bits"][0] == pytest.approx(-0.5 / log(2))
    laid = edge_qat.attention_change(both)
    assert laid.values("entropy_change").tolist() == [-0.5] * 6 and laid.number("most") == -0.5
    assert laid.number("first_token") == pytest.approx(-0.3, abs=1e-7) and laid.marks.all()
    with pytest.raises(AnalysisError, match="without attention"):
        edge_qat.head_change(c)
    one_head = replace(both.b.attention, entropy=both.b.attention.entropy[:, :1])
    with pytest.raises(AnalysisError, match="other layers or heads"):
        edge_qat.head_change(replace(both, b=replace(both.b, attention=one_head)))


def test_variants_of_a_prompt():
    def variant(first_b):
        c = made_comparison(6)
        assert c.rows is not None
        top_a, top_b = c.rows.top_ids_a.copy(), c.rows.top_ids_b.copy()
        top_a[4, 0], top_b[4, 0] = 3, first_b
        return replace(c, rows=replace(c.rows, top_ids_a=top_a, top_ids_b=top_b))

    found = f2c.variants([variant(3), variant(5), variant(5), variant(5)], 4)
    assert found.choices == (3, 3, 5, 5, 5) and found.flips == 3 and found.majority == (5, 0.6)
    frame = found.to_frame()
    assert len(frame) == 5 and frame["flip"].tolist() == [False, False, True, True, True]
    assert frame["jsd_nats"][0] == 0 and frame["first_choice"][0] == " lit"
    other = VocabularyMatch("permuted", "", np.roll(np.arange(32), -1))
    moved = f2c.variants([replace(variant(4), vocabulary=other)], 4)
    assert moved.choices == (3, 3) and moved.flips == 0, "id 4 of B is id 3 of A"
    with pytest.raises(AnalysisError, match="no variants"):
        f2c.variants([], 4)
    with pytest.raises(AnalysisError, match="does not have token 9"):
        f2c.variants([variant(3)], 9)


# Spans ------------------------------------------------------------------------------------------------


def test_another_tokenizer_in_bits_per_byte():
    c = made_spans()
    found = other_tokenizer(c)
    assert c.spans.n_bytes.tolist() == [10, 4, 9, 1]
    a = c.a.tokens.surprisal.astype(float)
    assert np.isnan(found.values("surprisal_a")[0]), "its first token had no context"
    assert found.values("surprisal_a")[2] == pytest.approx(a[3] + a[4], rel=1e-6)
    bits = a[2:].sum() / 14 / log(2)
    assert f"per byte, A: {bits:.3g}"[:14] in found.says("bits") and found.number("bytes") == 14
    assert found.number("per_byte_a") == pytest.approx(a[2:].sum() / 14, rel=1e-6)
    b = c.b.tokens.surprisal.astype(float)
    assert found.values("change_per_byte")[1] == pytest.approx((b[1] + b[2] - a[2]) / 4, rel=1e-5)
    assert found.positions == (0, 1, 2) and found.number("one_to_one") == 0.25
    assert found.on(c, "a").tolist() == [True] * 5 + [False] == found.on(c, "b").tolist()
    assert found.to_frame(c)["text"].tolist() == ["The keeper", " lit", " the lamp", "."]


def test_coins():
    """P 1/2 against Q 1/4: 1/2 ln 2 + 1/2 ln 2/3; turned round it is another number."""
    half, quarter = np.log([0.5]), np.log([0.25])
    assert alm.coin_kl(half, quarter)[0] == pytest.approx(0.5 * log(2) + 0.5 * log(2 / 3), rel=EXACT)
    assert alm.coin_kl(quarter, half)[0] == pytest.approx(0.25 * log(0.5) + 0.75 * log(1.5), rel=EXACT)
    np.testing.assert_array_equal(alm.coin_kl(np.array([0.0, -40.0]), np.array([0.0, -40.0])), 0)
    sure = alm.coin_kl(np.array([-1e-9]), np.array([-1e-6]))[0]
    assert sure == pytest.approx(1e-6 + 1e-9 * log(1e-3), rel=1e-2)
    assert np.isinf(alm.coin_kl(np.array([-1.0]), np.array([0.0]))[0])


def test_likelihoods_of_spans():
    c = made_spans()
    found = alm.span_likelihoods(c)
    p, q = (exp(-float(x[1])) for x in (c.spans.surprisal_a, c.spans.surprisal_b))
    expected = p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
    assert found.values("coin_kl")[1] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(found.values("coin_kl")[0]) and not found.marks[0]
