"""What is learned: what each patch shows, and the answers to packed questions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from analysis.visual_tokens.scenes.drawing import LABELS
from analysis.visual_tokens.shipped.build import N_VISUAL, WIDTH
from analysis.visual_tokens.shipped.packing import Batch

EMPTY = 0.15
"""Weight of patches that show nothing of the kind: most do."""

GRID = round(N_VISUAL**0.5)
"""Rows, and columns, of patches: 12."""


class PatchHeads(nn.Module):
    """Linear heads that are used in training only.

    On the tower's patch states one a label, and one each for row and column; on the language model's states one
    each for row and column of the item that has just been named.

    Parameters
    ----------
    seed : int
        Of the first weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(nn.Linear(WIDTH, 1 + len(names)) for names in LABELS.values())
            self.places = nn.ModuleList(nn.Linear(WIDTH, GRID) for _ in ("row", "column"))
            self.named = nn.ModuleList(nn.Linear(WIDTH, GRID) for _ in ("row", "column"))

    def loss(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Sum over labels of the weighted mean cross-entropy.

        Parameters
        ----------
        states : torch.Tensor
            (B, 144, 128), the tower's patch states.
        labels : torch.Tensor
            (B, 5, 144) of int64.
        """
        total = states.new_zeros(())
        for i, head in enumerate(self.heads):
            logits = head(states).flatten(0, 1).float()
            weights = logits.new_ones(logits.shape[1])
            weights[:1].fill_(EMPTY)  # no number that a device would wait for
            total = total + cross_entropy(logits, labels[:, i].reshape(-1), weights)
        return total

    def place_loss(self, states: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of each patch's row, and of its column, summed (nats); states as for :meth:`loss`."""
        at = torch.arange(N_VISUAL, device=states.device).repeat(len(states))
        return _both(self.places, states.flatten(0, 1), at // GRID, at % GRID)

    def named_loss(self, states: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of a named item's row, and of its column, summed (nats); 0 where none is named.

        Parameters
        ----------
        states : torch.Tensor
            (B, S, 128) of the language model.
        named : torch.Tensor
            (M, 4) of a :class:`~analysis.visual_tokens.training.lesson.Lesson`.
        """
        return _both(self.named, states[named[:, 0], named[:, 1]], named[:, 2], named[:, 3])

    @torch.no_grad()
    def right(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Share of the patches that show something of a kind whose class is found, for each label: (5,)."""
        found = []
        for i, head in enumerate(self.heads):
            there = labels[:, i] > 0
            found.append((head(states).argmax(-1) == labels[:, i])[there].float().mean())
        return torch.stack(found)


def _both(
    heads: nn.ModuleList, states: torch.Tensor, row: torch.Tensor, column: torch.Tensor
) -> torch.Tensor:
    parts = (
        cross_entropy(head(states).float(), of, reduction="sum")
        for head, of in zip(heads, (row, column), strict=True)
    )
    return sum(parts, states.new_zeros(())) / max(1, len(states))


def answer_losses(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy of the answers' tokens, and of the ends after them, in nats."""
    each = cross_entropy(logits.float(), batch.targets, reduction="none")
    end = batch.is_end.to(each.dtype)  # no selection: a device would have to wait for its size
    return (each * (1 - end)).sum() / (1 - end).sum(), (each * end).sum() / end.sum()
