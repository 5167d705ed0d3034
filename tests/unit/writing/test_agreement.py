"""Many samples: entropy of answers, votes, pass@k, where they part, entropy against correctness."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from itertools import combinations, product
from math import isnan, log

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.writing.answer_entropy import (
    answer_entropy,
    borda_votes,
    self_certainty,
    weighted_answer_entropy,
)
from analysis.writing.answers import find_answers, normalise
from analysis.writing.difficulty import BINS, difficulty
from analysis.writing.parting import parting
from analysis.writing.pass_at import pass_at, pass_at_k
from analysis.writing.questions import LEVELS, QUESTIONS
from tests.budget import EXACT


def test_entropy_of_counts():
    found = answer_entropy([5, 2, 1])
    assert found.entropy == pytest.approx(0.9002561, abs=1e-6)
    assert found.cap == pytest.approx(log(8), rel=EXACT)
    assert found.bias == -2 / 16
    assert found.majority == 5 / 8
    assert found.agreement == pytest.approx((20 + 2) / 56, rel=EXACT)
    assert found.to_frame("bits")["entropy_bits"][0] == pytest.approx(0.9002561 / log(2), abs=1e-6)
    alone = answer_entropy([1])
    assert (alone.entropy, alone.cap, alone.bias, alone.majority) == (0, 0, 0, 1) and isnan(alone.agreement)
    assert answer_entropy([1] * 8).entropy == pytest.approx(answer_entropy([1] * 8).cap, rel=EXACT)


def test_the_bias_of_counts_is_near_what_all_samples_give():
    """All 3^8 ways in which 8 samples of three equal answers can fall."""
    mean = np.mean(
        [
            answer_entropy(np.unique(w, return_counts=True)[1].tolist()).entropy
            for w in product(range(3), repeat=8)
        ]
    )
    assert mean - log(3) == pytest.approx(-2 / 16, abs=0.02)


def test_weights_are_probabilities_per_token():
    members, logs = [(0, 2), (1,)], [log(0.5), log(0.3), log(0.1)]
    p = 0.6 / 0.9
    want = -(p * log(p) + (1 - p) * log(1 - p))
    assert weighted_answer_entropy(members, logs) == pytest.approx(want, rel=EXACT)
    assert weighted_answer_entropy(members, [x - 2000 for x in logs]) == pytest.approx(want, rel=EXACT)
    same = weighted_answer_entropy([(0, 1, 2, 3, 4), (5, 6), (7,)], [-1.0] * 8)
    assert same == pytest.approx(answer_entropy([5, 2, 1]).entropy, rel=EXACT)


def test_self_certainty():
    z = np.array([2.0, 1, 0, -1])
    log_probs = z - np.log(np.exp(z).sum())
    assert self_certainty(log_probs) == pytest.approx(0.5538950, abs=1e-6)
    uniform = np.full((2, 4), -log(4))
    assert self_certainty(uniform) == pytest.approx([0, 0], abs=EXACT)
    p = np.exp(log_probs)
    assert self_certainty(log_probs) == pytest.approx(sum(0.25 * log(0.25 / x) for x in p), rel=EXACT)
    assert self_certainty(np.array([0.0, -np.inf])) == np.inf


def test_borda_votes():
    answers, certainty = ["a", "b", None, "b", "a"], [0.9, 0.5, 2.0, 0.4, 0.1]
    assert borda_votes(answers, certainty) == {"a": 4 + 1, "b": 3 + 2}
    assert borda_votes(answers, certainty, 2) == {"a": 17, "b": 13}
    assert borda_votes(answers, certainty, 0) == {"a": 2, "b": 2}
    assert borda_votes([None], [1.0]) == {}


@pytest.mark.parametrize(("k", "value"), [(1, 0.3), (5, 0.9166667), (7, 119 / 120), (8, 1), (10, 1)])
def test_pass_at_k(k, value):
    assert pass_at_k(10, 3, k) == pytest.approx(value, abs=1e-7)
    right = [True] * 3 + [False] * 7
    assert pass_at_k(10, 3, k) == pytest.approx(np.mean([any(c) for c in combinations(right, k)]), rel=EXACT)


def test_pass_at_several_k():
    found = pass_at([True, False, False])
    assert found.k == (1, 2, 3) and found.value == pytest.approx((1 / 3, 2 / 3, 1), rel=EXACT)
    assert pass_at([False] * 4, 2).value == (0,) and pass_at([True] * 4, [1, 4]).value == (1, 1)
    assert found.to_frame()["n_right"].tolist() == [1, 1, 1]
    assert pass_at_k(2000, 1000, 1000) == pytest.approx(1, rel=EXACT)
    with pytest.raises(ValueError, match="cannot be right"):
        pass_at_k(2, 3, 1)


def test_the_estimator_has_no_bias():
    """Over all outcomes of 5 samples that are right with probability .3."""
    p, k = 0.3, 3
    mean = sum(
        p ** sum(w) * (1 - p) ** (5 - sum(w)) * pass_at_k(5, sum(w), k) for w in product((0, 1), repeat=5)
    )
    assert mean == pytest.approx(1 - (1 - p) ** k, rel=EXACT)


def test_samples_part():
    found = parting([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 9], [1, 2, 3, 4, 8]])
    assert found.position == 2
    rows = [(s.parent, s.at, s.ids, s.members, s.ends) for s in found.stretches]
    assert rows == [
        (None, 0, (1, 2), (0, 1, 2, 3), ()),
        (0, 2, (3,), (0, 1, 3), ()),
        (1, 3, (4,), (0, 3), (0,)),
        (2, 4, (8,), (3,), (3,)),
        (1, 3, (5,), (1,), (1,)),
        (0, 2, (9,), (2,), (2,)),
    ]
    assert found.children(0) == (1, 5) and found.children(1) == (2, 4)
    assert found.alive().tolist() == [1, 1, 2, 2, 1]
    assert found.to_frame()["samples"].tolist() == [4, 3, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("samples", "position", "sizes"),
    [
        ([[1, 2], [1, 2]], None, [2]),
        ([[1, 2]], None, [1]),
        ([[1], [2], [2]], 0, [3, 2, 1]),
        ([[1, 2], [1, 2, 3]], 2, [2, 1]),
        ([[], [1]], 0, [2, 1]),
        ([[], []], None, [2]),
        ([np.array([7, 7]), (7, 8)], 1, [2, 1, 1]),
    ],
)
def test_where_samples_part(samples, position, sizes):
    found = parting(samples)
    assert found.position == position and [s.count for s in found.stretches] == sizes
    rebuilt = {}
    for number, stretch in enumerate(found.stretches):
        way, at = [], number
        while at is not None:
            way, at = [*found.stretches[at].ids, *way], found.stretches[at].parent
        rebuilt |= dict.fromkeys(stretch.ends, way)
    assert [rebuilt[n] for n in range(len(samples))] == [list(s) for s in samples]


def test_a_long_common_beginning_is_one_stretch():
    found = parting([[0] * 5000 + [n] for n in range(3)])
    assert found.position == 5000 and len(found.stretches) == 4


def test_entropy_against_correctness():
    entropies = [
        [np.array([np.nan, 1.0, 3.0]), np.array([4.0])],
        [np.array([1.0]), np.array([1.0, 1.0])],
        [np.array([2.0]), np.array([0.0])],
        [np.array([2.0]), np.array([])],
    ]
    found = difficulty(list("abcd"), entropies, [[True, True], [True, False], [False, False], [False, False]])
    assert found.entropy.tolist() == [3, 1, 1, 2]
    assert found.share_right.tolist() == [1, 0.5, 0, 0] and found.bins == ("easy", "medium", "hard", "hard")
    assert [found.mean_entropy(name) for name in BINS] == [1.5, 1, 3]
    assert found.is_u is True and found.drop == pytest.approx(2 / 3, rel=EXACT)
    assert found.to_frame("bits")["mean_entropy_bits"][1] == pytest.approx(1 / log(2), rel=EXACT)
    assert "Abstract only" in found.known


@pytest.mark.parametrize(("level", "is_u"), [(0.5, True), (1.0, False), (2.0, False)])
def test_a_u_is_lowest_in_the_middle(level, is_u):
    rows = [[np.array([1.0])], [np.array([level])] * 2, [np.array([1.5])]]
    assert difficulty(list("abc"), rows, [[True], [True, False], [False]]).is_u is is_u


def test_a_third_right_is_medium_and_one_bin_shows_no_u():
    found = difficulty(["a", "b"], [[np.ones(1)] * 3] * 2, [[True, False, False], [True, True, False]])
    assert found.bins == ("medium", "medium") and found.is_u is None and isnan(found.drop)
    silent = difficulty(["a"], [[np.array([])]], [[True]])
    assert isnan(silent.entropy[0]) and silent.is_u is None


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(node):
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](value(node.left), value(node.right))
    return Fraction(node.value)


def test_the_questions_are_right():
    assert len(QUESTIONS) == len({q.text for q in QUESTIONS}) == 24
    assert all(sum(q.level == level for q in QUESTIONS) == 8 for level in LEVELS)
    sums = [q for q in QUESTIONS if re.fullmatch(r"What is [-+*/() \d]+\?", q.text)]
    assert len(sums) == 12
    for question in sums:
        tree = ast.parse(question.text[8:-1], mode="eval").body
        assert question.right == (normalise(str(value(tree))),)
    others = {q.text.split()[0] + q.text.split()[1]: q.right[0] for q in QUESTIONS if q not in sums}
    assert others["Atrain"] == str(int(60 * 2.5)) and others["Ashirt"] == str(40 * 3 // 4)
    assert others["Apool"] == str(1 / (1 / Fraction(3) + 1 / Fraction(6)))
    ben = int(others["Annais"])
    assert 3 * ben + 10 == 2 * (ben + 10)
    primes = [n for n in range(2, 30) if all(n % d for d in range(2, n))]
    assert others["Howmany"] == str(len(primes)) and 2**10 % 7 == 2
    assert all(
        find_answers([f"The answer is {r}."]).right(q.right) == (True,) for q in QUESTIONS for r in q.right
    )


def test_the_questions_find_their_answers_in_sentences():
    for question in QUESTIONS:
        texts = [f"3 things: it is {question.right[0]}.", "No idea", f"{question.right[-1].lower()}!"]
        assert find_answers(texts, question.how).right(question.right) == (True, False, True), question.text
    assert {q.how for q in QUESTIONS if q.kind == "arithmetic"} == {"number"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: answer_entropy([]),
        lambda: weighted_answer_entropy([], []),
        lambda: pass_at([]),
        lambda: pass_at([True], 2),
        lambda: pass_at([True], 0),
        lambda: parting([]),
        lambda: difficulty([], [], []),
        lambda: difficulty(["a"], [[]], [[]]),
    ],
)
def test_what_is_missing_is_said(wrong):
    with pytest.raises(AnalysisError) as raised:
        wrong()
    assert raised.value.message and raised.value.hint


def test_the_weights_of_one_sample_show():
    assert weighted_answer_entropy([(0,), (1,)], [0.0, -log(3)]) == pytest.approx(
        -(0.75 * log(0.75) + 0.25 * log(0.25)), rel=EXACT
    )
