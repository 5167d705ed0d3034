"""LongLLMLingua: keep what the question makes more likely, most of it where the answer may be."""

from __future__ import annotations

import numpy as np

from analysis.progress import Progress, part
from analysis.pruning_effects.compression.answers import question_ids, require
from analysis.pruning_effects.compression.llmlingua import iterate
from analysis.pruning_effects.compression.passage import Passage, Scored
from analysis.pruning_effects.compression.pieces import paragraphs

SLOPE = 0.3
"""How far the share of the best document lies above the asked one, and that of the worst below."""
_REMINDER = " The text above holds the answer to this question."


def document_shares(losses: np.ndarray, kept: float) -> np.ndarray:
    """Share to keep of each document, by how likely it makes the question.

    Parameters
    ----------
    losses : numpy.ndarray, shape (K,)
        Mean loss of the question after each document; lower is better.
    kept : float
        Share asked for.

    Returns
    -------
    numpy.ndarray, shape (K,), in [0, 1]
        The best document gets ``kept + SLOPE``, the worst ``kept - SLOPE``, those between
        at equal steps.
    """
    k = len(losses)
    rank = np.argsort(np.argsort(losses, kind="stable"), kind="stable")
    tilt = SLOPE * (1 - 2 * rank / (k - 1)) if k > 1 else np.zeros(k)
    return np.clip(kept + tilt, 0.0, 1.0)


def longllmlingua(passage: Passage) -> Scored:
    """How much the question lowers a token's surprisal, 200 tokens at a time.

    Parameters
    ----------
    passage : Passage
        The text, the share to keep, and a question.

    Returns
    -------
    Scored
        ``-ln p(x | before) + ln p(x | question, before)`` in nats, where ``before`` is what was
        kept of earlier chunks and the chunk so far. Paragraphs are the documents: each is ranked
        by the mean loss of the question (with a reminder that the answer is there) after it,
        and the better ones keep more. As for LLMLingua, the engine's choice goes first
        and the budget is met in the order of the scores.

    Raises
    ------
    InvalidTextError
        If there is no question.

    Notes
    -----
    Deviations besides those of :func:`~analysis.pruning_effects.compression.llmlingua.llmlingua`:
    documents stay in their order, where the original may put the best first, and none is dropped
    as a whole. The reminder has other words than the original's.

    References
    ----------
    Jiang et al. 2023, arXiv:2310.06839; code: microsoft/LLMLingua, release 0.2.2.
    """
    require(passage.question, "question", "LongLLMLingua keeps what helps to answer it")
    reader, report = passage.reader, passage.report
    question = reader.ids(f"{passage.question}\n\n")
    spans = paragraphs(passage.text)
    losses = np.empty(len(spans))
    asked = question_ids(reader.model.tokenizer, passage.question + _REMINDER)
    for number, (a, b) in enumerate(spans):
        ids = [*reader.anchor, *reader.ids(passage.text[a:b])]
        told = part(report, 0.3 * number, len(spans), of=0.3)
        losses[number] = reader.surprisal(
            [*ids, *asked], len(ids), told, "question after each paragraph"
        ).mean()
    begins = np.maximum.accumulate(passage.tokens.start)
    document = np.searchsorted([a for a, _ in spans], np.maximum(begins, 0), side="right") - 1
    shares = document_shares(losses, passage.kept)[document]

    def score_chunk(before: list[int], ids: list[int], told: Progress) -> np.ndarray:
        plain, asked_first = [*reader.anchor, *before], [*reader.anchor, *question, *before]
        without = reader.surprisal([*plain, *ids], len(plain), part(told, 0, 2), "LongLLMLingua")
        given = reader.surprisal([*asked_first, *ids], len(asked_first), part(told, 1, 2), "LongLLMLingua")
        return without - given

    rest = passage.at(passage.kept, part(report, 0.3, 1, of=0.7))
    scores, keep = iterate(rest, score_chunk, shares)
    note = f"{len(spans)} paragraphs ranked by the question" if len(spans) > 1 else ""
    return Scored(scores, "surprisal lowered by the question, nats", preferred=keep, note=note)
