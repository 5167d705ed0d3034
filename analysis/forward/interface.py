"""Letting a model of transformers attend through a function of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from analysis.errors import UnsupportedModelError


def require_plain(
    module: nn.Module, mask: Tensor | None, query: Tensor, key: Tensor, hint: str, *, rows: int = 1
) -> None:
    """Refuse a layer that brings a mask, other rows than ours, or keys of another cache into attention of ours."""
    if mask is not None or query.shape[0] != rows or query.shape[2] != key.shape[2]:
        raise UnsupportedModelError(f"{type(module).__name__} asked for an attention mask of its own.", hint)


@contextmanager
def own_attention(model: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let a model attend through a function of ours; its own implementation comes back afterwards.

    No mask is registered under the name, so transformers makes none: the function hides keys itself.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(name, function)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = name
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]
