"""Where the pieces of what was written stand: equal beginnings once, a row for every end."""

from __future__ import annotations

import pytest

from analysis.writing.tree import COLUMNS, lay_out


def paths(*texts):
    """Texts as tokens, one per letter."""
    return {i: [(ord(c), c) for c in text] for i, text in enumerate(texts)}


def pieces(tree):
    return [(p.text, p.parent, p.start, p.row, p.passing, p.ends) for p in tree.pieces]


def test_equal_beginnings_are_one_piece_and_the_larger_group_comes_first():
    tree = lay_out(paths("xy", "abc", "abd", "abde"))
    assert pieces(tree) == [
        ("ab", None, 0, 0, (1, 2, 3), ()),
        ("d", 0, 2, 0, (2, 3), (2,)),
        ("", 1, 3, 0, (2,), (2,)),
        ("e", 1, 3, 1, (3,), (3,)),
        ("c", 0, 2, 2, (1,), (1,)),
        ("xy", None, 0, 3, (0,), (0,)),
    ]
    assert tree.n_rows == 4


def test_equal_groups_come_in_the_order_of_their_branches():
    assert [p.text for p in lay_out(paths("b", "a")).pieces] == ["b", "a"]


def test_equal_texts_are_one_end():
    tree = lay_out(paths("ab", "ab"))
    assert pieces(tree) == [("ab", None, 0, 0, (0, 1), (0, 1))] and tree.n_rows == 1
    assert tree.pieces[0].label == "ab ×2"


def test_other_tokens_of_the_same_letters_are_other_pieces():
    """Ids count: "block" of one token and of two look alike."""
    tree = lay_out({0: [(1, "block")], 1: [(2, "bl"), (3, "ock")]})
    assert [p.text for p in tree.pieces] == ["block", "block"]


def test_a_piece_begins_where_the_one_before_it_ends():
    tree = lay_out(paths("abX" + "c" * 200, "abY", "aZ"))
    for piece in tree.pieces:
        before = tree.pieces[piece.parent].end_column if piece.parent is not None else 0
        assert piece.column > before
        assert piece.end_column <= COLUMNS
    assert tree.pieces[2].shown.endswith("…") and "c" in tree.pieces[2].text


@pytest.mark.parametrize("n", [1, 12])
def test_a_way_leads_to_the_row_of_its_end(n):
    texts = [chr(97 + i) * (i + 1) + "." for i in range(n)] + ["aa" + "b" * i + "c" for i in range(n)]
    tree = lay_out(paths(*texts))
    for branch, text in enumerate(texts):
        assert "".join(p.text for p in tree.way(branch)) == text
    rows = [tree.row_of(b) for b in range(len(texts))]
    assert sorted(rows) == list(range(tree.n_rows))  # no two ends in one row, and none is empty


def test_line_breaks_have_a_sign_and_an_empty_branch_is_a_row():
    tree = lay_out({0: [(1, "a\n"), (2, "b")], 1: []})
    assert [p.shown for p in tree.pieces] == ["a↵b", "∅"] and tree.n_rows == 2
    assert lay_out({}).n_rows == 0
