"""Caches of transformers that hold no keys, but say how many tokens were read and keep recurrent states.

Keys and values of a context are kept by :class:`analysis.kv_cache.prefill.Prefix`. What else a model reads off
its cache is the number of tokens before (learned positions, position-dependent temperatures, masks) and, in
layers without attention, the state of their recurrence.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def _kind(base: type) -> type:
    """A cache of a kind that holds no keys."""

    class ReadCache(base):
        """Says that ``n_read`` tokens were read; recurrent layers keep their states as usual."""

        n_read = 0

        def get_seq_length(self, *_args: Any, **_kwargs: Any) -> int:
            return self.n_read

        def get_query_offset(self, *_args: Any, **_kwargs: Any) -> int:
            return self.n_read

        def get_mask_sizes(self, query_length: int, *_args: Any, **_kwargs: Any) -> tuple[int, int]:
            return self.n_read + query_length, 0

        def update(
            self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            return key_states, value_states

    return ReadCache


def special_cache(model: Any) -> type | None:
    """The cache class that a model's own file defines, where it does not use the library's common one."""
    from transformers import DynamicCache

    found = vars(sys.modules[type(model).__module__]).values()
    own = [x for x in found if isinstance(x, type) and issubclass(x, DynamicCache) and x is not DynamicCache]
    return own[0] if own else None


def read_cache(model: Any, n_read: int) -> Any:
    """A cache of which a model believes that so many tokens were read.

    Parameters
    ----------
    model
        transformers' model.
    n_read : int
        Tokens before those that are read with it.
    """
    from transformers import DynamicCache

    own = special_cache(model)
    found = _kind(DynamicCache)(config=model.config) if own is None else _kind(own)()
    found.n_read = n_read
    return found


def has_recurrence(found: Any) -> bool:
    """Whether layers of a cache keep the state of a recurrence."""
    return any(hasattr(layer, "recurrent_states") for layer in found.layers)


def rows_of(found: Any, chosen: Sequence[int]) -> Any:
    """A copy of a cache whose recurrent states are those of some rows of the batch, each as often as it is named."""
    new = copy.deepcopy(found)
    for layer in new.layers:
        for name in ("conv_states", "recurrent_states"):
            states = getattr(layer, name, {})
            for i, state in states.items():
                if state is not None:
                    states[i] = state[list(chosen)]
    return new


def state_bytes(found: Any) -> int:
    """Bytes of the recurrent states in a cache."""
    total = 0
    for layer in found.layers:
        for name in ("conv_states", "recurrent_states"):
            for state in getattr(layer, name, {}).values():
                total += state.numel() * state.element_size() if torch.is_tensor(state) else 0
    return total
