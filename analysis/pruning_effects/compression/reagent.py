"""ReAGent: replace tokens at random and see what the answer's first token loses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from analysis.errors import TooLongError
from analysis.pruning_effects.compression.passage import Passage, Scored

MOST_TOKENS = 64
"""Texts longer than this would take too many passes."""
REPLACED = 0.3
"""Share of the text replaced at a time."""
RESTARTS = 5
TOP_TOKENS, TOP_RANK = 5, 3
"""A restart ends when the target is among its ``TOP_RANK`` first choices with only ``TOP_TOKENS`` tokens left."""
MOST_STEPS = 150
"""Steps of a restart that does not end by itself; the original allows thousands."""
_EDGE = 1e-6


def update(scores: np.ndarray, replaced: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Scores after one replacement.

    Parameters
    ----------
    scores : numpy.ndarray, shape (R, T)
        Logits of importance.
    replaced : numpy.ndarray of bool, shape (R, T)
        Which tokens were replaced.
    change : numpy.ndarray, shape (R,)
        Fall of the target's probability, ``p(target | x) - p(target | x')``.

    Returns
    -------
    numpy.ndarray, shape (R, T)
        ``s + logit(1/2 + 1/2 d)`` with ``d = change`` where a token was replaced and
        ``-change`` elsewhere.
    """
    signed = np.where(replaced, change[:, None], -change[:, None])
    p = np.clip(0.5 + 0.5 * signed, _EDGE, 1 - _EDGE)
    return scores + np.log(p) - np.log1p(-p)


def reagent(passage: Passage) -> Scored:
    """Importance of every token for the answer's first token, by replacing tokens at random.

    Parameters
    ----------
    passage : Passage
        A text of up to 64 tokens, a question and its answer.

    Returns
    -------
    Scored
        Mean over restarts of the softmax of the importance logits; the values sum to 1.

    Raises
    ------
    TooLongError
        If the text has more than 64 tokens.

    Notes
    -----
    Every step replaces 30 % of the text's tokens by ids drawn uniformly from the vocabulary
    and adds what :func:`update` says. Question and answer are never replaced. Deviations: the
    draw is uniform, where the original matches parts of speech or asks a masked language
    model, neither of which is at hand; one target, the answer's first token; restarts run
    side by side and end after at most 150 steps.

    References
    ----------
    Zhao and Shan 2024, arXiv:2402.00794; code: casszhao/ReAGent at 7809773.
    """
    n = len(passage.ids)
    if n > MOST_TOKENS:
        raise TooLongError(
            f"The text has {n:,} tokens and ReAGent takes up to {MOST_TOKENS}.",
            "Shorten the text or leave out ReAGent: it needs hundreds of passes.",
        )
    reader, tail = passage.reader, passage.tail
    rng = np.random.default_rng(passage.seed)
    before, after = len(reader.lead), tail.question_ids
    ids = np.array([*reader.lead, *passage.ids, *after], np.int64)
    target = tail.answer_ids[0]
    reader.require_room(len(ids))
    here = slice(before, before + n)
    vocabulary = np.setdiff1d(np.arange(len(reader.model.tokenizer)), reader.model.tokenizer.all_special_ids)

    def with_drawn(replaced: np.ndarray) -> np.ndarray:
        rows = np.repeat(ids[None], len(replaced), 0)
        drawn = rng.choice(vocabulary, replaced.shape)
        rows[:, here] = np.where(replaced, drawn, rows[:, here])
        return rows

    base = float(_next_probs(passage, ids[None])[0, target])
    scores = rng.random((RESTARTS, n))
    running = np.ones(RESTARTS, bool)
    n_replaced = max(1, round(REPLACED * n))
    for step in range(MOST_STEPS):
        passage.report(
            step / MOST_STEPS, f"ReAGent, step {step + 1}, {int(running.sum())} of {RESTARTS} restarts"
        )
        at = np.flatnonzero(running)
        replaced = np.argsort(rng.random((len(at), n)), 1, kind="stable") < n_replaced
        found = _next_probs(passage, with_drawn(replaced))[:, target].cpu().numpy()
        scores[at] = update(scores[at], replaced, base - found)
        rank = np.argsort(np.argsort(-scores[at], 1, kind="stable"), 1)
        left = _next_probs(passage, with_drawn(rank >= TOP_TOKENS))
        better = (left > left[:, target, None]).sum(-1).cpu().numpy()
        running[at] = better >= TOP_RANK
        if not running.any():
            break
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    values = (shifted / shifted.sum(1, keepdims=True)).mean(0)
    ended = RESTARTS - int(running.sum())
    return Scored(
        values.astype(np.float32),
        "importance, sums to 1",
        note=f"{ended} of {RESTARTS} restarts ended by themselves. It knows the answer.",
    )


def _next_probs(passage: Passage, rows: np.ndarray) -> Tensor:
    """Probabilities after each row of ids, shape (R, V)."""
    model = passage.reader.model
    tensor = torch.from_numpy(rows).to(model.anatomy.head.weight.device)
    logits = model.model(input_ids=tensor, use_cache=False, logits_to_keep=1).logits[:, -1]
    return torch.softmax(logits.float(), -1)
