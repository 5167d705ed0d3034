"""From which layer on the image is no longer needed: the answer's probability without it, and what each part of it carries.

Information Horizon ("All you need are random visual tokens?", 2025): a window's information at a layer is the
probability of the answer when that window alone is kept from there on, minus the one when nothing is. It uses the
right answer, so a ranking by it is an oracle, never a method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.progress import Progress, silent
from analysis.visual_tokens.parts import language_layers, visual_positions
from analysis.visual_tokens.removal import hidden
from analysis.visual_tokens.tower import read_image_once

_KINDS_OF_TOKENS = ("mm_token_type_ids", "token_type_ids", "attention_mask")


@torch.no_grad()
def image_knock_out(
    model: Any,
    inputs: Mapping[str, Tensor],
    answer: Sequence[int],
    positions: Tensor | None = None,
    *,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Hide visual tokens from layer l on, for every l, and follow the answer's probability.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping
        What its processor made of one image and a question.
    answer : sequence of int
        Ids of the answer.
    positions : torch.Tensor, optional
        (r,) of int64: positions in the text that are hidden; all visual tokens by default.
    progress : callable
        Called with the share that is done and a text.

    Returns
    -------
    pandas.DataFrame
        ``layer`` (the first that no longer sees them; the number of layers is the whole image), ``answer_logp``
        and ``change`` against the whole image in nats, ``answered``: whether every token of the answer is the
        likeliest one.

    Raises
    ------
    AnalysisError
        If there is no answer, or the text holds no image.
    UnsupportedModelError
        As :func:`analysis.visual_tokens.removal.hidden` does.
    """
    if not len(answer):
        raise AnalysisError("There is no answer.", "Give the answer whose probability is followed.")
    if positions is None:
        positions = visual_positions(model, inputs["input_ids"][0])
    if not len(positions):
        raise AnalysisError("The text holds no image.", "Put the image's place into the text.")
    whole = _with_answer(model, read_image_once(model, inputs), answer)
    n_layers = len(language_layers(model))
    rows = []
    for layer in range(n_layers + 1):
        progress(layer / (n_layers + 1), f"layer {layer} of {n_layers}")
        with hidden(model, positions, layer):
            logp = _answer_logp(model, whole, answer)
        likeliest = logp.argmax(-1)
        ids = torch.as_tensor(answer, device=logp.device)
        rows.append((layer, float(logp[range(len(ids)), ids].sum()), bool((likeliest == ids).all())))
    found = pd.DataFrame(rows, columns=["layer", "answer_logp", "answered"])
    found.insert(2, "change", found["answer_logp"] - found["answer_logp"].iloc[-1])
    return found


def horizon_layer(curve: pd.DataFrame, least: float = 0.05) -> int:
    """Return the first layer from which on hiding changes the answer by less than this.

    Parameters
    ----------
    curve : pandas.DataFrame
        Of :func:`image_knock_out`.
    least : float, default 0.05
        Change of the answer's log-probability in nats, up or down, that counts.

    Returns
    -------
    int
        A layer; the number of layers if the last one still needs the tokens; 0 if none ever did.
    """
    matters = np.flatnonzero(curve["change"].abs().to_numpy() >= least)
    return int(curve["layer"].iloc[matters[-1] + 1]) if len(matters) else 0


@torch.no_grad()
def window_information(
    model: Any,
    inputs: Mapping[str, Tensor],
    first_token: int,
    layer: int,
    windows: Sequence[Tensor],
    *,
    progress: Progress = silent,
) -> np.ndarray:
    """Information of parts of the image at a layer: what each carries on its own.

    Parameters
    ----------
    model, inputs
        As for :func:`image_knock_out`.
    first_token : int
        Id of the answer's first token.
    layer : int
        l: from there on one window is seen, and no other visual token.
    windows : sequence of torch.Tensor
        Positions in the text of the tokens of each window.
    progress : callable

    Returns
    -------
    numpy.ndarray
        (windows,) of float64: probability of the token with that window, minus the one with none.
    """
    once = read_image_once(model, inputs)
    visual = visual_positions(model, inputs["input_ids"][0])

    def probability(kept: Tensor) -> float:
        with hidden(model, visual[~torch.isin(visual, kept)], layer):
            return float(_answer_logp(model, once, (first_token,))[0, first_token].exp())

    nothing = probability(visual[:0])
    found = []
    for i, window in enumerate(windows):
        progress(i / len(windows), f"window {i + 1} of {len(windows)}")
        found.append(probability(window) - nothing)
    return np.array(found)


def _with_answer(model: Any, inputs: dict[str, Any], answer: Sequence[int]) -> dict[str, Any]:
    """The input with all tokens of the answer but its last behind it."""
    more = torch.as_tensor(answer[:-1], dtype=torch.int64, device=inputs["input_ids"].device)[None]
    if not more.shape[1]:
        return inputs
    if model.config.model_type == "paligemma":
        raise AnalysisError(
            "PaliGemma reads everything before its answer both ways, the beginning of the answer too.",
            "Follow the answer's first token alone.",
        )
    longer = dict(inputs, input_ids=torch.cat([inputs["input_ids"], more], 1))
    for name in _KINDS_OF_TOKENS:
        if name in inputs:
            kind = torch.full_like(more, int(name == "attention_mask"), dtype=inputs[name].dtype)
            longer[name] = torch.cat([inputs[name], kind], 1)
    return longer


def _answer_logp(model: Any, inputs: dict[str, Any], answer: Sequence[int]) -> Tensor:
    """Log-probabilities (answer tokens, vocabulary) at the places that predict the answer, in float64."""
    logits = model(**inputs, use_cache=False, logits_to_keep=len(answer)).logits[0]
    return logits.double().log_softmax(-1)
