"""Knock-out horizon: from which layer on the model no longer needs to see chosen tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.policies.knock_out import KnockOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.models.loading import LanguageModel
    from analysis.models.tokenization import Bos


def knock_out_horizon(
    model: LanguageModel,
    context: str,
    question: str,
    answer: str,
    tokens: Sequence[int],
    *,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Callable[[float, str], None] | None = None,
) -> pd.DataFrame:
    """Hide tokens of the context from layer l on, for every l, and ask for the answer.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    context, question, answer : str
        As for :func:`analysis.sweep_eviction`; the answer's log-probability is summed over its tokens.
    tokens : sequence of int
        Positions of the context that are hidden.
    bos, parse_special
        As for :func:`analysis.sweep_eviction`.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    pandas.DataFrame
        ``layer`` (first layer with attention that no longer sees the tokens; the number of layers is the full cache),
        ``answer_logp`` and ``change`` against the full cache in nats, ``answered``.

    Raises
    ------
    AnalysisError
        If no token is chosen, all are, or one does not exist; else as the sweep does.

    Notes
    -----
    The *horizon* is the first layer from which on hiding the tokens changes nothing: what they said has by then
    been copied elsewhere, or was never needed.
    """
    from analysis.forward.attention_probe import require_attention
    from analysis.models.tokenization import encode
    from analysis.pruning_effects.eviction.sweep import sweep_eviction

    chosen = tuple(sorted({int(t) for t in tokens}))
    if not chosen:
        raise AnalysisError("No tokens are chosen.", "Choose one or more tokens of the context to hide.")
    if not answer.strip():
        raise AnalysisError("There is no answer.", "Type the answer whose probability is followed.")
    with model.lock:
        there = bool(context.strip())
        n = len(encode(model.tokenizer, context, bos=bos, parse_special=parse_special)) if there else 0
    if n and not (chosen[0] >= 0 and chosen[-1] < n and len(chosen) < n):
        raise AnalysisError(
            f"The context has {n} tokens, and the chosen ones go from {chosen[0]} to {chosen[-1]}.",
            f"Choose some of 0 to {n - 1}, not all.",
        )
    with model.held("while hiding tokens"):
        numbers = require_attention(model).layers
    n_layers = len(numbers)
    methods = [KnockOut(chosen, layer) for layer in range(n_layers)]
    sweep = sweep_eviction(
        model,
        context,
        question,
        methods,
        [1.0],
        answer=answer,
        bos=bos,
        parse_special=parse_special,
        on_progress=on_progress,
    )
    logp = sweep.to_frame()["answer_logp"].to_numpy()
    answered = sweep.answered()
    order = np.r_[1 : n_layers + 1, 0]  # setting 0 is the full cache: it stands last
    return pd.DataFrame(
        {
            "layer": [*numbers, model.info.n_layers],
            "answer_logp": logp[order],
            "change": logp[order] - logp[0],
            "answered": answered[order],
        }
    )
