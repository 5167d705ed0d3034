"""Two heads side by side: every number of a row against plain definitions, whatever the blocks and the vocabularies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.comparison import two_heads
from analysis.comparison.results import ComparedRows, VocabularyMatch
from analysis.comparison.two_heads import HeadStates, blocks, compare_rows
from analysis.errors import AnalysisError
from analysis.forward import vocabulary_head
from analysis.models.anatomy import Head

Z_A, Z_B = [2.0, 1, 0, -1], [1.0, 2, 0, 0]
NUMBERS = ("entropy_a", "entropy_b", "surprisal_a", "surprisal_b", "kl_ab", "kl_ba", "jsd", "tv")
SAME = "identical"


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def of_logits(*rows):
    """States whose logits are given."""
    return HeadStates(Head(torch.eye(len(rows[0])), None, 1.0, None), torch.tensor(rows, dtype=torch.float32))


def identical(size):
    return VocabularyMatch(SAME, "", None, size)


def compared(a, b, targets_a, match=None, targets_b=None, top_k=3, on_rows=lambda _n: None):
    ids = torch.as_tensor(targets_a)
    others = ids if targets_b is None else torch.as_tensor(targets_b)
    return compare_rows(a, b, ids, others, match or identical(a.head.vocab_size), top_k, on_rows)


def random_sides(n=40, size=300, width=16, seed=0):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(size, width, generator=draw) * 0.7
    states = torch.randn(n, width, generator=draw)
    other = states + 0.3 * torch.randn(n, width, generator=draw)
    head = Head(weight, None, 1.0, None)
    return HeadStates(head, states), HeadStates(head, other), torch.randint(size, (n,), generator=draw)


def test_golden_row():
    rows = compared(of_logits(Z_A), of_logits(Z_B), [2], top_k=2)
    expected = {"kl_ab": 0.428595, "kl_ba": 0.414753, "jsd": 0.101206, "tv": 0.423949}
    for name, value in expected.items():
        assert getattr(rows, name)[0] == pytest.approx(value, abs=1e-6), name
    assert rows.entropy_change[0] == pytest.approx(0.101168, abs=1e-6)
    lp, lq = (np.array(z) - np.logaddexp.reduce(z) for z in (Z_A, Z_B))
    assert rows.surprisal_a[0] == pytest.approx(-lp[2], rel=1e-6)
    assert rows.surprisal_change[0] == pytest.approx(lp[2] - lq[2], rel=1e-6)
    assert rows.prob_change[0] == pytest.approx(np.exp(lq[2]) - np.exp(lp[2]), rel=1e-5)
    assert (rows.rank_a[0], rows.rank_b[0]) == (3, 3)
    assert (rows.rank_of_a_in_b[0], rows.rank_of_b_in_a[0], rows.first_differs[0]) == (2, 2, 1)
    assert rows.top_ids_a[0].tolist() == [0, 1] and rows.top_ids_b[0].tolist() == [1, 0]
    np.testing.assert_allclose(rows.top_logprobs_a[0], lp[[0, 1]], rtol=1e-6)
    np.testing.assert_allclose(rows.top_a_in_b[0], lq[[0, 1]], rtol=1e-6)
    np.testing.assert_allclose(rows.top_b_in_a[0], lp[[1, 0]], rtol=1e-6)
    assert rows.rest_a is None and not rows.at_least and rows.has_context.all()
    assert rows.entropy_a.dtype == np.float32 and rows.rank_a.dtype == np.int32
    assert rows.top_ids_a.dtype == np.int64 and rows.first_differs.dtype == np.float32


def test_the_only_honest_restriction_is_a_rest():
    """Two ids and one rest: at most the whole divergence. Renormalised, or the ids alone, would be more."""
    two = VocabularyMatch("extended", "", np.array([0, 1, -1, -1]), 2, 2, 2)
    rows = compared(of_logits(Z_A), of_logits(Z_B), [0], two)
    assert rows.kl_ab[0] == pytest.approx(0.415370, abs=1e-6) and rows.at_least
    p, q = (np.exp(z) / np.exp(z).sum() for z in (np.array(Z_A), np.array(Z_B)))
    assert rows.rest_a[0] == pytest.approx(p[2:].sum(), rel=1e-6)
    assert rows.rest_b[0] == pytest.approx(q[2:].sum(), rel=1e-6)
    assert rows.tv[0] == pytest.approx((abs(p - q)[:2].sum() + abs((p - q)[2:].sum())) / 2, rel=1e-6)


@pytest.mark.parametrize("k", [1, 10, 100, 299])
def test_a_rest_never_adds_and_more_shared_tokens_never_take_away(k):
    a, b, ids = random_sides()
    whole = compared(a, b, ids)
    last = None
    for shared in (k, k + 1):
        b_of_a = np.where(np.arange(300) < shared, np.arange(300), -1)
        match = VocabularyMatch("extended", "", b_of_a, shared, 300 - shared, 300 - shared)
        rows = compared(a, b, ids, match)
        for name in ("kl_ab", "kl_ba", "jsd", "tv"):
            values = getattr(rows, name)
            assert (values <= getattr(whole, name) * (1 + 1e-5) + 1e-6).all(), name
            assert last is None or (values >= last[name] * (1 - 1e-5) - 1e-6).all(), name
        last = {name: getattr(rows, name) for name in ("kl_ab", "kl_ba", "jsd", "tv")}
        for name in ("entropy_a", "entropy_b", "surprisal_a", "surprisal_b", "rank_a", "rank_b"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(whole, name))


@pytest.mark.parametrize(("block_rows", "part_bytes"), [(1, 1), (3, 2500), (7, 1 << 19), (64, 5000)])
def test_blocks_and_parts_change_nothing(monkeypatch, block_rows, part_bytes):
    a, b, ids = random_sides()
    whole, counted = compared(a, b, ids), []
    monkeypatch.setattr(two_heads, "rows_per_block", lambda _head: block_rows)
    monkeypatch.setattr(vocabulary_head, "PART_BYTES", part_bytes)
    cut = compared(a, b, ids, on_rows=counted.append)
    assert sum(counted) == 40 and max(counted) <= block_rows
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), atol=2e-5, rtol=1e-4)
    for name in ("rank_a", "rank_of_a_in_b", "top_ids_a", "first_differs"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_a_side_with_itself_is_exactly_zero():
    a, _, ids = random_sides()
    rows = compared(a, a, ids)
    for name in ("kl_ab", "kl_ba", "jsd", "tv", "entropy_change", "surprisal_change", "first_differs"):
        assert (getattr(rows, name) == 0).all(), name
    assert (rows.rank_of_a_in_b == 1).all() and (rows.rank_a == rows.rank_b).all()


def test_exchanged_sides_give_exchanged_numbers():
    a, b, ids = random_sides()
    there, back = compared(a, b, ids), compared(b, a, ids)
    pairs = [("kl_ab", "kl_ba"), ("jsd", "jsd"), ("tv", "tv"), ("entropy_a", "entropy_b")]
    for one, other in [*pairs, ("rank_a", "rank_b"), ("rank_of_a_in_b", "rank_of_b_in_a")]:
        np.testing.assert_allclose(getattr(there, one), getattr(back, other), atol=1e-7)
    np.testing.assert_array_equal(there.top_a_in_b, back.top_b_in_a)


def permuted(side, order):
    """A side whose id i is what was id order[i]."""
    return HeadStates(Head(side.head.weight[order], None, 1.0, None), side.states)


def test_a_permuted_vocabulary_gives_the_same_numbers():
    a, b, ids = random_sides()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(5))
    b_of_a = order.argsort()
    match = VocabularyMatch("permuted", "", b_of_a.numpy(), 300)
    plain = compared(a, b, ids)
    other = compared(a, permuted(b, order), ids, match, b_of_a[ids])
    for name in (*NUMBERS, "top_a_in_b", "top_b_in_a", "top_logprobs_b"):
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name), atol=1e-6, rtol=1e-5)
    for name in ("rank_a", "rank_b", "rank_of_a_in_b", "rank_of_b_in_a", "top_ids_a", "first_differs"):
        np.testing.assert_array_equal(getattr(other, name), getattr(plain, name))
    np.testing.assert_array_equal(order.numpy()[other.top_ids_b], plain.top_ids_b)  # B's own ids
    by_number = compared(a, permuted(b, order), ids)
    assert (by_number.kl_ab > 10 * plain.kl_ab).any()  # what ids that are equal by chance would give


def test_ids_that_one_side_has_alone():
    """A: tokens x, y, z. B: new, z, x, y. B's rest is the new one; that A cannot have it makes KL(B || A) infinite."""
    a, b = of_logits([1.0, 0, -1]), of_logits([3.0, -1, 0, 1])
    match = VocabularyMatch("extended", "", np.array([2, 3, 1]), 3, 0, 1)
    rows = compared(a, b, [0], match, [2])
    p = np.exp([1.0, 0, -1]) / np.exp([1.0, 0, -1]).sum()
    q_all = np.exp([3.0, -1, 0, 1]) / np.exp([3.0, -1, 0, 1]).sum()
    q, rest = q_all[[2, 3, 1]], q_all[0]
    assert rows.rest_a[0] == 0 and rows.rest_b[0] == pytest.approx(rest, rel=1e-6)
    assert rows.kl_ab[0] == pytest.approx(
        (p * np.log(p / q)).sum(), rel=1e-5
    )  # exact: A never has the new one
    assert rows.kl_ba[0] == pytest.approx((q * np.log(q / p)).sum() + rest, rel=1e-5)
    assert 0 < rows.kl_ba[0] < 10
    m = (p + q) / 2
    jsd = ((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum() + rest * np.log(2)) / 2
    assert rows.jsd[0] == pytest.approx(jsd, rel=1e-5)
    assert rows.tv[0] == pytest.approx((abs(p - q).sum() + rest) / 2, rel=1e-5)
    assert rows.surprisal_b[0] == pytest.approx(-np.log(q[0]), rel=1e-5)
    assert rows.top_ids_b[0].tolist() == [0, 3, 2] and rows.top_ids_a[0].tolist() == [0, 1, 2]
    assert np.isnan(rows.top_b_in_a[0, 0]) and rows.top_b_in_a[0, 1] == pytest.approx(np.log(p[1]), rel=1e-5)
    np.testing.assert_allclose(rows.top_a_in_b[0], np.log(q), rtol=1e-5)
    assert (rows.rank_of_b_in_a[0], rows.rank_of_a_in_b[0], rows.first_differs[0]) == (0, 3, 1)


def test_first_choices_that_each_side_has_alone_are_not_the_same():
    both = VocabularyMatch("extended", "", np.array([0, -1]), 1, 1, 1)
    rows = compared(of_logits([0.0, 5]), of_logits([0.0, 5]), [0], both)
    assert rows.first_differs[0] == 1 and rows.rank_of_a_in_b[0] == 0
    assert rows.kl_ab[0] == 0  # as far as can be said


def test_padding_of_both_heads_takes_part():
    """Ids without a token have probability: cut off and renormalised, the numbers would be other ones."""
    a, b, ids = random_sides()
    whole = compared(a, b, ids % 250)
    short = [HeadStates(Head(side.head.weight[:250], None, 1.0, None), side.states) for side in (a, b)]
    cut = compared(*short, ids % 250)
    assert (abs(whole.kl_ab - cut.kl_ab) > 1e-3).any()


def test_scale_bias_cap_and_sixteen_bits_are_the_heads_own():
    draw = torch.Generator().manual_seed(3)
    weight = torch.randn(50, 8, generator=draw)
    states = torch.randn(6, 8, generator=draw)
    plain = HeadStates(Head(weight, None, 1.0, None), states)
    other = Head(weight.bfloat16(), torch.randn(50, generator=draw), 0.5, 4.0)
    rows = compared(plain, HeadStates(other, states), torch.arange(6))
    z = (states.double() @ weight.bfloat16().double().T + other.bias.double()) * 0.5
    lq = (torch.tanh(z / 4) * 4).log_softmax(-1)
    lp = (states.double() @ weight.double().T).log_softmax(-1)
    np.testing.assert_allclose(rows.kl_ab, (lp.exp() * (lp - lq)).sum(-1), atol=2e-6, rtol=2e-3)
    np.testing.assert_allclose(rows.surprisal_b, -lq[range(6), range(6)], atol=5e-5)


def test_parts_come_in_order_without_gaps(monkeypatch):
    a, b, _ = random_sides()
    monkeypatch.setattr(two_heads, "rows_per_block", lambda _head: 7)
    monkeypatch.setattr(vocabulary_head, "PART_BYTES", 1200 * 3 // torch.get_num_threads())
    seen = [block.rows for block in blocks(a, b, identical(300), lambda _n: None)]
    assert [rows.start for rows in seen[1:]] == [rows.stop for rows in seen[:-1]]
    assert (seen[0].start, seen[-1].stop) == (0, 40) and max(x.stop - x.start for x in seen) <= 3
    for block in blocks(a, b, identical(300), lambda _n: None):
        logits = a.states[block.rows] @ a.head.weight.T
        torch.testing.assert_close(block.log_p, logits.log_softmax(-1), atol=2e-5, rtol=1e-5)
        assert [x.shape[1] for x in block.shared] == [300] * 4


def test_nothing_waits_for_the_device(monkeypatch):
    """What parts give stays where it is and comes over once, however many there are."""
    asked = []
    for name in ("cpu", "numpy", "item", "tolist", "__float__", "__bool__", "__int__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda x, *more, _real=real, _name=name: (asked.append(_name), _real(x, *more))[1],
        )
    a, b, ids = random_sides()
    counts = []
    for rows in (40, 3):
        monkeypatch.setattr(two_heads, "rows_per_block", lambda _head, rows=rows: rows)
        asked.clear()
        compared(a, b, ids)
        counts.append(asked.copy())
    names = ComparedRows.__dataclass_fields__
    assert counts[0] == counts[1] and counts[0].count("cpu") == len(names) - 2  # no rests


def test_what_cannot_be_compared_is_refused():
    a, b, ids = random_sides()
    with pytest.raises(AnalysisError, match="no common"):
        compared(a, b, ids, VocabularyMatch("different", "They have no common distribution."))
    with pytest.raises(AnalysisError, match="300 and 300 rows"):
        compared(a, b, ids, identical(299))
    with pytest.raises(AnalysisError, match="No token"):
        compared(HeadStates(a.head, a.states[:0]), HeadStates(b.head, b.states[:0]), ids[:0])
