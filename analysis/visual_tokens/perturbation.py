"""Small bounded changes of a picture: by chance, or against what the vision tower attends to.

For measuring how far a compressed model can be trusted on pictures of one's own. Colours are counted in the 255
levels of a file, so that what comes out is again a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.models.body import first_tensor, hooks
from analysis.visual_tokens.boxes import TokenBoxes
from analysis.visual_tokens.parts import feature_layer, vision_layers
from analysis.visual_tokens.patches import Patches, token_patches
from analysis.visual_tokens.policies.base import highest
from analysis.visual_tokens.tower import read_image_once
from analysis.visual_tokens.tower_recorder import TowerCall, hearing_tower
from analysis.visual_tokens.tower_view import class_rows, of_patches, received_rows

_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture as a model is shown it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    processor : object
        Its image processor.
    inputs : mapping
        What it made of one image and a question.
    boxes : TokenBoxes
        Of :func:`analysis.visual_tokens.positions.token_boxes`.
    """

    model: Any
    processor: Any
    inputs: Mapping[str, Any]
    boxes: TokenBoxes


@dataclass(frozen=True)
class Noise:
    """A bounded change of a picture; a subclass gives :meth:`change`."""

    levels: int = 2
    """Largest change of a colour value, of 255."""
    seed: int = 0

    name: ClassVar[str]

    def perturbed(self, shown: Shown) -> dict[str, Any]:
        """The model's input with the picture changed.

        Returns
        -------
        dict
            No colour value more than ``levels`` away, none outside 0 to 255; whole ones stay whole.

        Raises
        ------
        AnalysisError
            If the bound is not 1 to 255.
        UnsupportedModelError
            If the model takes its pixels in another form than a picture.
        """
        if not 1 <= self.levels <= _LEVELS:
            raise AnalysisError(f"A change of {self.levels} levels makes no sense.", "Choose 1 to 255.")
        pixels = shown.inputs["pixel_values"]
        if pixels.ndim < 4:
            raise UnsupportedModelError(
                f"{type(shown.model).__name__} takes its pixels patch by patch.",
                "Pictures of it cannot be changed here.",
            )
        colours = colours_of(pixels, shown.processor)
        change = self.change(shown, colours).round().clamp(-self.levels, self.levels)
        moved = (colours + change).clamp(0, _LEVELS)
        return {**shown.inputs, "pixel_values": pixels_of_colours(moved, shown.processor).to(pixels.dtype)}

    def change(self, shown: Shown, colours: Tensor) -> Tensor:
        """What is added to the colours, in levels."""
        raise NotImplementedError


@dataclass(frozen=True)
class RandomSigns(Noise):
    """Every colour value goes up or down by the whole bound, by chance: the control."""

    name = "random"

    def change(self, _shown: Shown, colours: Tensor) -> Tensor:
        """Signs of a generator of its own."""
        up = torch.rand(colours.shape, generator=torch.Generator().manual_seed(self.seed)) < 0.5
        return torch.where(up, self.levels, -self.levels).to(colours)


@dataclass(frozen=True)
class AgainstAttention(Noise):
    """Projected gradient steps that take the tower's attention off what it attends to most, and leave the states.

    After FATA (2026): with s the class token's attention and M its largest on the clean picture, the sum of s over M
    plus ``states_weight`` times (1 - mean cosine of the states with those of the clean picture) falls by signed
    steps. Gradients of the tower alone, whatever method prunes afterwards. Published with 100 steps.

    Without a class token the mean attention received stands for its attention.
    """

    steps: int = 40
    step: float = 0.5
    """In levels of 255."""
    important: float = 1 / 9
    """Share of the tokens in M: 64 of 576."""
    states_weight: float = 1.0

    name = "attention"

    def change(self, shown: Shown, colours: Tensor) -> Tensor:
        """The last of the steps."""
        model, inputs = shown.model, shown.inputs
        patches = token_patches(model, shown.boxes)
        if patches is None or feature_layer(model) < 0:
            raise UnsupportedModelError(
                "The vision tower's attention on whole tokens cannot be read.",
                "Use random noise, or a smaller picture.",
            )
        dtype = inputs["pixel_values"].dtype
        with torch.no_grad():
            score, clean = attended(model, inputs, patches)
        chosen = highest(score.cpu(), max(1, round(self.important * len(score))))
        moved = torch.zeros_like(colours)
        with torch.enable_grad():
            for _ in range(self.steps):
                moved.requires_grad_()
                seen = pixels_of_colours((colours + moved).clamp(0, _LEVELS), shown.processor).to(dtype)
                score, states = attended(model, {**inputs, "pixel_values": seen}, patches)
                alike = torch.nn.functional.cosine_similarity(states, clean, dim=-1).mean()
                loss = score[chosen].sum() + self.states_weight * (1 - alike)
                (slope,) = torch.autograd.grad(loss, moved)
                moved = (moved - self.step * slope.sign()).clamp(-self.levels, self.levels).detach()
        return moved


def attended(model: Any, inputs: Mapping[str, Any], patches: Patches) -> tuple[Tensor, Tensor]:
    """What the tower attends to, (N,), mean over heads, and the states of its patches, (B, n, D); with their graph."""
    deepest = feature_layer(model)
    scores: list[Tensor] = []
    states: list[Tensor] = []

    def hear(call: TowerCall) -> None:
        if call.layer == deepest:
            has_class = call.key.shape[2] > patches.token.shape[1]
            scores.append((class_rows if has_class else received_rows)(call, patches).mean(0))

    def after(_module: Any, _arguments: Any, output: Any) -> None:
        states.append(of_patches(first_tensor(output).float(), patches))

    with hooks() as handles, hearing_tower(model, hear):
        handles.append(vision_layers(model)[deepest].register_forward_hook(after))
        read_image_once(model, inputs)
    return scores[0], states[0]


def colours_of(pixels: Tensor, processor: Any) -> Tensor:
    """Colour values 0 to 255 of what a processor made, (..., 3, height, width), float32."""
    mean, std = _scale(pixels, processor)
    return (pixels.float() * std + mean) * _LEVELS


def pixels_of_colours(colours: Tensor, processor: Any) -> Tensor:
    """What a processor makes of colour values."""
    mean, std = _scale(colours, processor)
    return (colours / _LEVELS - mean) / std


def as_picture(pixels: Tensor, processor: Any) -> np.ndarray:
    """The first picture that the tower sees, (height, width, 3) of uint8."""
    one = colours_of(pixels, processor).flatten(0, -4)[0]
    return one.round().clamp(0, _LEVELS).permute(1, 2, 0).to(torch.uint8).cpu().numpy()


def _scale(like: Tensor, processor: Any) -> tuple[Tensor, Tensor]:
    if not getattr(processor, "do_normalize", True):
        return like.new_zeros(1), like.new_ones(1)
    found = [
        torch.tensor(v, dtype=torch.float32, device=like.device)
        for v in (processor.image_mean, processor.image_std)
    ]
    return found[0].reshape(-1, 1, 1), found[1].reshape(-1, 1, 1)
