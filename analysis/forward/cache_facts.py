"""What a model's attention is like, as far as pruning its cache is concerned: seen on a few tokens."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn

from analysis.forward.prefix import LayerReading, read_prefix
from analysis.forward.rotation import Layout, layout_of
from analysis.models.loading import LanguageModel

_PROBE_TOKENS = 6


@dataclass(frozen=True, eq=False)
class CacheFacts:
    """What the attention of a model is like."""

    layout: Layout | None
    """How keys are turned; None without rotary positions, or where it is not known."""
    has_tables: bool
    """Whether any layer gets cosines and sines."""
    windows: frozenset[int]
    """Lengths of its sliding windows."""
    softcap: bool
    first: nn.Module
    """Attention module of the first layer."""
    n_heads: int
    value_size: int

    @property
    def no_layout(self) -> str:
        """Why keys cannot be turned."""
        if self.has_tables:
            return "How it turns its keys by position is not known."
        return "It has no rotary positions, so a key cannot be moved to another one."


_FACTS: WeakKeyDictionary[LanguageModel, CacheFacts] = WeakKeyDictionary()


def cache_facts(model: LanguageModel) -> CacheFacts:
    """See on one repeated token what a model's attention is like; seen once per model.

    Every token of such a text is alike, so all keys of a layer are equal but for their positions.
    """
    if model in _FACTS:
        return _FACTS[model]
    ids = torch.full((_PROBE_TOKENS,), 1, dtype=torch.int64)
    layouts: list[Layout | None] = []
    seen: list[tuple[nn.Module, int, int, int | None, float | None]] = []

    def look(reading: LayerReading) -> None:
        if reading.rotation is not None and not layouts:
            layouts.append(layout_of(reading.key, reading.rotation.cos, reading.rotation.sin))
        size = reading.query.shape[0], reading.value.shape[-1]
        seen.append((reading.module, *size, reading.window, reading.softcap))

    with model.lock, torch.inference_mode():
        read_prefix(model, ids, look, layout="halves")
    _FACTS[model] = CacheFacts(
        layout=layouts[0] if layouts else None,
        has_tables=bool(layouts),
        windows=frozenset(window for *_, window, _cap in seen if window is not None),
        softcap=any(cap is not None for *_, cap in seen),
        first=seen[0][0],
        n_heads=seen[0][1],
        value_size=seen[0][2],
    )
    return _FACTS[model]
