"""Four squares: a task with many right answers, checked by arithmetic alone.

The prompt is a number N. The policy writes four steps ``- square = rest ;``, each number
one token, and earns 1 if every step is true and the last rest is 0. Which square to take
is a choice with many good answers (a fork); everything else follows from it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

N_NUMBERS = 100
"""Numbers 0..99 are the tokens 0..99."""
MINUS, EQUALS, SEMICOLON = 100, 101, 102
N_TOKENS = 103
"""Size of the vocabulary V."""
SQUARES = tuple(root * root for root in range(10))
N_STEPS = 4
STEP_LENGTH = 5
LENGTH = N_STEPS * STEP_LENGTH
"""Tokens T that the policy writes after the prompt."""
FORKS = np.arange(1, LENGTH, STEP_LENGTH)
"""Positions of the squares among the written tokens."""
FIRST_N, LAST_N = 5, 99
_HELD_OUT_SHARE = 0.25
_SPLIT_SEED = 2025


def is_fork() -> np.ndarray:
    """Which of the written tokens choose a square; bool, shape (T,)."""
    mask = np.zeros(LENGTH, bool)
    mask[FORKS] = True
    return mask


@cache
def split() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers to train on, and a quarter of all that no training sees; always the same."""
    numbers = np.random.default_rng(_SPLIT_SEED).permutation(np.arange(FIRST_N, LAST_N + 1))
    n_held = round(_HELD_OUT_SHARE * len(numbers))
    return tuple(sorted(numbers[n_held:].tolist())), tuple(sorted(numbers[:n_held].tolist()))


def write(number: int, squares: tuple[int, ...]) -> list[int]:
    """Tokens of the four steps that take these squares from a number, with true arithmetic.

    Parameters
    ----------
    number : int
        The prompt.
    squares : tuple of int
        Four squares whose sum does not exceed ``number``.
    """
    tokens, rest = [], number
    for square in squares:
        rest -= square
        tokens += [MINUS, square, EQUALS, rest, SEMICOLON]
    return tokens


def spell(tokens: list[int]) -> str:
    """Tokens as a person writes them."""
    signs = {MINUS: "−", EQUALS: "=", SEMICOLON: ";"}
    return " ".join(signs.get(token, str(token)) for token in tokens)


def true_steps(numbers: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Which steps are true.

    Parameters
    ----------
    numbers : numpy.ndarray
        int, shape (B,): the prompts.
    written : numpy.ndarray
        int, shape (B, T): what the policy wrote after them.

    Returns
    -------
    numpy.ndarray
        bool, shape (B, 4): the step has its signs, takes a square, and its rest is the rest
        written before it (or the prompt) minus that square. A step after a false one can be
        true again.
    """
    steps = written.reshape(-1, N_STEPS, STEP_LENGTH)
    rest = steps[:, :, 3]
    before = np.concatenate([numbers[:, None], rest[:, :-1]], axis=1)
    signs = (steps[:, :, [0, 2, 4]] == (MINUS, EQUALS, SEMICOLON)).all(-1)
    square = np.isin(steps[:, :, 1], SQUARES)
    numeric = (rest < N_NUMBERS) & (before < N_NUMBERS)
    return signs & square & numeric & (before - steps[:, :, 1] == rest)


def rewards(numbers: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Reward of each answer: 1 if every step is true and the last rest is 0; float32, shape (B,)."""
    solved = true_steps(numbers, written).all(1) & (written[:, -2] == 0)
    return solved.astype(np.float32)


def taken_squares(written: np.ndarray) -> np.ndarray:
    """The four squares of each answer, its final answer; int, shape (B, 4)."""
    return written[:, FORKS]
