"""How many visual tokens stay: after pruning, on average over layers, and what cannot be had."""

from __future__ import annotations

from collections.abc import Sequence


def average_kept(counts: Sequence[int]) -> float:
    """Visual tokens of a layer on average.

    Parameters
    ----------
    counts : sequence of int
        Visual tokens that each layer of the language model sees; merged and recycled ones count.
    """
    return sum(counts) / len(counts)


def counts_after(n: int, kept: int, layer: int, n_layers: int) -> list[int]:
    """Visual tokens of each layer: all n before layer l, ``kept`` from there on."""
    return [n] * layer + [kept] * (n_layers - layer)


def kept_for_average(n: int, average: float, layer: int, n_layers: int) -> int | None:
    """Return how many must stay from layer l on so that layers see this many on average.

    Papers quote averages over layers for methods that prune late, and counts for those that prune before the
    language model; only one of the two may be compared.

    Parameters
    ----------
    n : int
        Visual tokens of the image.
    average : float
        Tokens a layer.
    layer : int
        l, the first layer that sees fewer.
    n_layers : int

    Returns
    -------
    int or None
        ``None`` where it cannot be: layers before l alone see more than that on average, or more than n
        would have to stay.
    """
    if layer >= n_layers:
        return None
    exact = (n_layers * average - layer * n) / (n_layers - layer)
    kept = int(exact + 0.5)
    return kept if exact >= 0 and kept <= n else None


def least_average(n: int, layer: int, n_layers: int) -> float:
    """Return the average that remains when nothing stays from layer l on: l n / L."""
    return layer * n / n_layers
