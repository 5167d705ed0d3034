"""LLMLingua: chunk by chunk, each scored after what was kept of the chunks before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.progress import Progress, part
from analysis.pruning_effects.compression.passage import Passage, Scored

CHUNK = 200
"""Tokens compressed at a time."""

ChunkScore = Callable[[list[int], list[int], Progress], np.ndarray]
"""(kept ids before, ids of the chunk, progress) -> score of each token of the chunk."""


def chunk_threshold(scores: np.ndarray, kept: float) -> float:
    """The score that a token of a chunk has to exceed.

    Parameters
    ----------
    scores : numpy.ndarray, shape (n,)
        Scores of the chunk's tokens.
    kept : float
        Share to keep.

    Returns
    -------
    float
        With the scores in falling order, the one at index ``int(n * kept) - 1``, at least 0;
        minus infinity when everything is kept.
    """
    if kept >= 1:
        return -np.inf
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    return float(known[max(0, min(len(known) - 1, int(len(known) * kept) - 1))]) if len(known) else np.inf


def iterate(passage: Passage, score_chunk: ChunkScore, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compress a text :data:`CHUNK` tokens at a time, every chunk after what was kept before it.

    Parameters
    ----------
    passage : Passage
        The text.
    score_chunk : callable
        Scores a chunk after the kept ids.
    shares : numpy.ndarray, shape (T,)
        Share to keep around each token.

    Returns
    -------
    tuple of numpy.ndarray
        Scores float32 (T,) and kept tokens bool (T,). The first token is always kept.
    """
    n = len(passage.ids)
    scores, keep = np.empty(n, np.float32), np.zeros(n, bool)
    before: list[int] = []
    for begin in range(0, n, CHUNK):
        here = slice(begin, min(begin + CHUNK, n))
        scores[here] = score_chunk(
            before, passage.ids[here], part(passage.report, begin, n, of=here.stop - begin)
        )
        for share in np.unique(shares[here]):
            over = scores[here] > chunk_threshold(scores[here], float(share))
            keep[here] |= over & (shares[here] == share)
        keep[0] = True
        before += [passage.ids[t] for t in range(here.start, here.stop) if keep[t]]
    return scores, keep


def llmlingua(passage: Passage) -> Scored:
    """Surprisal after the already compressed text, 200 tokens at a time.

    Parameters
    ----------
    passage : Passage
        The text and the share to keep.

    Returns
    -------
    Scored
        ``-ln p(x_t | kept tokens of earlier chunks, tokens of its chunk before it)`` in nats.
        The engine's own choice, ``score > threshold`` in each chunk and the first token,
        goes before all others; the rest of the budget is filled, or what is over dropped, in the
        order of the scores.

    Notes
    -----
    Deviations. One context, so neither the budget controller nor the choice among
    demonstrations has anything to do. The kept prefix is read anew for every chunk instead
    of reusing a key-value cache that was made with the dropped tokens in it. A token's own
    loss decides about it and each chunk has its own threshold. Release 0.2.2 decides about
    token i by the loss of token i + 1 (its losses are shifted by one; seen by calling it), so
    that it keeps the token before a surprising one, and takes its threshold over kept prefix
    and chunk together, so that later chunks keep less than asked.

    References
    ----------
    Jiang et al. 2023, arXiv:2310.05736; code: microsoft/LLMLingua, release 0.2.2.
    """
    reader = passage.reader

    def score_chunk(before: list[int], ids: list[int], report: Progress) -> np.ndarray:
        first = [*reader.anchor, *before]
        return reader.surprisal([*first, *ids], len(first), report, "LLMLingua")

    scores, keep = iterate(passage, score_chunk, np.full(len(passage.ids), passage.kept))
    return Scored(scores, "surprisal after the compressed prefix, nats", preferred=keep)
