"""The layer at which matrix entropy collapses, over many texts or pictures: the rule, and its evidence. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEAST_DROP = 0.10
"""A collapse layer loses at least this share of its matrix entropy, in the median over texts."""
LEAST_AGREEING = 0.80
"""And at least this share of the texts lose most there, one layer more or less."""


@dataclass(frozen=True)
class CollapseLayer:
    """Where the matrix entropy of token states drops, over one or many texts or pictures."""

    names: tuple[str, ...]
    """The texts, or the pictures."""
    drop: np.ndarray
    """float64, (texts, L): share of the matrix entropy lost in block l + 1; below 0 where it rises, NaN where it was
    not measured."""
    candidate: int
    """Layer whose median drop is largest, 1 to L; 1 where nothing was measured."""
    agreeing: float
    """Share of the texts measured there that lose most there, one layer more or less."""
    of: str = "texts"
    """What they are, in the plural."""

    @property
    def median_drop(self) -> np.ndarray:
        """float64, (L,): median of the drop into layers 1 to L over the texts that were measured there, NaN without one."""
        return _medians(self.drop)

    @property
    def largest_drop(self) -> float:
        """Median over texts of the drop into the candidate."""
        return float(self.median_drop[self.candidate - 1])

    @property
    def n_measured(self) -> int:
        """Texts whose drop into the candidate was measured: those that count."""
        return int(np.isfinite(self.drop[:, self.candidate - 1]).sum())

    @property
    def left_out(self) -> str:
        """How many texts do not count, as a sentence with a blank before it; empty where all do."""
        missing = len(self.names) - self.n_measured
        return f" Not measured and left out: {missing} of {len(self.names)} {self.of}." if missing else ""

    @property
    def layer(self) -> int | None:
        """The collapse layer, or None where the rule finds none."""
        return None if self.reason else self.candidate

    @property
    def reason(self) -> str:
        """Why there is no collapse layer; empty if there is one."""
        if not self.n_measured:
            return f"none of the {self.of} was measured"
        if (self.median_drop < 0).all():  # not of a layer that was not measured
            return "matrix entropy, in the median, rises into every layer"
        if not self.largest_drop >= LEAST_DROP:
            return (
                f"the largest median drop is {100 * self.largest_drop:.1f} % (into layer {self.candidate}), "
                f"under {100 * LEAST_DROP:.0f} %"
            )
        if self.agreeing < LEAST_AGREEING:
            return (
                f"only {100 * self.agreeing:.0f} % of the {self.of} lose most within one layer of {self.candidate}, "
                f"under {100 * LEAST_AGREEING:.0f} %"
            )
        return ""

    def to_frame(self) -> pd.DataFrame:
        """One row per text and layer: ``text``, ``layer``, ``drop``."""
        import pandas as pd

        n_texts, n_layers = self.drop.shape
        return pd.DataFrame(
            {
                "text": np.repeat(self.names, n_layers),
                "layer": np.tile(np.arange(1, n_layers + 1), n_texts),
                "drop": self.drop.ravel(),
            }
        )


def collapse_of(entropies: Mapping[str, np.ndarray], *, into: int = 1, of: str = "texts") -> CollapseLayer:
    """Find the layer at which matrix entropy drops sharply, and the same one for all texts.

    Parameters
    ----------
    entropies : mapping of str to numpy.ndarray
        Of each text, its matrix entropy over the layers.
    into : {1, 2}
        Layer that the first drop is into: 1 where the first entropy is of what enters the layers, 2 where it is of
        the first layer's own states.
    of : str
        What the texts are, in the plural.

    Returns
    -------
    CollapseLayer
        With its evidence, also where there is no such layer.

        A text counts where it was measured, and nowhere else.

    Raises
    ------
    ValueError
        If there are none, or they are of models with different numbers of layers.

    Notes
    -----
    The drop is (S of layer l - 1 minus S of layer l) / S of layer l - 1, S the matrix entropy. The layer with the
    largest median drop is a collapse layer if that is at least 10 % and at least 80 % of the texts have their own
    largest drop there, one layer more or less. The idea of an entropy collapse layer is EntropyPrune's, whose
    detection code is not public; the rule is ours.
    """
    if not entropies:
        raise ValueError(f"there are no {of}")
    if len({len(entropy) for entropy in entropies.values()}) > 1:
        raise ValueError("the runs are of models with different numbers of layers")
    entropy = np.stack(list(entropies.values()))
    if entropy.shape[1] < 2:
        raise ValueError("a drop needs two layers")
    with np.errstate(invalid="ignore", divide="ignore"):
        drop = np.nan_to_num(1 - entropy[:, 1:] / entropy[:, :-1], nan=0.0, neginf=0.0, posinf=0.0)
    drop[np.isnan(entropy[:, 1:]) | np.isnan(entropy[:, :-1])] = np.nan
    candidate = int(_largest(_medians(drop)))
    there = drop[np.isfinite(drop[:, candidate])]
    agreeing = np.mean(np.abs(_largest(there) - candidate) <= 1) if len(there) else np.nan
    if into == 2:  # keep one entry per block 1 to L; nothing is before block 1
        drop, candidate = np.concatenate([np.zeros((len(drop), 1)), drop], axis=1), candidate + 1
    return CollapseLayer(tuple(entropies), drop, candidate + 1, float(agreeing), of)


def _medians(drop: np.ndarray) -> np.ndarray:
    """Median of every column without what is NaN; NaN where nothing else is there."""
    return np.array(
        [np.median(kept) if len(kept := column[~np.isnan(column)]) else np.nan for column in drop.T]
    )


def _largest(drop: np.ndarray) -> np.ndarray:
    """Number of the largest along the last axis, what is NaN left out; 0 where nothing else is there."""
    return np.argmax(np.where(np.isnan(drop), -np.inf, drop), axis=-1)
