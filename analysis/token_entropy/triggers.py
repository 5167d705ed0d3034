"""Where SRGen would stop to think, as a list."""

from __future__ import annotations

import numpy as np

from analysis.token_entropy.measures import moving_threshold, triggers


def trigger_positions(entropy: np.ndarray, window: int, factor: float) -> list[int] | None:
    """Tokens above the moving threshold, in order; None where no token has a threshold.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        Nats.
    window, factor
        As for :func:`~.measures.moving_threshold`.
    """
    threshold = moving_threshold(entropy, window, factor)
    if np.isnan(threshold).all():
        return None
    return [int(t) for t in np.flatnonzero(triggers(entropy, threshold))]
