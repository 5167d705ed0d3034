"""Deep-thinking tokens: those whose prediction settles only in the last layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited

if TYPE_CHECKING:
    import pandas as pd

SOURCE = f"Think Deep, Not Just Long: deep-thinking tokens, {cited('deep_thinking')}."
KNOWN = (
    "Paper's equations, by secondary sources; no code was read. Its algorithm prints another border than its equation; the "
    "equation's is taken. Whether layers are read through the final norm, and the base of the divergence, are not known: "
    "here they are, and it is in nats, at most ln 2 = 0.693."
)
NOT_STORED = (
    "A run keeps the divergence of the output from each layer (KL) and not the symmetric one that the rule needs "
    "(Jensen-Shannon), and neither follows from the other."
)
"""Why the lens of a stored run is not enough."""
THRESHOLD = 0.5
"""A prediction has settled once its divergence from the output was at most this, in nats."""
DEPTH = 0.85
"""Share of the layers after which settling is late."""


@dataclass(frozen=True)
class DeepThinking:
    """Where each token's prediction settles."""

    layer: np.ndarray
    """int64, (T,): first layer, from 1 to L, whose divergence is at most the threshold; 0 without context."""
    n_layers: int
    """L."""
    threshold: float = THRESHOLD
    depth: float = DEPTH
    source: str = SOURCE
    known: str = KNOWN

    @property
    def first_late(self) -> int:
        """``ceil(depth * L)``: a token that settles from here on is a deep-thinking one."""
        return ceil(round(self.depth * self.n_layers, 9))

    @property
    def deep(self) -> np.ndarray:
        """bool, (T,)."""
        return self.layer >= self.first_late

    @property
    def positions(self) -> tuple[int, ...]:
        """Deep-thinking tokens, in order."""
        return tuple(int(t) for t in np.flatnonzero(self.deep))

    @property
    def share(self) -> float:
        """Share of the tokens with a context that are deep-thinking ones, the paper's deep-thinking ratio."""
        return float(self.deep.sum() / (self.layer > 0).sum())

    def to_frame(self) -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        columns = {"settling_layer": self.layer, "deep": self.deep}
        return pd.DataFrame({"position": np.arange(len(self.layer)), **columns})


def deep_thinking(divergence: np.ndarray, threshold: float = THRESHOLD, depth: float = DEPTH) -> DeepThinking:
    """Settling layers from the divergence of every layer's prediction from the output's.

    Parameters
    ----------
    divergence : numpy.ndarray, shape (L, T)
        Jensen-Shannon divergence in nats, layers 1 to L, see
        :func:`analysis.writing.layer_divergence.layer_divergence`; NaN columns have no context.
    threshold, depth : float
        The rule's constants.

    Raises
    ------
    AnalysisError
        If no token has a context.

    Notes
    -----
    The first layer at which the running minimum is at most the threshold is the first at which the divergence is. The
    last layer is the output: its divergence is 0.
    """
    known = ~np.isnan(divergence).any(0)
    if not known.any():
        raise AnalysisError("No token has a context.", "Take a text of two tokens or more.")
    if not threshold >= 0:
        raise AnalysisError(f"A threshold of {threshold:g} nats is none.", "Choose one from 0 to 0.69.")
    settled = divergence <= threshold
    settled[-1] = True
    return DeepThinking(np.where(known, settled.argmax(0) + 1, 0), len(divergence), threshold, depth)
