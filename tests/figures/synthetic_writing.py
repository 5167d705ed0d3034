"""What was written, made by hand: a prompt of two tokens and branches whose numbers are plain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.results.tokens import NextToken, TokenTrace
from analysis.writing.results import Branch, Prompt, StepNumbers, TokenNames, Writing
from tests.figures.synthetic import token_trace

WORDS = ("<s>", "Say", "One", " animal", " fish", " is", " a", " whale", ".", " shark", "The", "\n")
"""Text of every id; 0 and 1 are the prompt's."""
PROMPT = (0, 1)


def steps(n: int, first: float = 0.5, k: int = 3, **more: Any) -> StepNumbers:
    """Numbers of n tokens: entropies first, first + 1, ...; surprisals are half of them."""
    entropy = (first + np.arange(n)).astype(np.float32)
    values = {
        "entropy": entropy,
        "varentropy": np.ones(n, np.float32),
        "max_prob": np.full(n, 0.5, np.float32),
        "surprisal": entropy / 2,
        "rank": np.ones(n, np.int32),
        "top_ids": np.tile(np.arange(2, 2 + k, dtype=np.int64), (n, 1)),
        "top_logprobs": np.log(np.tile(np.array([0.5, 0.3, 0.1][:k], np.float32), (n, 1))),
        "drawn_prob": np.full(n, 0.6, np.float32),
        "n_kept": np.zeros((n, 0), np.int32),
        "mass_kept": np.zeros((n, 0), np.float32),
        "final_states": np.zeros((n, 4), np.float32),
    }
    return StepNumbers(**(values | more))


def branch_of(id_: int, ids: list[int], parent: int | None = None, at: int = 2, **more: Any) -> Branch:
    """A branch of these tokens."""
    first = more.pop("first", 0.5)
    after = NextToken(1.0, 1.0, 0.5, np.array([2, 3]), np.log(np.array([0.5, 0.3], np.float32)))
    return Branch(id_, parent, at, np.array(ids, np.int64), steps(len(ids), first), after, "limit", **more)


def _read_prompt() -> TokenTrace:
    """The prompt, with as many alternatives per token as :func:`steps` has."""
    read = token_trace(len(PROMPT), WORDS)
    return replace(read, top_ids=read.top_ids[:, :3], top_logprobs=read.top_logprobs[:, :3])


def writing_of(*branches: Branch) -> Writing:
    """These branches of a prompt of two tokens."""
    names = TokenNames(
        dict(enumerate(WORDS)), {i: word.encode() for i, word in enumerate(WORDS)}, frozenset({0})
    )
    prompt = Prompt("<s>Say", PROMPT)
    return Writing("a made-up model", "", "float32", prompt, _read_prompt(), tuple(branches), names)


def example_writing() -> Writing:
    """Three branches: "One animal is a whale.", "One animal is a shark" from 0, "One fish is" from 0; then "The"."""
    return writing_of(
        branch_of(0, [2, 3, 5, 6, 7, 8]),
        branch_of(1, [9], parent=0, at=6, first=10.0),
        branch_of(2, [4, 5], parent=0, at=3, first=20.0),
        branch_of(3, [10]),
    )
