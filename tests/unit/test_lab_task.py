"""Four squares: every solution by another enumeration, and a verifier that misses nothing."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from analysis.entropy_collapse.labs.four_squares import task
from analysis.entropy_collapse.labs.four_squares.answers import answer_entropy, distinct_right, pass_at

ROOTS = range(10)


def by_hand(number, written):
    """Reward and true steps of one answer, in the plainest words."""
    rest, true = number, []
    for at in range(0, 20, 5):
        minus, square, equals, after, end = written[at : at + 5]
        signs = (minus, equals, end) == (100, 101, 102)
        true.append(signs and square in [r * r for r in ROOTS] and after < 100 and rest - square == after)
        rest = after if after < 100 else 10_000
    return float(all(true) and rest == 0), true


@cache
def solutions(number):
    """Every way to write a number as four squares, in every order; 0 is a square."""
    return [found for found in product(task.SQUARES, repeat=4) if sum(found) == number]


def test_a_quarter_is_held_out_and_nothing_is_in_both():
    train, held = task.split()
    assert sorted(train + held) == list(range(5, 100))
    assert len(held) == round(0.25 * 95) and task.split() == (train, held)


def test_what_is_written_is_what_the_verifier_reads():
    for number in (5, 39, 99):
        for squares in solutions(number)[:20]:
            written = np.array([task.write(number, squares)])
            assert written.shape == (1, task.LENGTH) and written[0, -2] == 0
            assert task.rewards(np.array([number]), written)[0] == 1
            np.testing.assert_array_equal(task.taken_squares(written)[0], squares)
    assert task.spell(task.write(39, (25, 9, 4, 1))[:10]) == "− 25 = 14 ; − 9 = 5 ;"
    assert task.is_fork().sum() == 4 and task.is_fork()[[1, 6, 11, 16]].all()


def test_the_verifier_agrees_with_plain_words_on_broken_answers():
    rng = np.random.default_rng(0)
    numbers, written = [], []
    for _ in range(3000):
        number = int(rng.integers(5, 100))
        solution = solutions(number)[rng.integers(len(solutions(number)))]
        tokens = task.write(number, solution)
        for _ in range(rng.integers(3)):  # none, one or two tokens replaced
            tokens[rng.integers(20)] = int(rng.integers(task.N_TOKENS))
        numbers.append(number)
        written.append(tokens)
    asked, text = np.array(numbers), np.array(written)
    expected = [by_hand(n, w) for n, w in zip(numbers, written, strict=True)]
    np.testing.assert_array_equal(task.rewards(asked, text), [reward for reward, _ in expected])
    np.testing.assert_array_equal(task.true_steps(asked, text), [true for _, true in expected])
    assert 0.2 < task.rewards(asked, text).mean() < 0.6


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ([100, 9, 101, 0, 102] + [100, 0, 101, 0, 102] * 3, "right"),
        ([100, 8, 101, 1, 102, 100, 1, 101, 0, 102] + [100, 0, 101, 0, 102] * 2, "8 is no square"),
        ([100, 16, 101, 0, 102] + [100, 0, 101, 0, 102] * 3, "16 is more than 9"),
        ([100, 4, 101, 5, 102, 100, 4, 101, 1, 102] + [100, 0, 101, 1, 102] * 2, "1 is left"),
        ([100, 9, 101, 0, 101] + [100, 0, 101, 0, 102] * 3, "a sign is wrong"),
    ],
)
def test_rewards_by_example(tokens, why):
    assert task.rewards(np.array([9]), np.array([tokens]))[0] == (why == "right")


def test_pass_at_k_is_the_chance_over_all_draws():
    right = np.array([[True, False, False, False, True], [False] * 5, [True] * 5])
    for k in (1, 2, 5):
        draws = [
            np.mean([row[list(c)].any() for c in product(range(5), repeat=k) if len(set(c)) == k])
            for row in right
        ]
        assert pass_at(k, right) == pytest.approx(np.mean(draws))
    assert pass_at(1, right) == pytest.approx(right.mean())


def test_distinct_answers_count_orders_apart_and_wrong_ones_not():
    answers = np.array([[[4, 1, 0, 0], [1, 4, 0, 0], [4, 1, 0, 0], [1, 1, 1, 1]]])
    right = np.array([[True, True, True, False]])
    assert distinct_right(answers, right) == 2.0


def test_answer_entropy_and_its_correction():
    answers = np.array([[[1, 0], [1, 0], [2, 0], [3, 0]], [[5, 5]] * 4])
    plain, corrected = answer_entropy(answers)
    expected = 0.5 * np.log(2) + 0.5 * np.log(4)
    assert plain == pytest.approx(expected / 2)
    assert corrected == pytest.approx((expected + 2 / 8) / 2)
