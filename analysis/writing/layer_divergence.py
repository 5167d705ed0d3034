"""How far each layer's prediction is from the output's, symmetrically: what a stored lens does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, TooLongError
from analysis.forward.body_pass import run_pass
from analysis.forward.vocabulary_head import about_tokens, distribution, rows_per_block
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of distributions, in nats, from 0 to ln 2.

    Parameters
    ----------
    p, q : Tensor, shape (N, V)
        Probabilities.

    Returns
    -------
    Tensor, shape (N,)
        ``H(m) - (H(p) + H(q)) / 2`` with ``m = (p + q) / 2``.
    """
    entropies = [torch.special.entr(one).sum(-1) for one in ((p + q) / 2, p, q)]
    return (entropies[0] - (entropies[1] + entropies[2]) / 2).clamp(min=0)


def layer_divergence(model: LanguageModel, ids: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """Jensen-Shannon divergence of every layer's prediction from the output, about each token.

    Parameters
    ----------
    model : LanguageModel
        Reads the tokens once and its vocabulary once per layer.
    ids : numpy.ndarray of int, shape (T,)
        A path, or a text's ``token_id``.
    progress : callable, optional
        Raising from it stops the work.

    Returns
    -------
    numpy.ndarray, shape (L, T), float64
        nats; row l - 1 is layer l, read through the final norm; column 0 is NaN.

    Raises
    ------
    AnalysisError
        If there are fewer than two tokens.
    TooLongError
        If they do not fit into the context at once.
    """
    limit = model.info.context_length
    if len(ids) < 2:
        raise AnalysisError("There are fewer than two tokens.", "Take a longer text.")
    if limit and len(ids) > limit:
        raise TooLongError(
            f"The text has {len(ids):,} tokens, the context {limit:,}.", "Take a shorter text."
        )
    anatomy, n_layers, n = model.anatomy, len(model.anatomy.layers), len(ids)
    head, out = anatomy.head, torch.zeros(len(model.anatomy.layers), len(ids))
    with model.held(f"at {n:,} tokens"):
        measured = run_pass(
            model,
            torch.from_numpy(np.asarray(ids, np.int64)),
            list(range(1, n_layers + 1)),
            lambda layer: progress(0.2 * layer / n_layers, f"layer {layer}/{n_layers}"),
        )
        for begin in range(0, n, rows_per_block(head)):
            rows = slice(begin, min(begin + rows_per_block(head), n))
            output = distribution(head.logits(measured.final_states[rows]))[1]
            for layer, states in enumerate(measured.lens_states):
                lens = distribution(head.logits(anatomy.final(states[None, rows])[0]))[1]
                out[layer, rows] = jensen_shannon(output, lens).cpu()
            progress(0.2 + 0.8 * rows.stop / n, f"lens of {rows.stop:,}/{n:,} tokens")
    return about_tokens(out.double().numpy(), np.nan)
