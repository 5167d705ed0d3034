"""A decoder small enough to watch: one head a layer, and everything the head does on record."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.entropy_collapse.labs.backcopy.results import Attention

_WIDER = 4
"""Width of the MLP over the width of the model, as in the source."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What one layer's head did, for n sequences of T tokens."""

    scores: Tensor
    """(n, T, T): ``q k / sqrt(D)``, not masked."""
    weights: Tensor
    """(n, T, T): row i weighs keys 0 to i; softmax rows sum to 1, ReLU rows to anything."""
    key: Tensor
    """(n, T, D)."""
    value: Tensor
    """(n, T, D)."""


def attend(query: Tensor, key: Tensor, kind: Attention) -> tuple[Tensor, Tensor]:
    """Scores and causal weights of one head.

    Parameters
    ----------
    query, key : Tensor, shape (n, T, D)
        Of every token.
    kind : {"softmax", "relu"}
        How a score becomes a weight.

    Returns
    -------
    tuple of Tensor, each of shape (n, T, T)
        Scores before the mask, and weights: 0 where the key comes after the query.

    Notes
    -----
    ReLU attention is ``relu(score) / (i + 1)`` for query i, counted from 0: nothing makes a row sum to 1,
    so a head may rest by giving weight to no key at all.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835; ReLU attention: Wortsman et al. 2023, arXiv:2309.08586.
    """
    n_tokens = query.shape[1]
    scores = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5
    later = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=query.device).triu(1)
    if kind == "softmax":
        return scores, scores.masked_fill(later, -torch.inf).softmax(-1)
    visible = torch.arange(1, n_tokens + 1, dtype=scores.dtype, device=query.device)[:, None]
    return scores, functional.relu(scores).masked_fill(later, 0.0) / visible


class _Block(nn.Module):
    """Pre-LN attention and MLP, without biases."""

    def __init__(self, width: int, kind: Attention, generator: torch.Generator) -> None:
        super().__init__()
        self.kind: Attention = kind
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (_weight(width, width, generator) for _ in range(3))
        self.up = _weight(_WIDER * width, width, generator)
        self.output = _weight(width, width, generator)
        self.down = _weight(width, _WIDER * width, generator)

    def forward(self, state: Tensor, seen: list[Seen] | None) -> Tensor:
        x = self.norm_attention(state)
        query, key, value = (functional.linear(x, w) for w in (self.query, self.key, self.value))
        scores, weights = attend(query, key, self.kind)
        if seen is not None:
            seen.append(Seen(scores, weights, key, value))
        state = state + functional.linear(weights @ value, self.output)
        return state + functional.linear(
            functional.relu(functional.linear(self.norm_mlp(state), self.up)), self.down
        )


def _weight(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Uniform within 1 / sqrt(columns), as PyTorch begins a linear layer, from this generator alone."""
    return nn.Parameter((2 * torch.rand(rows, columns, generator=generator) - 1) * columns**-0.5)


def _vectors(n: int, width: int, generator: torch.Generator) -> nn.Parameter:
    """Standard normal, as PyTorch begins an embedding."""
    return nn.Parameter(torch.randn(n, width, generator=generator))


class Decoder(nn.Module):
    """Pre-LN decoder with one head, learned positions, a ReLU MLP and a head of its own.

    Parameters
    ----------
    n_tokens : int
        Size of the vocabulary.
    length : int
        Longest sequence.
    width, n_layers : int
        D and L.
    kind : {"softmax", "relu"}
        Attention.
    generator : torch.Generator
        Where the first weights come from.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835, section 2.
    """

    def __init__(
        self,
        n_tokens: int,
        length: int,
        width: int,
        n_layers: int,
        kind: Attention,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.embedding = _vectors(n_tokens, width, generator)
        self.positions = _vectors(length, width, generator)
        self.blocks = nn.ModuleList(_Block(width, kind, generator) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.head = _weight(n_tokens, width, generator)

    def forward(
        self, ids: Tensor, seen: list[Seen] | None = None, states: list[Tensor] | None = None
    ) -> Tensor:
        """Logits of the next token, (n, T, V), for ids of (n, T).

        Parameters
        ----------
        ids : Tensor of int64, shape (n, T)
            Sequences.
        seen : list, optional
            Gets what every layer's head did.
        states : list, optional
            Gets L + 1 tensors (n, T, D): what enters block 1, then the state after every block.
        """
        state = functional.embedding(ids, self.embedding) + self.positions[: ids.shape[1]]
        if states is not None:
            states.append(state)
        for block in self.blocks:
            state = block(state, seen)
            if states is not None:
                states.append(state)
        return functional.linear(self.norm(state), self.head)
