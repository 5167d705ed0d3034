"""From which layer on the image is no longer needed: the answer's probability without it, and what each part of it carries.

Information Horizon ("All you need are random visual tokens?", 2025): a window's information at a layer is the
probability of the answer when that window alone is kept from there on, minus the one when nothing is. It uses the
right answer, so a ranking by it is an oracle, never a method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.progress import Progress, part, silent
from analysis.visual_tokens.answering import answer_logp
from analysis.visual_tokens.boxes import NEWLINE, TokenBoxes
from analysis.visual_tokens.horizon_results import LEAST, HorizonResult, first_unneeded
from analysis.visual_tokens.parts import language_layers, visual_positions
from analysis.visual_tokens.removal import dropped, hidden
from analysis.visual_tokens.tower import read_image_once

DRAWS = 5
"""Random sets that a set of tokens is held against."""

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.vision_model import VisionModel


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
    once = read_image_once(model, inputs)
    n_layers = len(language_layers(model))
    rows = []
    for layer in range(n_layers + 1):
        progress(layer / (n_layers + 1), f"layer {layer} of {n_layers}")
        with hidden(model, positions, layer):
            logp = answer_logp(model, once, answer)
        likeliest = logp.argmax(-1)
        ids = torch.as_tensor(answer, device=logp.device)
        rows.append((layer, float(logp[range(len(ids)), ids].sum()), bool((likeliest == ids).all())))
    found = pd.DataFrame(rows, columns=["layer", "answer_logp", "answered"])
    found.insert(2, "change", found["answer_logp"] - found["answer_logp"].iloc[-1])
    return found


def horizon_layer(curve: pd.DataFrame, least: float = LEAST) -> int:
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
    return first_unneeded(curve["change"].to_numpy(), least)


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
    gone = [visual[~torch.isin(visual, window)] for window in windows]
    probability = _probabilities(model, once, first_token, layer, [visual, *gone], progress)
    return probability[1:] - probability[0]


def _probabilities(
    model: Any,
    once: Mapping[str, Any],
    token: int,
    layer: int,
    gone: Sequence[Tensor],
    progress: Progress = silent,
) -> np.ndarray:
    """Probability of what follows the prompt, (sets,) of float64, each set of positions gone before a layer."""
    found = []
    for i, positions in enumerate(gone):
        progress(i / len(gone), f"layer {layer}, window {i + 1} of {len(gone)}")
        away = dropped(model, positions, layer) if layer < len(language_layers(model)) else nullcontext()
        with away:
            found.append(float(answer_logp(model, once, (token,))[0, token].exp()))
    return np.array(found)


def information_horizon(
    vlm: VisionModel,
    image: bytes | str | Path | Image,
    question: str,
    answer: str,
    *,
    side: int = 2,
    layers: Sequence[int] | None = None,
    least: float = LEAST,
    tokens: Sequence[int] = (),
    on_progress: Progress = silent,
) -> HorizonResult:
    """Follow an answer while the picture, or a window of it, goes before each layer.

    Parameters
    ----------
    vlm : VisionModel
        Of :func:`load_vision_model`.
    image : bytes, str, pathlib.Path or PIL.Image.Image
        As :meth:`VisionModel.prepare` takes it.
    question, answer : str
        The answer is the one whose probability is followed.
    side : int, default 2
        Rows and columns of tokens in a window; windows at the edge may have fewer.
    layers : sequence of int, optional
        Before which windows are tried, two passes for each window; by default up to eight over the whole depth.
        None at all leaves the windows out.
    least : float, default 0.05
        Change of the answer's log-probability in nats that counts.
    tokens : sequence of int
        Numbers of visual tokens that go by themselves before each layer, such as those of :func:`analysis.named_sinks`;
        beside them as many random ones of the others, :data:`DRAWS` times.
    on_progress : callable
        Called with the share that is done and a text.

    Raises
    ------
    AnalysisError
        As :meth:`VisionModel.prepare` does; if the answer is empty, or there is no such layer, window or token.
    """
    n_layers = len(language_layers(vlm.model))
    if layers is None:
        layers = sorted({int(layer) for layer in np.linspace(0, n_layers - 1, min(n_layers, 8)).round()})
    if side < 1 or not all(0 <= layer < n_layers for layer in layers):
        raise AnalysisError(
            "There is no such window or layer.",
            f"Choose a side of at least 1, and layers 0 to {n_layers - 1}.",
        )
    with vlm.held("while looking for the horizon"):
        model, ids = vlm.model, vlm.answer_ids(answer)
        prepared = vlm.prepare(image, question)
        once = read_image_once(model, prepared.inputs)
        visual = visual_positions(model, prepared.inputs["input_ids"][0])
        number = windows_of(prepared.boxes, side)
        with_place = number >= 0
        sets = [visual, *_some(visual[torch.as_tensor(with_place, device=visual.device)], tokens)]
        passes = (n_layers + 1) * len(sets)
        whole = 1 if not layers else passes / (passes + 2 * len(layers) * len(visual) / side**2)
        curves = [
            image_knock_out(
                model,
                once,
                ids,
                gone,
                progress=part(on_progress, whole * i / len(sets), 1, of=whole / len(sets)),
            )
            for i, gone in enumerate(sets)
        ]
        curve, logp = (
            curves[0],
            np.array([one["answer_logp"] for one in curves[1:]]).reshape(-1, n_layers + 1),
        )
        members = [
            visual[torch.as_tensor(number == i, device=visual.device)] for i in range(number.max() + 1)
        ]
        others = [visual[~torch.isin(visual, window)] for window in members]
        parts = []
        for i, layer in enumerate(layers):
            share = part(on_progress, whole + (1 - whole) * i / len(layers), 1, of=(1 - whole) / len(layers))
            sets = [visual, visual[:0], *others, *members]
            nothing, everything, *rest = _probabilities(model, once, ids[0], layer, sets, share)
            alone, without = np.split(np.array(rest), 2)
            parts.append((alone - nothing, without - everything))
    on_progress(1.0, "done")
    return HorizonResult(
        model=vlm.name,
        question=question,
        answer=answer,
        n_layers=n_layers,
        answer_logp=curve["answer_logp"].to_numpy(),
        answered=curve["answered"].to_numpy(),
        least=least,
        window_of=number[with_place],
        layers=tuple(layers),
        alone=np.array([a for a, _ in parts]).reshape(len(layers), len(members)),
        without=np.array([w for _, w in parts]).reshape(len(layers), len(members)),
        tokens=tuple(int(token) for token in tokens),
        tokens_logp=logp[:1],
        random_logp=logp[1:],
    )


def _some(visual: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    """Positions of some visual tokens, and of as many random ones of the others; nothing for no token."""
    if not len(tokens):
        return []
    others = np.setdiff1d(np.arange(len(visual)), np.asarray(tokens))
    if (
        len(set(tokens)) < len(tokens)
        or len(others) != len(visual) - len(tokens)
        or len(others) < len(tokens)
    ):
        raise AnalysisError(
            "There are no such visual tokens, or they are more than half of them.",
            f"Name each once, 0 to {len(visual) - 1}.",
        )
    draws = [np.random.default_rng(seed).choice(others, len(tokens), replace=False) for seed in range(DRAWS)]
    return [
        visual[torch.as_tensor(np.sort(one), device=visual.device)] for one in (np.asarray(tokens), *draws)
    ]


def windows_of(boxes: TokenBoxes, side: int) -> np.ndarray:
    """Window of each position that bears the image's id, (n,) of int64; -1 for newlines.

    Windows are squares of ``side`` tokens of one view of the picture, row by row.
    """
    place = boxes.view != NEWLINE
    keys = np.stack([boxes.view, boxes.row // side, boxes.column // side], 1)[place]
    number = np.full(len(boxes), -1, np.int64)
    number[place] = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return number
