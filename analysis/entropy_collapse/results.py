"""What one run says about the layers. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.units import Unit, from_nats


@dataclass(frozen=True)
class LayerTrace:
    """Layer 0 is what enters block 1; layer l is the state after block l, before the final norm.

    The lens parts are None when the lens was not asked for: it costs one vocabulary
    head per layer, more than the whole forward.
    """

    residual_norm: np.ndarray
    """float32, (L + 1, T): Euclidean norm of the state at token t."""
    lens_layers: np.ndarray | None = None
    """int32, (n,), rising: layers the lens was read at; the last is always L."""
    lens_entropy: np.ndarray | None = None
    """float32, (n, T), nats: entry t comes from the state that predicted token t."""
    lens_kl: np.ndarray | None = None
    """float32, (n, T), nats: KL(output || lens of the layer)."""
    lens_top_ids: np.ndarray | None = None
    """int64, (n, T): the token the layer would say; -1 without context."""

    @property
    def n_layers(self) -> int:
        """Number of blocks L."""
        return len(self.residual_norm) - 1

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
        return pd.DataFrame(
            {
                "layer": np.repeat(self.lens_layers, n_tokens),
                "position": np.tile(np.arange(n_tokens), n),
                f"lens_entropy_{unit}": from_nats(self.lens_entropy.astype(float).ravel(), unit),
                f"lens_kl_{unit}": from_nats(self.lens_kl.astype(float).ravel(), unit),
            }
        )
