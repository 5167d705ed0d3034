"""What a page says in words about an answer: where one written token looked, and what is known of one visual token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

_HALF = 0.5
Share = TypeVar("Share", float, np.ndarray)


@dataclass(frozen=True)
class AttentionFinding:
    """Where one written token's attention went, mean over the chosen layers and heads; shares of all its attention."""

    picture: float
    """On all visual tokens."""
    text: float
    """On text, the first position included."""
    first: float
    """On position 0, where a sink mostly is."""
    apart: tuple[float, float]
    """On visual tokens and on text, position 0 left out of the one that it is."""
    strongest: tuple[tuple[int, float], ...]
    """Visual tokens that got most, with their shares, most first; sinks are left out."""
    sinks: float
    """On visual tokens that are sinks, part of ``picture``."""
    n_half: int
    """How few visual tokens get half of what all of them get."""
    even: float
    """Share of each visual token if all of them got the same."""


@dataclass(frozen=True)
class AnswerFinding:
    """An answer as a whole."""

    probability: float
    """Of all written tokens, the end among them."""
    entropy: float
    """Mean over the written tokens, nats."""
    picture: float
    """Share of attention on visual tokens, mean over written tokens, layers and heads."""
    mdi: float
    """Modality dominance index without position 0: mean over written tokens, median over layers."""


@dataclass(frozen=True)
class PatchFinding:
    """What is known of one visual token."""

    weight: float
    """What the chosen written token gives it."""
    rank: int
    """Its place among all visual tokens by that, from 1."""
    layer: int
    """Layer in which the written token gives it most, mean over heads."""
    layer_weight: float
    sink_layers: int
    """Layers in which it is a sink by attention."""
    massive_layers: int
    """Layers in which it is a sink by its state."""


def attention_finding(
    a: VisualAnswer, token: int, layer: int | None = None, head: int | None = None, n: int = 3
) -> AttentionFinding:
    """Sum up where a written token looks.

    Parameters
    ----------
    a : VisualAnswer
    token : int
        Number of the written token.
    layer, head : int, optional
        As for :meth:`analysis.visual_tokens.results.Looking.on_picture`.
    n : int
        Visual tokens that are named.
    """
    looking = a.looking
    weights = looking.on_picture(token, layer, head).astype(np.float64)
    sink = sink_patches(a, layer)
    free = np.where(sink, -1.0, weights)
    order = np.argsort(-free, kind="stable")[:n]
    falling = np.cumsum(np.sort(weights)[::-1])
    total = float(weights.sum())
    text, first = (_mean(x, token, layer, head) for x in (looking.share_text, looking.share_first))
    return AttentionFinding(
        picture=total,
        text=text,
        first=first,
        apart=without_first(a, total, text, first),
        strongest=tuple((int(i), float(weights[i])) for i in order if not sink[i]),
        sinks=float(weights[sink].sum()),
        n_half=int(np.searchsorted(falling, _HALF * total) + 1),
        even=total / len(weights),
    )


def without_first(a: VisualAnswer, visual: Share, text: Share, first: Share) -> tuple[Share, Share]:
    """Shares on visual tokens and on text without position 0, which is a visual token in models without a start."""
    return (visual - first, text) if a.prompt.kind[0] == "image" else (visual, text - first)


def sink_patches(a: VisualAnswer, layer: int | None = None) -> np.ndarray:
    """Visual tokens that are sinks by attention, (N,) of bool: in a layer, or in at least half of the layers."""
    attended = a.looking.attended
    return np.asarray(attended[layer] if layer is not None else attended.mean(0) >= _HALF)


def strongest_patch(a: VisualAnswer, token: int, layer: int | None = None, head: int | None = None) -> int:
    """The visual token that a written token gives most, sinks left out."""
    strongest = attention_finding(a, token, layer, head, 1).strongest
    return strongest[0][0] if strongest else 0


def patch_finding(
    a: VisualAnswer, patch: int, token: int, layer: int | None = None, head: int | None = None
) -> PatchFinding:
    """Sum up what is known of a visual token and what a written token gives it."""
    weights = a.looking.on_picture(token, layer, head)
    over_layers = a.looking.mean[token, :, patch]
    best = int(over_layers.argmax())
    return PatchFinding(
        weight=float(weights[patch]),
        rank=int((weights > weights[patch]).sum()) + 1,
        layer=best,
        layer_weight=float(over_layers[best]),
        sink_layers=int(a.looking.attended[:, patch].sum()),
        massive_layers=int(a.layers.massive[:, patch].sum()),
    )


def answer_finding(a: VisualAnswer) -> AnswerFinding:
    """Sum up the answer as a whole."""
    tokens, looking = a.tokens, a.looking
    return AnswerFinding(
        probability=float(np.exp(-tokens.surprisal.sum(dtype=np.float64))),
        entropy=float(tokens.entropy.mean(dtype=np.float64)),
        picture=float(looking.share_visual.mean(dtype=np.float64)),
        mdi=float(np.median(looking.mdi_without_first.mean(0))),
    )


def _mean(shares: np.ndarray, token: int, layer: int | None, head: int | None) -> float:
    part = shares[token] if layer is None else shares[token, layer : layer + 1]
    return float((part if head is None else part[:, head : head + 1]).mean(dtype=np.float64))
