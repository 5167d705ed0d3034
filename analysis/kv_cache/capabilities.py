"""What a model's attention is like, as far as pruning its cache is concerned: seen on a few tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.forward.attention_probe import plain_states, state_difference
from analysis.forward.read_cache import read_cache, special_cache
from analysis.forward.visibility import CAUSAL, AttentionSpan
from analysis.kv_cache.continuation import run_continuation
from analysis.kv_cache.layer_view import LayerView
from analysis.kv_cache.prefill import Prefix, read_prefix
from analysis.kv_cache.rotary import Layout, layout_of
from analysis.models.body import run_body
from analysis.models.loading import LanguageModel

_PROBE = (1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9)
"""Ids of a short text."""
_REPEATED = slice(2, 6)
_BEFORE = 8
"""Tokens of it that are read first; the others follow them."""
_OTHER_RESULT = 0.03
"""From this share of a state on, reading a text in two parts is another computation, not another rounding."""
_FAR = 1 << 20
"""More tokens than any scale of positions starts at."""


@dataclass(frozen=True, eq=False)
class CacheFacts:
    """What the attention of a model is like."""

    layout: Layout | None
    """How keys are turned; None without rotary positions, or where it is not known."""
    has_tables: bool
    """Whether any layer gets cosines and sines."""
    spans: frozenset[AttentionSpan]
    """Windows and chunks that its layers see; empty where all see everything before them."""
    softcap: bool
    n_layers: int
    """Layers that have attention."""
    recurrent: bool
    """Whether layers keep the state of a recurrence instead of, or beside, keys."""
    step_error: float
    """How far reading on after a context is from one plain pass, as a share of the largest state."""
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


def cache_facts(model: LanguageModel) -> CacheFacts:
    """See on a few tokens what a model's attention is like; seen once per model.

    Raises
    ------
    UnsupportedModelError
        If its attention cannot be measured, or it does not go on after a context as it reads one whole text.

    Notes
    -----
    The first layer's keys of a repeated token are equal but for their positions.
    """
    if CacheFacts in model.found:
        return model.found[CacheFacts]
    if special_cache(model.model) is not None:
        raise UnsupportedModelError(
            f"{model.info.name} keeps its state in a cache of its own kind.",
            "Its cache cannot be pruned here.",
        )
    layouts: list[Layout | None] = []
    seen: list[tuple[nn.Module, int, int, AttentionSpan, float | None]] = []

    def observe(view: LayerView) -> None:
        if view.rotation is not None and not layouts:
            tables = (table[_REPEATED] for table in (view.rotation.cos, view.rotation.sin))
            layouts.append(layout_of(view.key[:, _REPEATED], *tables))
        size = view.query.shape[0], view.value.shape[-1]
        seen.append((view.module, *size, view.span, view.softcap))

    with model.held("while its attention was probed"):
        ids = torch.tensor(_PROBE) % model.info.vocab_size
        prefix = read_prefix(model, ids[:_BEFORE], observe, layout="halves")
        step_error = _step_error(model, prefix, ids)
    facts = CacheFacts(
        layout=layouts[0] if layouts else None,
        has_tables=bool(layouts),
        spans=frozenset(span for *_, span, _cap in seen if span != CAUSAL),
        softcap=any(cap is not None for *_, cap in seen),
        n_layers=len(prefix.keys),
        recurrent=prefix.recurrent is not None,
        step_error=step_error,
        first=seen[0][0],
        n_heads=seen[0][1],
        value_size=seen[0][2],
    )
    model.found[CacheFacts] = facts
    return facts


def _step_error(model: LanguageModel, prefix: Prefix, ids: Tensor) -> float:
    """Read on after a few tokens, nothing evicted, and read all of them in one plain pass."""
    n = prefix.n_tokens
    keep = torch.ones(1, len(prefix.keys), prefix.keys[0].shape[0], n, dtype=torch.bool)
    ours = run_continuation(model, prefix, ids[n:], keep)[0].float()
    plain = plain_states(model, ids)[n:]
    error = state_difference(model, ours, plain)
    if not error <= _OTHER_RESULT:
        raise UnsupportedModelError(
            f"What {model.info.name} makes of a text differs by {error:.2g} of a state when it is read in two parts: "
            "its layers keep something that is not in its cache.",
            "Its cache cannot be pruned here.",
        )
    return error


@dataclass(frozen=True)
class _Counting:
    """What :func:`counts_positions` saw."""

    by_cache: bool


def counts_positions(model: LanguageModel) -> bool:
    """Whether positions are counted from the length of the cache, whatever positions are given; seen once per model.

    Parameters
    ----------
    model : LanguageModel
        One whose :func:`cache_facts` are known.

    Notes
    -----
    Then queries change when only the number of tokens that were read before does.
    """
    if _Counting not in model.found:
        with model.held("while its attention was probed"):
            model.found[_Counting] = _Counting(_far_is_another(model))
    return bool(model.found[_Counting].by_cache)


def _far_is_another(model: LanguageModel) -> bool:
    """Read a few tokens after none and after very many that are not there, at the same positions."""
    queries: list[list[Tensor]] = []
    device = model.anatomy.head.weight.device
    ids = (torch.tensor(_PROBE[:_BEFORE]) % model.info.vocab_size).to(device)
    places = torch.arange(len(ids), device=device)[None]
    for n_read in (0, _FAR):
        queries.append([])

        def take(call: AttentionCall) -> Tensor:
            queries[-1].append(call.query)
            heads, groups = call.query.shape[1], call.value.shape[1]
            return call.value.repeat_interleave(heads // groups, 1)

        try:
            with attending(model.model, model.anatomy, take):
                run_body(model.model, ids[None], places, read_cache(model.model, n_read))
        except (IndexError, RuntimeError):  # learned positions end somewhere
            return True
    return any(not torch.equal(near, far) for near, far in zip(*queries, strict=True))
