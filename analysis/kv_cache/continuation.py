"""What follows a context, for many prunings of its cache at once.

The context's keys and values exist once. Every setting is a row of the batch with its own mask over
them, so a sweep costs one prefill and one batched continuation. Keys keep their positions, and the
positions of what follows are passed explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_adapter import attending
from analysis.forward.read_cache import read_cache, rows_of
from analysis.kv_cache.eviction_attention import GeneratedCache, KeptAttention, Observer, Special
from analysis.kv_cache.prefill import Prefix
from analysis.models.body import first_tensor, hooks, run_body
from analysis.models.linear import fast_linears
from analysis.models.loading import LanguageModel


def run_continuation(
    model: LanguageModel,
    prefix: Prefix,
    ids: Tensor,
    keep: Tensor,
    *,
    special: dict[int, Special] | None = None,
    own: GeneratedCache | None = None,
    observe: Observer | None = None,
    watched: int | None = None,
    on_layer: Callable[[int], None] = lambda _layer: None,
) -> Tensor:
    """Final states of a continuation under every setting.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    prefix : Prefix
        From :func:`analysis.kv_cache.prefill.read_prefix` of the same model.
    ids : Tensor, int64, shape (m,) or (S, m)
        The continuation; the same for all settings, or one each.
    keep : Tensor of bool, shape (S, K, G, n)
        Context tokens that each setting, layer with attention and KV head still has.
    special : dict of int to Special, optional
        What rows of the batch do beyond hiding tokens.
    own : GeneratedCache, optional
        What was read after the context before; these tokens are added to it. Their positions go on.
    observe : callable, optional
        Sees the attention weights.
    watched : int, optional
        How many rows of the batch, from the first, it sees; all by default.
    on_layer : callable
        Called with the number of finished layers. Raising from it stops the pass.

    Returns
    -------
    Tensor, shape (S, m, D)
        After the final norm: row t predicts token t + 1 of the continuation.

    Notes
    -----
    The first token stands at position n, the context's full length, whatever was pruned. Layers without
    attention go on from the state that the whole context left: what was evicted is hidden from attention alone.
    """
    special = special or {}
    if prefix.recurrent is None:
        attention = _attention(prefix, keep, special, own, observe, watched)
        return _one_pass(model, prefix, ids, attention, own, on_layer)
    # A recurrence goes on from the state that the context left, one token at a time.
    if any(extra.active is not None for extra in special.values()):
        raise UnsupportedModelError("Layers that keep a state cannot be passed by.", "Choose another method.")
    own = own or GeneratedCache()
    if own.recurrent is None:
        own.recurrent = rows_of(prefix.recurrent, [0] * len(keep))
    states = []
    for t in range(ids.shape[-1]):
        attention = _attention(prefix, keep, special, own, observe, watched)
        states.append(_one_pass(model, prefix, ids[..., t : t + 1], attention, own, on_layer))
    return torch.cat(states, 1)


def _attention(
    prefix: Prefix,
    keep: Tensor,
    special: dict[int, Special],
    own: GeneratedCache | None,
    observe: Observer | None,
    watched: int | None,
) -> KeptAttention:
    watched = len(keep) if watched is None else watched
    return KeptAttention(
        prefix, keep.to(prefix.keys[0].device), special, own, observe, watched if observe else 0
    )


def _one_pass(
    model: LanguageModel,
    prefix: Prefix,
    ids: Tensor,
    attention: KeptAttention,
    own: GeneratedCache | None,
    on_layer: Callable[[int], None],
) -> Tensor:
    """Final states (S, m, D) of tokens that all settings read at once."""
    anatomy = model.anatomy
    device, n_settings, m = anatomy.head.weight.device, len(attention.keep), ids.shape[-1]
    n_own = own.n_tokens if own else 0
    special = attention.special
    begin = [special.get(row, Special()).start for row in range(n_settings)]
    start = torch.tensor([prefix.n_tokens if at is None else at for at in begin])
    attention.places = places = (start[:, None] + torch.arange(m) + n_own).to(device)
    recurrent = None if own is None else own.recurrent
    said = read_cache(model.model, 0) if recurrent is None else recurrent
    said.n_read = prefix.n_tokens + n_own
    with hooks() as handles:
        caught = anatomy.watch_final(handles)
        for i, layer in enumerate(anatomy.layers):
            if any(extra.active is not None for extra in special.values()):
                handles.append(layer.register_forward_hook(_bypass(i, special), with_kwargs=True))
            handles.append(layer.register_forward_hook(lambda _m, _a, _o, at=i: on_layer(at + 1)))
        with attending(model.model, anatomy, attention), fast_linears(model.model):
            run_body(model.model, ids.expand(n_settings, m).to(device), places, said)
    return caught["final"]


def _bypass(layer: int, special: dict[int, Special]) -> Callable[..., Any]:
    """Hook that hands tokens past a layer: what leaves it for them is what came in."""

    def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        states = first_tensor(output)
        for row, extra in special.items():
            if extra.active is not None and not extra.active[layer].all():
                before = args[0] if args else kwargs["hidden_states"]
                runs = extra.active[layer][:, None].to(states.device)
                states[row] = torch.where(runs, states[row], before[row])

    return hook


class ContextAttention:
    """Attention that the first row of a batch pays to every context token; an :data:`Observer`."""

    def __init__(self, prefix: Prefix) -> None:
        self._sums = torch.zeros(
            len(prefix.keys), prefix.keys[0].shape[0], prefix.n_tokens, dtype=torch.float64
        )
        self._heads = 1

    def __call__(self, layer: int, group: int, rows: slice, old: Tensor, _new: Tensor) -> None:
        """Add one layer and KV head."""
        if rows.start == 0:
            self._heads = old.shape[1]
            self._sums[layer, group] += old[0].double().sum((0, 1)).cpu()

    def received(self, m: int) -> np.ndarray:
        """Mean over m queries and the heads of the group, float64, (L, G, n)."""
        return (self._sums / (m * self._heads)).numpy()


def compacted(prefix: Prefix, keep: Tensor) -> Special:
    """Kept keys turned to the positions they have among themselves; what follows goes on from there.

    Parameters
    ----------
    prefix : Prefix
        Without sliding windows, and with known rotary positions where there are any.
    keep : Tensor of bool, shape (L, G, n)
        Equally many tokens for every layer and KV head.

    Notes
    -----
    A key is turned back from its position and forth to its rank, both with the model's own tables.
    """
    counts = keep.sum(-1)
    n_kept = int(counts[0, 0])
    if not bool((counts == n_kept).all()):
        raise ValueError("positions within the cache need equally many tokens in every layer and KV head")
    keys = []
    for layer, (before, rotation) in enumerate(zip(prefix.keys, prefix.rotations, strict=True)):
        if rotation is None:
            keys.append(before)
            continue
        rank = (keep[layer].long().cumsum(-1) - 1).clamp(min=0)
        keys.append(rotation.move(before, torch.arange(prefix.n_tokens), rank.cpu()))
    return Special(start=n_kept, keys=keys)
