"""Branches named, deleted and compared: what stays is as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.writing.compare import compare
from analysis.writing.editing import LONGEST_NAME, delete, ended_as, leaving, rename
from analysis.writing.paths import along, owner_of
from tests.figures.synthetic_writing import branch_of, example_writing, writing_of


def test_a_name_changes_one_branch_and_shares_the_others():
    before = example_writing()
    after = rename(before, 1, "  the  shark ")
    assert [b.name for b in after.branches] == ["", "the shark", "", ""]
    assert after.branches[0] is before.branches[0] and before.branches[1].name == ""
    assert rename(after, 1, " ").branches[1].name == ""
    with pytest.raises(AnalysisError, match="61 characters"):
        rename(before, 0, "x" * (LONGEST_NAME + 1))
    assert [b.ended for b in ended_as(before, [0, 2], "stopped").branches] == ["stopped", "limit"] * 2


def test_what_leaves_a_branch_goes_with_it_and_the_rest_moves_up():
    before = example_writing()
    assert leaving(before, 0) == (0, 1, 2) and leaving(before, 1) == (1,) and leaving(before, 3) == (3,)
    after = delete(before, 1)
    assert [(b.id, b.parent) for b in after.branches] == [(0, None), (1, 0), (2, None)]
    np.testing.assert_array_equal(after.path(1), before.path(2))
    np.testing.assert_array_equal(after.path(2), before.path(3))
    with pytest.raises(AnalysisError, match="everything"):
        delete(writing_of(branch_of(0, [2]), branch_of(1, [3], parent=0, at=3)), 0)


def test_parents_are_renumbered():
    writing = writing_of(
        branch_of(0, [2]),
        branch_of(1, [2, 3]),
        branch_of(2, [4], parent=1, at=3),
        branch_of(3, [5], parent=2, at=4),
    )
    after = delete(writing, 0)
    assert [(b.id, b.parent) for b in after.branches] == [(0, None), (1, 0), (2, 1)]
    np.testing.assert_array_equal(after.path(2), writing.path(3))


def test_numbers_along_a_path_are_those_of_the_branches_it_leaves():
    writing = example_writing()
    np.testing.assert_array_equal(along(writing, 1, "entropy"), [0.5, 1.5, 2.5, 3.5, 10.0])
    np.testing.assert_array_equal(along(writing, 2, "entropy"), [0.5, 20.0, 21.0])
    assert owner_of(writing, 1, 5) == (0, 3) and owner_of(writing, 1, 6) == (1, 0)
    assert owner_of(writing, 2, 3) == (2, 0)
    for position in (1, 7):
        with pytest.raises(IndexError):
            owner_of(writing, 1, position)


def test_branches_part_where_their_tokens_do():
    found = compare(example_writing(), 0, 1)
    assert (found.parts_at, found.n_shared) == (6, 4)
    assert (found.one.n_tokens, found.other.n_tokens) == (2, 1)
    assert found.one.mean_entropy == 5.0 and found.other.mean_entropy == 10.0  # of 4.5 and 5.5
    assert found.one.log_prob == pytest.approx(-(4.5 + 5.5) / 2) and found.other.log_prob == -5.0
    assert found.cost == pytest.approx(5.0 - 4.5 / 2)  # one token against one: the longer rest does not count
    assert compare(example_writing(), 1, 0).cost == pytest.approx(-found.cost)


def test_a_beginning_of_another_branch_parts_at_its_end():
    found = compare(writing_of(branch_of(0, [2, 3]), branch_of(1, [2, 3, 5])), 0, 1)
    assert found.parts_at == 4 and found.cost == 0.0
    assert found.one.n_tokens == 0 and math.isnan(found.one.mean_entropy) and found.one.log_prob == 0
    assert found.other.n_tokens == 1
