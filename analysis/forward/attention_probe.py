"""Whether measured attention gives what the library's own gives, seen once per model."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import Recorder
from analysis.forward.passes import run_pass
from analysis.models.loading import LanguageModel

PROBE_TOKENS = 64


def attention_error(model: LanguageModel, ids: Tensor) -> float | str:
    """Relative difference of the final states with and without measuring, on a few tokens.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller. The answer is kept on it.
    ids : Tensor, shape (n,)
        Tokens of a text.

    Returns
    -------
    float or str
        Largest difference over the largest state, or why attention cannot be measured.
    """
    if model.attention_error is None:
        model.attention_error = _compare(model, ids[:PROBE_TOKENS])
    return model.attention_error


def _compare(model: LanguageModel, ids: Tensor) -> float | str:
    recorder = Recorder(model.info.n_layers)
    plain = run_pass(model, ids, [], _nothing).final_states.float()
    try:
        ours = run_pass(model, ids, [], _nothing, recorder).final_states.float()
        recorder.result()
    except UnsupportedModelError as error:
        return str(error)
    return float((ours - plain).abs().max() / plain.abs().max().clamp(min=torch.finfo(torch.float32).tiny))


def _nothing(_layer: int) -> None:
    """No progress: a few tokens take no time."""
