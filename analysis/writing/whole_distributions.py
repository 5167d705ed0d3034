"""What is asked of whole distributions: read again from the states that a run or a branch kept, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.errors import AnalysisError
from analysis.forward.vocabulary_head import distribution, rows_per_block
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel


def from_states(
    model: LanguageModel,
    states: np.ndarray | None,
    measure: Callable[[np.ndarray], np.ndarray],
    progress: Progress = silent,
) -> np.ndarray:
    """A number for each state's distribution over the vocabulary.

    Parameters
    ----------
    model : LanguageModel
        The one that the states are of.
    states : numpy.ndarray, shape (N, D), or None
        What the head got, such as ``StepNumbers.final_states``: row t of a branch is about its token t. The final states
        of a trace are one token earlier: row t is about token t + 1.
    measure : callable
        From log-probabilities (n, V), nats, to n numbers, such as
        :func:`~.answer_entropy.self_certainty` or :func:`~.rules.cntp.warped_entropy`.
    progress : callable, optional
        Told how far it is, once per block.

    Returns
    -------
    numpy.ndarray, shape (N,), float64

    Raises
    ------
    AnalysisError
        If no states were kept, or they are another model's.
    """
    if states is None or not len(states):
        raise AnalysisError(
            "Not available: no final states were kept.", "Write again, or run a shorter text."
        )
    head = model.anatomy.head
    width = model.info.hidden_size
    if states.shape[1] != width:
        raise AnalysisError(
            f"The states have {states.shape[1]} numbers, those of the loaded model {width}.",
            "Load the model of the run.",
        )
    out = np.zeros(len(states))
    step = rows_per_block(head)
    with model.held("at whole distributions"):
        for begin in range(0, len(states), step):
            rows = torch.from_numpy(states[begin : begin + step].copy()).to(head.weight.device)
            log_probs, _ = distribution(head.logits(rows))
            out[begin : begin + step] = measure(log_probs.cpu().numpy())
            progress(min(1.0, (begin + step) / len(states)), "Whole distributions")
    return out
