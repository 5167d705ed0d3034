"""Running a model's body, and hooks that are gone afterwards whatever happens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
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


CACHE_ARGUMENTS = ("past_key_values", "cache_params")
"""What models call the cache they are given; the second those that have a recurrence alone."""


def takes(model: Any) -> Mapping[str, inspect.Parameter]:
    """What a model's body takes."""
    found = inspect.signature(model.base_model.forward).parameters
    return (
        found if "input_ids" in found else inspect.signature(model.forward).parameters
    )  # a wrapper hands on


def run_body(
    model: Any,
    ids: Tensor,
    positions: Tensor | None = None,
    cache: Any = None,
    cache_argument: str = CACHE_ARGUMENTS[0],
) -> None:
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
    cache_argument : str
        One of :data:`CACHE_ARGUMENTS`.

    Raises
    ------
    UnsupportedModelError
        If a cache is given and the model takes none.
    """
    body = model.base_model
    taken = takes(model)
    extra: dict[str, Any] = {}
    if positions is not None and "position_ids" in taken:
        extra["position_ids"] = positions
    if cache is not None:
        if cache_argument not in taken:
            raise UnsupportedModelError(
                f"{type(body).__name__} takes no cache of keys and values.", "Its cache cannot be pruned."
            )
        extra[cache_argument] = cache
    body(input_ids=ids, use_cache=False, **extra)
