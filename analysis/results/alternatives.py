"""What a model would have said at one place, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.results.tokens import printable


def alternatives(ids: np.ndarray, log_probs: np.ndarray, came: int, names: Mapping[int, str]) -> pd.DataFrame:
    """The most likely tokens at one place.

    Parameters
    ----------
    ids : numpy.ndarray, int64, shape (k,)
        The tokens, best first.
    log_probs : numpy.ndarray, shape (k,)
        Their log-probabilities, nats.
    came : int
        Id of the token that came.
    names : mapping of int to str
        Readable name of each id.

    Returns
    -------
    pandas.DataFrame
        ``token``, ``came`` (whether it is the one) and ``probability`` in [0, 1].
    """
    return pd.DataFrame(
        {
            "token": [printable(names[int(i)]) for i in ids],
            "came": ids == came,
            "probability": np.exp(log_probs.astype(float)),
        }
    )


def equally_likely(entropy: float) -> float:
    """How many equally likely tokens are as uncertain as an entropy in nats: e to its power."""
    return math.exp(entropy)
