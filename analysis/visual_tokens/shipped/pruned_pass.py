"""One pass over many pictures whose visual tokens are pruned: each row its own choice, what goes is physically gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.models.body import first_tensor
from analysis.visual_tokens.apply import step_weights

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

    from analysis.visual_tokens.policies.base import Choice
    from analysis.visual_tokens.shipped.packing import Batch


def shape_of(choice: Choice) -> tuple[tuple[int, int], ...]:
    """Layers and numbers of tokens of a choice's stages: rows of one pass have the same."""
    return tuple((stage.layer, len(stage.kept)) for stage in choice.stages)


@torch.no_grad()
def pruned_logits(
    model: LlavaForConditionalGeneration, tokens: Tensor, batch: Batch, choices: Sequence[Choice]
) -> Tensor:
    """Return the logits at the places of a batch where something is learned.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        The shipped model.
    tokens : torch.Tensor
        (B, N, 128): all visual tokens of each row.
    batch : Batch
        Packed with all of them.
    choices : sequence of Choice
        One for each row, all of one :func:`shape_of`.

    Returns
    -------
    torch.Tensor
        (places, vocabulary).
    """
    part = model.model.language_model
    states = part.embed_tokens(batch.ids)
    states = states.masked_scatter(
        (batch.ids == model.config.image_token_id)[..., None], tokens.to(states.dtype)
    )
    positions, visible, before = batch.positions, batch.visible, None
    turned = part.rotary_emb(states, positions)
    steps = {stages[0].layer: stages for stages in zip(*(c.stages for c in choices), strict=True)}
    n = tokens.shape[1]
    present = torch.arange(n).expand(len(choices), n)
    for number, layer in enumerate(part.layers):
        if number in steps:
            stages = steps[number]
            kept = torch.stack([stage.kept for stage in stages])
            row = torch.searchsorted(present.contiguous(), kept)
            weights = [
                step_weights(s, b) for s, b in zip(stages, before or [None] * len(stages), strict=True)
            ]
            if weights[0] is not None:
                mixing = torch.stack([w for w in weights if w is not None])
                states = _mixed(states, mixing, row)
                if stages[0].centred:
                    positions = _centred(positions, mixing, row)
                    turned = part.rotary_emb(states, positions)
            left = _columns(row, present.shape[1], states.shape[1])
            states, visible = _rows(states, left), _rows(_rows(visible[:, 0], left).mT, left).mT[:, None]
            turned = tuple(_rows(one.expand(len(choices), -1, -1), left) for one in turned)
            present, before = kept, stages
        states = first_tensor(
            layer(states, attention_mask=visible, position_embeddings=turned, use_cache=False)
        )
    gone = n - present.shape[1]
    return model.lm_head(part.norm(states)[batch.rows, batch.columns - gone])


def _mixed(states: Tensor, weights: Tensor, row: Tensor) -> Tensor:
    """States (B, S, D) with the image's in some rows mixed: weights (B, n, m), rows (B, n) among the m."""
    image = states[:, 1 : 1 + weights.shape[2]]
    states = states.clone()
    return states.scatter(1, (1 + row)[..., None].expand(-1, -1, states.shape[2]), weights.to(states) @ image)


def _centred(positions: Tensor, weights: Tensor, row: Tensor) -> Tensor:
    """Positions (B, S) with those of what was mixed their weighted means."""
    image = positions[:, 1 : 1 + weights.shape[2]].float()
    means = ((weights / weights.sum(2, keepdim=True)) @ image[..., None])[..., 0]
    return positions.float().scatter(1, 1 + row, means)


def _columns(row: Tensor, present: int, length: int) -> Tensor:
    """Columns that are left, (B, S'): the beginning, the image's that stay, and all of the text."""
    after = torch.arange(1 + present, length).expand(len(row), -1)
    return torch.cat([row.new_zeros(len(row), 1), 1 + row, after], 1)


def _rows(values: Tensor, left: Tensor) -> Tensor:
    """Some rows (B, S', D) of values (B, S, D)."""
    return values.gather(1, left[..., None].expand(-1, -1, values.shape[2]))
