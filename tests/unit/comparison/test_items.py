"""Both sides' tokens in one order: nothing lost, nothing invented in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.choices import choices_on_both
from analysis.comparison.findings import finding, headline, most_changed_item
from analysis.comparison.items import items_of
from analysis.comparison.results import Alignment
from tests.comparisons import made_comparison, made_spans, made_truth


def with_alignment(c, span_a, span_b):
    """The same traces, matched otherwise; rows are left out."""
    span_a, span_b = np.array(span_a, np.int32), np.array(span_b, np.int32)
    n = int(max(span_a.max(initial=-1), span_b.max(initial=-1))) + 1
    return replace(
        c,
        rows=None,
        alignment=Alignment("diff", np.zeros((0, 2), np.int64), span_a, span_b, np.ones(n, np.int32)),
    )


def test_one_text_is_an_item_a_token():
    c = made_comparison(8)
    items = items_of(c)
    assert len(items) == 8 and (items.row == np.arange(8)).all() and (items.span == np.arange(8)).all()
    assert items.text_a == items.text_b == c.a.tokens.text
    assert not len(items.edges) and items.has_a.all() and items.has_b.all()


def test_tokens_ahead_of_b_stand_alone_before_the_text():
    items = items_of(made_comparison(6, ahead=3))
    assert len(items) == 9 and not items.has_a[:3].any() and items.has_b.all()
    assert items.span.tolist() == [-1, -1, -1, 0, 1, 2, 3, 4, 5] and items.edges.tolist() == [0]
    assert items.start_b.tolist() == list(range(9)) and items.start_a.tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert items.text_a[:3] == ("", "", "")


def test_tokens_of_one_side_alone_stand_under_each_other_and_are_not_compared():
    c = with_alignment(made_comparison(6), [0, -1, -1, 1, 2, -1], [0, -1, 1, 2, -1, -1])
    items = items_of(c)
    #         span 0   A1|B1   A2|-    span 1   span 2   A5|B4   -|B5
    assert items.span.tolist() == [0, -1, -1, 1, 2, -1, -1]
    assert items.start_a.tolist() == [0, 1, 2, 3, 4, 5, 6] and items.end_a.tolist() == [1, 2, 3, 4, 5, 6, 6]
    assert items.start_b.tolist() == [0, 1, 2, 2, 3, 4, 5] and items.end_b.tolist() == [1, 2, 2, 3, 4, 5, 6]
    assert items.edges.tolist() == [1, 5] and (items.row == -1).all()


@pytest.mark.parametrize("seed", range(20))
def test_every_token_is_in_exactly_one_item_in_order(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 12))
    spans = np.arange(n)

    def side():
        counts = random.integers(1, 4, n)
        own = np.repeat(spans, counts)
        return np.insert(own, random.integers(0, len(own) + 1, 4), -1)

    a, b = side(), side()
    c = with_alignment(made_comparison(4), a, b)
    c = replace(c, a=_of(c.a, len(a)), b=_of(c.b, len(b)))
    items = items_of(c)
    for start, end, length in ((items.start_a, items.end_a, len(a)), (items.start_b, items.end_b, len(b))):
        assert start[0] == 0 and end[-1] == length and (start[1:] == end[:-1]).all()
    assert len(items.item_of_a) == len(a) and len(items.item_of_b) == len(b)
    for k in np.flatnonzero(items.span >= 0):
        assert (
            set(a[items.start_a[k] : items.end_a[k]])
            == set(b[items.start_b[k] : items.end_b[k]])
            == {items.span[k]}
        )


def _of(trace, n):
    from tests.comparisons import tokens_of

    truth = made_truth(n)
    return replace(trace, tokens=tokens_of(truth.ids, truth.log_p[:n]))


def test_spans_of_two_tokenizers_are_items_with_all_their_tokens():
    items = items_of(made_spans())
    assert items.span.tolist() == [0, 1, 2, 3]
    assert (items.end_a - items.start_a).tolist() == [2, 1, 2, 1]
    assert (items.end_b - items.start_b).tolist() == [1, 2, 2, 1]
    assert items.text_a == ("The keeper", " lit", " the lamp", ".") == items.text_b
    assert items.item_of(2, pair=False) == 2 and items.item_of(2, pair=True) is None


def test_pieces_of_one_character_share_a_column():
    c = made_comparison(5)
    cell = np.array([0, 1, 1, 1, 2], np.int32)
    tokens = replace(c.a.tokens, cell=cell, cell_text=("a", "語", "b"))
    c = replace(c, a=replace(c.a, tokens=tokens), b=replace(c.b, tokens=tokens))
    items = items_of(c)
    assert items.column.tolist() == [0, 1, 1, 1, 2] and items.text_a == ("a", "語", "b") == items.text_b
    one = items_of(replace(c, b=made_comparison(5).b))
    assert one.column.tolist() == [0, 1, 1, 1, 2] and one.text_a[1] == "語"
    assert one.text_b[1] == "".join(one_text for one_text in made_comparison(5).b.tokens.text[1:4])


def test_headline_is_what_the_rows_say():
    c = made_comparison(24)
    found, rows = headline(c), c.rows
    known = ~np.isnan(rows.kl_ab)
    assert found.n == known.sum() == 23
    assert found.kl == pytest.approx(rows.kl_ab[known].astype(float).mean(), rel=1e-6)
    assert found.entropy == pytest.approx(
        (rows.entropy_a[known].astype(float).mean(), rows.entropy_b[known].astype(float).mean()), rel=1e-6
    )
    assert found.n_same_first == int((1 - rows.first_differs[known]).sum()) < 23
    spans = headline(made_spans())
    assert np.isnan(spans.kl) and np.isnan(spans.entropy[0]) and spans.n == 3, "the first span had no context"
    assert spans.bits_per_byte[0] == pytest.approx(
        made_spans().spans.surprisal_a[1:].sum() / np.log(2) / made_spans().spans.n_bytes[1:].sum()
    )


def test_a_finding_names_what_changed_most_and_where_it_ends():
    c = made_comparison(24)
    items = items_of(c)
    found = finding(c)
    change = c.rows.surprisal_change
    assert found.more[0] == (
        c.a.tokens.text[int(np.nanargmax(change))],
        pytest.approx(float(np.nanmax(change))),
    )
    assert found.less[0][1] == pytest.approx(float(np.nanmin(change))) and not found.same
    assert most_changed_item(c, items) == int(np.nanargmax(np.abs(change)))
    kl = np.full(24, 1e-4, np.float32)
    kl[0], kl[5] = np.nan, 0.5
    calm = finding(replace(c, rows=replace(c.rows, kl_ab=kl)))
    assert calm.calm_after == 5 and calm.calm_kl == pytest.approx(1e-4)
    kl[20] = 0.1
    assert finding(replace(c, rows=replace(c.rows, kl_ab=kl))).calm_after is None, (
        "too little is left behind it"
    )


def test_a_side_with_itself_says_so():
    c = made_comparison(12)
    rows = c.rows
    zero = np.where(np.isnan(rows.kl_ab), np.nan, 0).astype(np.float32)
    same = replace(c, rows=replace(rows, surprisal_b=rows.surprisal_a, entropy_b=rows.entropy_a, kl_ab=zero))
    found = finding(same)
    assert found.same and found.more == found.less == () and found.calm_after is None


def test_choices_say_what_rose_and_fell():
    c = made_comparison(24)
    row = int(np.nanargmax(c.rows.kl_ab))
    a, b = choices_on_both(c, row, 3)
    truth = made_truth(24)
    p, q = np.exp(truth.log_p[row]), np.exp(truth.log_q[row])
    top_p, top_q = np.argsort(-p)[:3], np.argsort(-q)[:3]
    np.testing.assert_allclose(a["probability"], p[top_p], rtol=1e-5)
    np.testing.assert_allclose(a["change"], q[top_p] - p[top_p], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(b["probability"], q[top_q], rtol=1e-5)
    np.testing.assert_allclose(b["change"], q[top_q] - p[top_q], rtol=1e-4, atol=1e-7)
    assert a["came"].tolist() == [int(i) == int(truth.ids[row]) for i in top_p]
