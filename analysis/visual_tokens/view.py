"""What the methods read of a model: one pass under its own masks, before any visual token is gone.

Only the language model's attention goes through a function of ours, and only the question's rows of it are made:
memory grows with the tokens, not with their square.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from analysis.errors import AnalysisError
from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.models.body import first_tensor, hooks
from analysis.visual_tokens.boxes import NEWLINE, TokenBoxes
from analysis.visual_tokens.parts import (
    language_layers,
    language_part,
    sublayers,
    visual_positions,
)
from analysis.visual_tokens.policies.view import VisualView
from analysis.visual_tokens.tower_view import TowerPass, read_tower


@dataclass(frozen=True, eq=False)
class _Places:
    """Positions in the text, each (n,) of int64: visual tokens with a place, all text, the text after the image."""

    visual: Tensor
    text: Tensor
    question: Tensor


@dataclass(eq=False)
class _Seen:
    """Parts of the view by name, those of each layer by its number."""

    parts: dict[str, Any] = field(default_factory=dict)

    def add(self, layer: int, **parts: Any) -> None:
        for name, part in parts.items():
            self.parts.setdefault(name, {})[layer] = part


@torch.no_grad()
def view_before(
    model: Any,
    inputs: Mapping[str, Any] | TowerPass,
    boxes: TokenBoxes,
    layers: Collection[int] | None = None,
) -> VisualView:
    """Look at the visual tokens before any of them is gone.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping or TowerPass
        What its processor made of one image and a question, or :func:`analysis.visual_tokens.tower_view.read_tower`
        of that, which serves all views and runs of the image.
    boxes : TokenBoxes
        Of :func:`analysis.visual_tokens.positions.token_boxes`.
    layers : collection of int, optional
        Layers whose parts are kept, such as a method's ``layers_read``; all by default.

    Returns
    -------
    VisualView
        What the model has: ``sublayers`` where layers have ``self_attn`` and ``mlp``, the projector where it takes
        token by token in the order of the text.

    Raises
    ------
    AnalysisError
        If there is no such layer, no image, no text after it, or the boxes are those of another input.
    UnsupportedModelError
        If the model attends in a way that is not known here.
    """
    blocks = language_layers(model)
    wanted = set(range(len(blocks)) if layers is None else layers)
    if not wanted <= set(range(len(blocks))):
        missing = min(wanted - set(range(len(blocks))))
        raise AnalysisError(f"There is no layer {missing}.", f"Choose 0 to {len(blocks) - 1}.")
    ids = (inputs.once if isinstance(inputs, TowerPass) else inputs)["input_ids"][0]
    places = _places(visual_positions(model, ids), len(ids), boxes)
    reading = inputs if isinstance(inputs, TowerPass) else read_tower(model, inputs, boxes)
    seen = _Seen()

    def attend(call: AttentionCall) -> Tensor:
        if call.layer in wanted:
            seen.add(call.layer, **_looked_at(call, places))
        grouped = call.query.shape[1] != call.key.shape[1]
        return scaled_dot_product_attention(
            call.query, call.key, call.value, attn_mask=call.mask, scale=call.scale, enable_gqa=grouped
        )

    with hooks() as handles:
        for i in sorted({0, *wanted}):
            handles.append(
                blocks[i].register_forward_pre_hook(_enters(i, wanted, places, seen), with_kwargs=True)
            )
        for i in sorted(wanted):
            handles += _watched(i, blocks[i], places, seen)
        with attending(language_part(model), SimpleNamespace(layers=blocks), attend, library_masks=True):
            model.model(**reading.once, use_cache=False)
    place = boxes.view != NEWLINE
    return VisualView(
        row=torch.as_tensor(boxes.row[place], dtype=torch.int64),
        column=torch.as_tensor(boxes.column[place], dtype=torch.int64),
        n_layers=len(blocks),
        **seen.parts,
        **reading.parts,
    )


def _places(visual: Tensor, n: int, boxes: TokenBoxes) -> _Places:
    """Positions in a text of n tokens, from those that bear the image's id."""
    if not len(visual) or int(visual[-1]) + 1 == n:
        raise AnalysisError(
            "There is no image with a question after it.", "Put the question behind the image."
        )
    if len(boxes) != len(visual):
        raise AnalysisError(
            f"There are {len(visual)} visual tokens and {len(boxes)} rectangles.",
            "Make the rectangles of the same input.",
        )
    text = torch.ones(n, dtype=torch.bool)
    text[visual.cpu()] = False
    with_place = visual[torch.as_tensor(boxes.view != NEWLINE)]
    return _Places(with_place, text.nonzero()[:, 0], torch.arange(int(visual[-1]) + 1, n))


def _enters(layer: int, wanted: Collection[int], places: _Places, seen: _Seen) -> Any:
    """A hook that keeps what enters a layer."""

    def hook(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        states = _given(arguments, keywords)
        if layer == 0:
            seen.parts.update(features=_part(states[places.visual]), question=_part(states[places.question]))
        if layer in wanted:
            seen.add(layer, states=_part(states[places.visual]), text_states=_part(states[places.text]))

    return hook


def _watched(layer: int, block: Any, places: _Places, seen: _Seen) -> list[Any]:
    """Handles of hooks that keep what a layer's sublayers were given and what they add."""
    handles, parts = [], sublayers(block)
    given: list[Tensor] = []
    pairs: list[tuple[Tensor, Tensor]] = []

    def takes(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        given.append(_part(_given(arguments, keywords)[places.visual]))

    def makes(_module: Any, _arguments: Any, output: Any) -> None:
        pairs.append((given[-1], _part(first_tensor(output)[0, places.visual])))
        if len(pairs) == len(parts):
            seen.add(layer, sublayers=tuple(pairs))

    for first, last in parts:
        handles.append(first.register_forward_pre_hook(takes, with_kwargs=True))
        handles.append(last.register_forward_hook(makes))
    return handles


def _given(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
    """States (S, D) of the one text that a module was given."""
    return (arguments[0] if arguments else keywords["hidden_states"])[0]


def _looked_at(call: AttentionCall, places: _Places) -> dict[str, Tensor]:
    """Keys and queries of one layer, and the question's rows of its attention."""
    query, key = call.query[0], call.key[0]
    heads = key.repeat_interleave(query.shape[0] // key.shape[0], 0)
    scores = (query[:, places.question] * call.scale) @ heads.mT
    if call.softcap is not None:
        scores = call.softcap * (scores / call.softcap).tanh()
    weights = (scores + call.mask[0, :, places.question, : scores.shape[-1]]).softmax(-1)
    return {
        "keys": _part(key[:, places.visual].transpose(0, 1).flatten(1)),
        "text_keys": _part(key[:, places.text].transpose(0, 1).flatten(1)),
        "queries": _part(query[:, places.visual].transpose(0, 1)),
        "attention": _part(weights[..., places.visual]),
    }


def _part(values: Tensor) -> Tensor:
    return values.float().cpu()
