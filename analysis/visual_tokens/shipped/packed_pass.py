"""One pass over pictures whose questions are packed: all their answers at once, by the library's own modules."""

from __future__ import annotations

import torch
from transformers import LlavaForConditionalGeneration

from analysis.visual_tokens.shipped.packing import Batch


def patch_states(model: LlavaForConditionalGeneration, pixels: torch.Tensor) -> torch.Tensor:
    """Return the states of the tower that the projector gets: (B, 144, 128), without the class token."""
    return model.model.vision_tower(pixels).last_hidden_state[:, 1:]


def project(model: LlavaForConditionalGeneration, states: torch.Tensor) -> torch.Tensor:
    """Return the visual tokens that the language model gets for states of the tower: (B, n, 128)."""
    return model.model.multi_modal_projector(states)


def read(
    model: LlavaForConditionalGeneration, tokens: torch.Tensor, batch: Batch, *, every_layer: bool = False
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Run the language model over images and packed questions.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    tokens : torch.Tensor
        (B, n, 128) of :func:`project`; n as the batch was packed.
    batch : Batch
    every_layer : bool, default False
        Whether the states before each layer are wanted as well.

    Returns
    -------
    torch.Tensor
        (B, S, 128), the last states.
    tuple of torch.Tensor
        (B, S, 128), the states before each layer and the last ones; empty where they are not wanted.
    """
    inner = model.model
    embedded = inner.language_model.embed_tokens(batch.ids)
    after = 1 + tokens.shape[1]  # the image follows ``<s>``
    embedded = torch.cat([embedded[:, :1], tokens.to(embedded.dtype), embedded[:, after:]], 1)
    said = inner.language_model(
        inputs_embeds=embedded,
        attention_mask=batch.visible,
        position_ids=batch.positions,
        use_cache=False,
        output_hidden_states=every_layer,
    )
    return said.last_hidden_state, said.hidden_states or ()


def answer_logits(model: LlavaForConditionalGeneration, tokens: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the logits at the places of a batch where something is learned: (N, vocabulary); see :func:`read`."""
    return logits_of(model, read(model, tokens, batch)[0], batch)


def logits_of(model: LlavaForConditionalGeneration, states: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the logits at the places where something is learned for the last states: (N, vocabulary)."""
    return model.lm_head(states[batch.rows, batch.columns])


def answered_right(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Which questions a greedy answer gets right: (questions,) of bool; every token and the end count."""
    wrong = logits.argmax(-1) != batch.targets
    misses = wrong.new_zeros(len(batch.kinds), dtype=torch.int64).index_add_(0, batch.question, wrong.long())
    return misses == 0
