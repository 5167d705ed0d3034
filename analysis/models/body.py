"""Running a model's body, and hooks that are gone afterwards whatever happens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from analysis.errors import UnsupportedModelError


def first_tensor(output: Any) -> Tensor:
    """What a module returned, whether a tensor or a tuple that begins with one."""
    return output[0] if isinstance(output, (tuple, list)) else output


@contextmanager
def hooks() -> Iterator[list[Any]]:
    """Collect hook handles and remove every one of them, whatever happens."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


def run_body(model: Any, ids: Tensor, positions: Tensor | None = None, cache: Any = None) -> None:
    """Run the model up to the head's input, without the head.

    Parameters
    ----------
    model
        transformers' model.
    ids : Tensor, shape (B, n)
        Tokens.
    positions : Tensor, shape (B, n), optional
        Their positions; those after the cache by default. A model that counts positions itself gets none.
    cache : optional
        A cache of transformers that says how many tokens were read before; none by default.

    Raises
    ------
    UnsupportedModelError
        If a cache is given and the model takes none.
    """
    body = model.base_model
    takes = inspect.signature(body.forward).parameters
    if "input_ids" not in takes:  # a wrapper that hands everything on
        takes = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {}
    if positions is not None and "position_ids" in takes:
        extra["position_ids"] = positions
    if cache is not None:
        if "past_key_values" not in takes:
            raise UnsupportedModelError(
                f"{type(body).__name__} takes no cache of keys and values.", "Its cache cannot be pruned."
            )
        extra["past_key_values"] = cache
    body(input_ids=ids, use_cache=False, **extra)
