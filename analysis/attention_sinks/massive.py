"""What one pass says about massive activations and drained values, and the rules for both. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MASSIVE, TIMES_MEDIAN, RATIO_ONLY = 100.0, 1000.0, 100.0
"""Absolute rule: above the first and at least so many medians; ratio rule: at least so many medians."""


@dataclass(frozen=True, eq=False)
class Extremes:
    """Extreme activations and values of one run; l = 0 is what enters block 1, l after block l."""

    token: np.ndarray
    """int64, (L + 1, 3): where the largest activations of each layer are, largest first."""
    dimension: np.ndarray
    """int64, (L + 1, 3): in which dimension of the residual stream."""
    value: np.ndarray
    """float32, (L + 1, 3): the activations, with their sign, before the final norm."""
    median: np.ndarray
    """float32, (L + 1,): median size of all T D activations, the lower of the two in the middle."""
    value_out_norm: np.ndarray | None
    """float32, (K, H, T), of the K layers with attention: norm of a token's value after its head's part of the output projection."""
    unavailable: str = ""
    """Why ``value_out_norm`` is missing."""

    @property
    def massive(self) -> np.ndarray:
        """bool, (L + 1, 3): above 100 and at least 1000 times the layer's median."""
        return is_massive(self.value, self.median)

    @property
    def massive_by_ratio(self) -> np.ndarray:
        """bool, (L + 1, 3): at least 100 times the layer's median, however small that is."""
        return is_massive_by_ratio(self.value, self.median)

    @property
    def largest(self) -> tuple[int, int, float]:
        """Layer and place of the largest activation of all, and how many medians of its layer it is."""
        layer, place = np.unravel_index(int(np.abs(self.value).argmax()), self.value.shape)
        times = abs(float(self.value[layer, place])) / max(float(self.median[layer]), 1e-12)
        return int(layer), int(place), times

    def to_frame(self) -> pd.DataFrame:
        """One row per layer and place, ``times_median`` infinite where the median is 0."""
        n_layers, top = self.value.shape
        median = np.repeat(self.median, top).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.abs(self.value.ravel()) / median
        return pd.DataFrame(
            {
                "layer": np.repeat(np.arange(n_layers), top),
                "place": np.tile(np.arange(1, top + 1), n_layers),
                "token": self.token.ravel(),
                "dimension": self.dimension.ravel(),
                "value": self.value.ravel().astype(float),
                "median": median,
                "times_median": times,
                "massive": self.massive.ravel(),
                "massive_by_ratio": self.massive_by_ratio.ravel(),
            }
        )


def is_massive(value: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Absolute rule for massive activations.

    Parameters
    ----------
    value : numpy.ndarray, shape (L, n)
        Activations.
    median : numpy.ndarray, shape (L,)
        Median size of each layer's activations.

    Returns
    -------
    numpy.ndarray of bool, shape (L, n)

    References
    ----------
    Sun et al. 2024, arXiv:2402.17762: above 100 and around 1000 times the median or more.
    """
    return (np.abs(value) > MASSIVE) & (np.abs(value) >= TIMES_MEDIAN * median[:, None])


def is_massive_by_ratio(value: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Ratio rule, for small models that never reach 100; parameters as :func:`is_massive`."""
    return (np.abs(value) > 0) & (np.abs(value) >= RATIO_ONLY * median[:, None])


def output_drain(extremes: Extremes) -> np.ndarray:
    """Norm of token 0's projected value over the median of the others'; below 1 is drained.

    Returns
    -------
    numpy.ndarray, shape (K, H)

    Raises
    ------
    ValueError
        If the norms are not available or there is no other token.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835 (Active-Dormant Attention Heads).
    """
    norms = extremes.value_out_norm
    if norms is None or norms.shape[2] < 2:
        raise ValueError(extremes.unavailable or "there is no other token to compare with")
    others = np.median(norms[:, :, 1:], axis=2)
    return norms[:, :, 0] / np.maximum(others, 1e-12)


def output_drain_range(extremes: Extremes) -> tuple[float, float]:
    """Smallest and largest, over layers, of the median over heads of :func:`output_drain` of token 0."""
    by_layer = np.median(output_drain(extremes), axis=1)
    return float(by_layer.min()), float(by_layer.max())
