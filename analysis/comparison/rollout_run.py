"""The loaded model reads what an engine wrote, token by token."""

from __future__ import annotations

import numpy as np

from analysis.comparison.rollouts import RolloutMismatch, Rollouts
from analysis.errors import AnalysisError
from analysis.forward.trace import trace_ids
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, part, silent
from analysis.results.tokens import printable


def compare_rollouts(
    model: LanguageModel, rollouts: Rollouts, *, on_progress: Progress | None = None
) -> RolloutMismatch:
    """Log-probabilities of an engine's tokens by a loaded model.

    Parameters
    ----------
    model : LanguageModel
        The one that the engine serves, or its trainer's.
    rollouts : Rollouts
        From :func:`analysis.read_rollouts`.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    RolloutMismatch

    Raises
    ------
    AnalysisError
        If an id is none of the model's, or no token that was drawn has anything before it.
    TooLongError, OutOfMemoryError
        As for :func:`analysis.trace`.

    Notes
    -----
    Tokens are read as they are. The first token of a sequence has no context here and is left out, which is said.
    """
    report = on_progress or silent
    _require_ids(model, rollouts)
    n_tokens, done, without = sum(len(ids) for ids in rollouts.tokens), 0, 0
    found: list[tuple[np.ndarray, ...]] = []
    texts: list[str] = []
    for number, (ids, given) in enumerate(zip(rollouts.tokens, rollouts.logprobs, strict=True)):
        drawn = ~np.isnan(given)
        without += int(drawn[:1].sum())
        at = np.flatnonzero(drawn[1:]) + 1
        if len(at):
            told = part(report, done / n_tokens, 1, of=len(ids) / n_tokens)
            run = trace_ids(model, ids, top_k=1, attention=False, spectra=False, on_progress=told).tokens
            own, entropy = (values[at].astype(np.float64) for values in (-run.surprisal, run.entropy))
            found.append((np.full(len(at), number), at, ids[at], given[at], own, entropy))
            texts += [printable(run.text[t]) for t in at]
        done += len(ids)
    if not found:
        raise AnalysisError(
            f"No token of {rollouts.name} that was drawn has a token before it.",
            "Put the prompt in front: its ids among the tokens, with null as their log-probabilities.",
        )
    notes = (f"Tokens that begin a sequence have no context and are left out: {without:,}.",)
    sequence, position, token_id, engine, own, entropy = (np.concatenate(c) for c in zip(*found, strict=True))
    return RolloutMismatch(
        name=rollouts.name,
        model=f"{model.info.name}, {model.info.precision}",
        sequence=sequence.astype(np.int32),
        position=position.astype(np.int32),
        token_id=token_id,
        text=tuple(texts),
        engine=engine,
        own=own,
        entropy=entropy,
        notes=notes if without else (),
    )


def _require_ids(model: LanguageModel, rollouts: Rollouts) -> None:
    size = model.info.vocab_size
    for number, ids in enumerate(rollouts.tokens, 1):
        if len(ids) and ids.max() >= size:
            raise AnalysisError(
                f"Sequence {number:,} of {rollouts.name} holds the id {ids.max():,}, and {model.info.name} has ids "
                f"up to {size - 1:,}.",
                "Load the model that drew these tokens.",
            )
