"""What the methods read of the vision tower and the projector, in the one pass that reads the picture."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from analysis.models.body import hooks
from analysis.visual_tokens.boxes import NEWLINE, TokenBoxes
from analysis.visual_tokens.parts import feature_layer, token_projector
from analysis.visual_tokens.patches import Patches, crops, grey_entropy, token_patches
from analysis.visual_tokens.policies.view import TowerLayer
from analysis.visual_tokens.tower import read_image_once
from analysis.visual_tokens.tower_recorder import TowerCall, hearing_tower

TOWER_PARTS = (
    "tower_attention",
    "cls_attention",
    "cls_logits",
    "first_cls_attention",
    "tower_keys",
    "tower_layers",
    "grey_entropy",
    "projector_inputs",
    "projector",
)
"""Parts of a :class:`VisualView` that come of the tower, the projector and the pixels."""


@dataclass(frozen=True, eq=False)
class TowerPass:
    """One pass of the tower over one picture; any number of runs, with other questions too, may be made of it.

    Parameters
    ----------
    once : dict
        The model's input with the tower's features instead of pixels.
    parts : dict
        By their names in :class:`analysis.visual_tokens.policies.VisualView`; what a model does not have is left out.
    """

    once: dict[str, Any]
    parts: dict[str, Any]

    def asking(self, inputs: Mapping[str, Any]) -> TowerPass:
        """The same picture with another question: the processor's input for it, whose pixels are not read."""
        texts = {k: v for k, v in inputs.items() if k not in ("pixel_values", "pixel_attention_mask")}
        return TowerPass({**texts, "mm_encoder_outputs": self.once["mm_encoder_outputs"]}, self.parts)


@torch.no_grad()
def read_tower(
    model: Any, inputs: Mapping[str, Any], boxes: TokenBoxes, parts: Collection[str] = TOWER_PARTS
) -> TowerPass:
    """Read a picture once, and keep what methods need of the tower.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping
        What its processor made of one image and a question.
    boxes : TokenBoxes
        Of :func:`analysis.visual_tokens.positions.token_boxes`.
    parts : collection of str, default :data:`TOWER_PARTS`
        Which to keep: ``tower_attention`` is the one that grows with the square of the patches.

    Returns
    -------
    TowerPass
        Attention, keys and entropy are means over the patches of a token. Nothing of the tower where a token
        is not made of whole patches, nothing of a class token where the tower has none.
    """
    patches = token_patches(model, boxes)
    heard = _Heard(patches, feature_layer(model), set(parts))
    projector, given = token_projector(model), []
    with hooks() as handles, hearing_tower(model, heard):
        if projector is not None:
            handles.append(projector.register_forward_pre_hook(lambda _module, args: given.append(args[0])))
        once = read_image_once(model, inputs)
    found = heard.parts
    crop = crops(boxes, patches)
    if crop is not None:
        found["crop"] = crop
    if "grey_entropy" in parts and patches is not None:
        patch = model.config.vision_config.patch_size
        patch = patch if isinstance(patch, int) else patch[0]
        found["grey_entropy"] = grey_entropy(inputs["pixel_values"].cpu(), patch, patches)
    rows = torch.cat([one.flatten(0, -2) for one in given]) if given else torch.zeros(0, 0)
    if projector is not None and len(rows) == len(boxes) and not (boxes.view == NEWLINE).any():
        # float32 as all parts are: in 16 bits the small steps of a sensitivity are lost
        own = {
            "projector_inputs": rows.float().cpu(),
            "projector": copy.deepcopy(projector).float().cpu(),
        }
        found |= {name: part for name, part in own.items() if name in parts}
    return TowerPass(once, found)


@dataclass(eq=False)
class _Heard:
    """Makes the parts of what is heard of the tower's layers."""

    patches: Patches | None
    deepest: int
    wanted: set[str]
    parts: dict[str, Any] = field(default_factory=dict)

    def __call__(self, call: TowerCall) -> None:
        if self.patches is None or call.layer > self.deepest:
            return
        if call.key.shape[2] < self.patches.token.shape[1]:
            return  # a window
        has_class = call.key.shape[2] > self.patches.token.shape[1]
        if has_class and call.layer == 0:
            self._add("first_cls_attention", lambda p: self._class_row(call, p))
        # the layer before the last that is read, and so on upwards: every other one, the last among them
        if has_class and (self.deepest - call.layer) % 2 == 0:
            self._add("tower_layers", lambda p: (*self.parts.get("tower_layers", ()), _layer(call, p)))
        if call.layer < self.deepest:
            return
        if has_class:
            self._add("cls_attention", lambda p: self._class_row(call, p))
            self._add("cls_logits", lambda p: self._class_row(call, p, before_softmax=True))
        self._add("tower_keys", lambda p: p.mean(of_patches(call.key.mean(1), p)).float().cpu())
        self._add("tower_attention", lambda p: tower_attention(call, p))

    def _add(self, name: str, make: Any) -> None:
        if name in self.wanted:
            self.parts[name] = make(self.patches)

    @staticmethod
    def _class_row(call: TowerCall, patches: Patches, *, before_softmax: bool = False) -> Tensor:
        """(H, N)."""
        return class_rows(call, patches, before_softmax=before_softmax).cpu()


def class_rows(call: TowerCall, patches: Patches, *, before_softmax: bool = False) -> Tensor:
    """Attention of the class token on each token, (H, N), or its scores before the softmax; keeps its graph."""
    make = call.logits if before_softmax else call.weights
    rows = torch.stack([make(b, slice(0, 1))[:, 0] for b in range(len(call.query))])
    return patches.mean(of_patches(rows.mT, patches)).mT


def tower_attention(call: TowerCall, patches: Patches) -> Tensor:
    """Attention between tokens, (H, N, N), mean over the patches of both; 0 between pictures of the tower."""
    first = call.key.shape[2] - patches.token.shape[1]
    found = torch.zeros(call.query.shape[1], patches.n_tokens, patches.n_tokens)
    for b in range(len(call.query)):
        weights = call.weights(b, slice(first, None))[:, :, first:].cpu()
        one = Patches(patches.token[b : b + 1], patches.n_tokens)
        own = one.token[one.token >= 0].unique()
        for head, map_ in enumerate(weights):
            keys = one.mean(map_.mT[None])[own]  # (tokens here, patches)
            found[head, own[:, None], own] = one.mean(keys.mT[None])[own]
    return found


def received_rows(call: TowerCall, patches: Patches) -> Tensor:
    """Mean attention that each token gets, (H, N), from all that stands in its picture of the tower; keeps its graph."""
    rows = torch.stack([call.weights(b, slice(None)).mean(1) for b in range(len(call.query))])
    return patches.mean(of_patches(rows.mT, patches)).mT


def of_patches(values: Tensor, patches: Patches) -> Tensor:
    """Without what stands before the patches, such as the class token: (B, n, ...) of (B, n + k, ...)."""
    return values[:, values.shape[1] - patches.token.shape[1] :]


def _layer(call: TowerCall, patches: Patches) -> TowerLayer:
    values = call.value.transpose(1, 2).flatten(2)
    return TowerLayer(
        class_rows(call, patches).mean(0).cpu(),
        values[patches.picture(), 0].float().cpu(),
        patches.mean(of_patches(values, patches)).float().cpu(),
    )
