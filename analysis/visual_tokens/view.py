"""What the methods read of a model: one pass under its own masks, in which one layer is looked at.

Only the language model's attention goes through a function of ours, and only the question's rows of it are made:
memory grows with the tokens, not with their square.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from analysis.errors import AnalysisError
from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.models.body import first_tensor, hooks
from analysis.visual_tokens.measures import transition_scores
from analysis.visual_tokens.parts import language_layers, language_part, visual_positions
from analysis.visual_tokens.policies.base import VisualView
from analysis.visual_tokens.tower import read_image_once


@torch.no_grad()
def view_before(
    model: Any,
    inputs: Mapping[str, Any],
    layer: int,
    positions: Tensor | None = None,
    *,
    transitions_from: int = 0,
) -> VisualView:
    """Look at the visual tokens as they are before layer l.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping
        What its processor made of one image and a question, or :func:`read_image_once` of that.
    layer : int
        l, from 0. Keys, queries and attention are those of layer l - 1; before layer 0 there are none.
    positions : torch.Tensor, optional
        (n,) of int64: positions of the visual tokens, without newlines; all by default.
    transitions_from : int, default 0
        First of the layers before l whose transitions are added up; TransPrune takes a stretch in the middle.

    Returns
    -------
    VisualView
        Everything but ``sensitivity``; ``transitions`` where each layer has ``self_attn`` and ``mlp``.

    Raises
    ------
    AnalysisError
        If there is no such layer, no image, or no text after it.
    UnsupportedModelError
        If the model attends in a way that is not known here.
    """
    layers = language_layers(model)
    if not 0 <= layer < len(layers):
        raise AnalysisError(f"There is no layer {layer}.", f"Choose 0 to {len(layers) - 1}.")
    ids = inputs["input_ids"][0]
    every = visual_positions(model, ids)
    visual = every if positions is None else positions
    text = torch.arange(int(every[-1]) + 1, len(ids)) if len(every) else every
    if not len(visual) or not len(text):
        raise AnalysisError(
            "There is no image with a question after it.", "Put the question behind the image."
        )
    once = dict(inputs) if "mm_encoder_outputs" in inputs else read_image_once(model, inputs)
    seen: dict[str, Tensor] = {}

    def attend(call: AttentionCall) -> Tensor:
        if call.layer == layer - 1:
            seen.update(_looked_at(call, visual, text))
        grouped = call.query.shape[1] != call.key.shape[1]
        return scaled_dot_product_attention(
            call.query, call.key, call.value, attn_mask=call.mask, scale=call.scale, enable_gqa=grouped
        )

    def before(index: int) -> Any:
        def hook(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            states = (arguments[0] if arguments else keywords["hidden_states"])[0]
            if index == 0:
                seen.update(features=states[visual], text_features=states[text])
            if index == layer:
                seen.update(states=states[visual], text_states=states[text])

        return hook

    def changes(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        given = (arguments[0] if arguments else keywords["hidden_states"])[0, visual]
        added = first_tensor(output)[0, visual]
        score = transition_scores(given.float().cpu().numpy(), added.float().cpu().numpy())
        seen["transitions"] = seen.get("transitions", torch.zeros(len(visual))) + torch.from_numpy(score)

    parts = [
        getattr(one, name, None) for one in layers[transitions_from:layer] for name in ("self_attn", "mlp")
    ]
    with hooks() as handles:
        for i in sorted({0, layer}):
            handles.append(layers[i].register_forward_pre_hook(before(i), with_kwargs=True))
        if None not in parts:
            handles += [
                part.register_forward_hook(changes, with_kwargs=True) for part in parts if part is not None
            ]
        with attending(language_part(model), SimpleNamespace(layers=layers), attend, library_masks=True):
            model.model(**once, use_cache=False)
    seen["question"] = seen["text_features"].mean(0)
    return VisualView(**{name: part.float() for name, part in seen.items()})


def _looked_at(call: AttentionCall, visual: Tensor, text: Tensor) -> dict[str, Tensor]:
    """Keys and queries of one layer, and the text's rows of its attention."""
    query, key = call.query[0], call.key[0]
    heads = key.repeat_interleave(query.shape[0] // key.shape[0], 0)
    scores = (query[:, text] * call.scale) @ heads.mT
    if call.softcap is not None:
        scores = call.softcap * (scores / call.softcap).tanh()
    weights = (scores + call.mask[0, :, text, : scores.shape[-1]]).softmax(-1)
    return {
        "keys": key[:, visual].transpose(0, 1).flatten(1),
        "text_keys": key[:, text].transpose(0, 1).flatten(1),
        "queries": query[:, visual].transpose(0, 1),
        "attention": weights[..., visual].mean(0),
    }
