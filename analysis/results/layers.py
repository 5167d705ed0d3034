"""What one run says about the layers. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.results.spectra import effective_rank, renyi_entropy
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

SPECTRUM_FIELDS = {
    "states": "spectrum",
    "query": "query_spectrum",
    "key": "key_spectrum",
    "value": "value_spectrum",
}
"""Where :class:`LayerTrace` keeps the spectra of each kind of states."""


@dataclass(frozen=True)
class LayerTrace:
    """Layer 0 is what enters block 1; layer l is the state after block l, before the final norm.

    The lens parts are None when the lens was not asked for: it costs one vocabulary
    head per layer, more than the whole forward.
    """

    residual_norm: np.ndarray
    """float32, (L + 1, T): Euclidean norm of the state at token t."""
    spectrum: np.ndarray | None = None
    """float64, (2, L + 1, n), n the smaller of T and D: eigenvalues of the covariance of the centred,
    row-normalised token states as shares of their sum, falling; first of all tokens, then without token 0."""
    query_spectrum: np.ndarray | None = None
    """float64, (2, L, n): of the queries that block l compares (all heads side by side, after positions)."""
    key_spectrum: np.ndarray | None = None
    """float64, (2, L, n): of its keys."""
    value_spectrum: np.ndarray | None = None
    """float64, (2, L, n): of its values."""
    curvature: np.ndarray | None = None
    """float64, (2, L + 1), radians: mean angle between consecutive steps of the state along the text,
    of the steps that have a length: a token repeated right away makes none at layer 0."""
    lens_layers: np.ndarray | None = None
    """int32, (n,), rising: layers the lens was read at; the last is always L."""
    lens_entropy: np.ndarray | None = None
    """float32, (n, T), nats: entry t comes from the state that predicted token t."""
    lens_kl: np.ndarray | None = None
    """float32, (n, T), nats: KL(output || lens of the layer)."""
    lens_top_ids: np.ndarray | None = None
    """int64, (n, T): the token the layer would say; -1 without context."""
    lens_rank: np.ndarray | None = None
    """int32, (n, T): rank of the token that came in what the layer would say; 0 without context. Since format 3."""

    @property
    def n_layers(self) -> int:
        """Number of blocks L."""
        return len(self.residual_norm) - 1

    @property
    def matrix_entropy(self) -> np.ndarray | None:
        """float64, (L + 1,), nats: of order 1, all tokens; None without spectra."""
        return None if self.spectrum is None else renyi_entropy(self.spectrum[0])

    @property
    def effective_rank(self) -> np.ndarray | None:
        """float64, (L + 1,): exp of :attr:`matrix_entropy`; None without spectra."""
        return None if self.spectrum is None else effective_rank(self.spectrum[0])

    def lens_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """Tidy table of the lens, one row per layer and token.

        Raises
        ------
        ValueError
            If the lens was not asked for.
        """
        if self.lens_layers is None or self.lens_entropy is None or self.lens_kl is None:
            raise ValueError("the lens was not asked for: trace(..., lens=True)")
        n, n_tokens = self.lens_entropy.shape
        import pandas as pd

        rank = {} if self.lens_rank is None else {"lens_rank": self.lens_rank.ravel()}
        return pd.DataFrame(
            {
                "layer": np.repeat(self.lens_layers, n_tokens),
                "position": np.tile(np.arange(n_tokens), n),
                f"lens_entropy_{unit}": from_nats(self.lens_entropy.astype(float).ravel(), unit),
                f"lens_kl_{unit}": from_nats(self.lens_kl.astype(float).ravel(), unit),
                **rank,
            }
        )
