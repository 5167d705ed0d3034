"""In which order two samplers choose, and where they stop: locally typical sampling and Top-H."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.token_entropy.truncation import (
    falling,
    left_by,
    prefix_entropies,
)
from analysis.units import Unit, from_nats

MOST_ROWS = 50
"""Tokens listed from the front; those at the border follow whatever their place is."""
LIBRARY_TOKENS = 100
"""Most probable tokens that transformers' Top-H looks at."""


@dataclass(frozen=True)
class TypicalOrder:
    """Tokens in the order of locally typical sampling: closest to the entropy first.

    n rows: the first ones, the last that is kept, and the first that is not, if there is one.
    """

    entropy: float
    """nats: what surprisals are compared with."""
    n_kept: int
    place: np.ndarray
    """int64, (n,): place in the order, from 1; those up to ``n_kept`` are kept."""
    token_id: np.ndarray
    """int64, (n,)."""
    name: tuple[str, ...]
    """Readable name of each token."""
    surprisal: np.ndarray
    """float64, (n,), nats: -ln p."""
    mass: np.ndarray
    """float64, (n,), in (0, 1]: probability of the tokens up to here."""

    @property
    def distance(self) -> np.ndarray:
        """float64, (n,), nats: what the order goes by, |surprisal - entropy|."""
        return np.abs(self.surprisal - self.entropy)

    @property
    def kept(self) -> np.ndarray:
        """bool, (n,)."""
        return self.place <= self.n_kept

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per listed token; columns that carry a unit are named with it."""
        return pd.DataFrame(
            {
                "place": self.place,
                "token": self.name,
                "token_id": self.token_id,
                "kept": self.kept,
                "probability": np.exp(-self.surprisal),
                f"surprisal_{unit}": from_nats(self.surprisal, unit),
                f"distance_{unit}": from_nats(self.distance, unit),
                "mass": self.mass,
            }
        )


def typical_order(
    log_probs: Tensor, mass: float, name: Callable[[int], str] = str, *, most: int = MOST_ROWS
) -> TypicalOrder:
    """List what locally typical sampling keeps, in its own order, and the first it leaves out.

    Parameters
    ----------
    log_probs : Tensor, shape (V,)
        Nats.
    mass : float in (0, 1)
        Its setting.
    name : callable
        Name of a token id.
    most : int
        Rows from the front.

    Notes
    -----
    What is kept are the fewest tokens of this order whose mass reaches ``mass``. The first choice of the model may be
    left out. Of equally close tokens the smaller id comes first.

    References
    ----------
    Meister et al. 2022, arXiv:2202.00666.
    """
    left = left_by("typical", mass, log_probs)
    exact = log_probs.double()
    exact = exact - exact.logsumexp(0)
    p = exact.exp()
    entropy = float(torch.where(p > 0, -p * exact, torch.zeros_like(p)).sum())
    near = (-exact - entropy).abs().sort(stable=True).indices
    order = torch.cat([near[left[near]], near[~left[near]]])  # rounding at the border cannot tear the list
    n_kept = int(left.sum())
    place = _listed(n_kept, len(order), most)
    ids = order[place - 1]
    return TypicalOrder(
        entropy,
        n_kept,
        place,
        ids.numpy(),
        tuple(name(int(i)) for i in ids),
        -exact[ids].numpy(),
        np.minimum(p[order].cumsum(0).numpy()[place - 1], 1.0),
    )


@dataclass(frozen=True)
class TopHOrder:
    """Tokens in the order of Top-H, the most probable first, with the two sums that decide.

    n rows: the first ones, and for either rule the last that it keeps and the first that it does not.
    """

    limit_library: float
    """nats: ``top_h`` times the entropy of the renormalised hundred most probable tokens."""
    limit_paper: float
    """nats: ``top_h`` times the entropy of the distribution."""
    n_library: int
    """Tokens that transformers' rule keeps."""
    n_paper: int
    """Tokens that the paper's constraint keeps."""
    place: np.ndarray
    """int64, (n,): place in the order, from 1."""
    token_id: np.ndarray
    """int64, (n,)."""
    name: tuple[str, ...]
    probability: np.ndarray
    """float64, (n,)."""
    partial: np.ndarray
    """float64, (n,), nats: sum of -p ln p up to here over the renormalised hundred; NaN beyond them."""
    renormalised: np.ndarray
    """float64, (n,), nats: entropy of the tokens up to here alone."""

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per listed token; columns that carry a unit are named with it."""
        return pd.DataFrame(
            {
                "place": self.place,
                "token": self.name,
                "token_id": self.token_id,
                "probability": self.probability,
                f"partial_sum_{unit}": from_nats(self.partial, unit),
                "kept_by_transformers": self.place <= self.n_library,
                f"renormalised_entropy_{unit}": from_nats(self.renormalised, unit),
                "kept_by_paper": self.place <= self.n_paper,
            }
        )


def top_h_order(
    log_probs: Tensor, top_h: float, name: Callable[[int], str] = str, *, most: int = MOST_ROWS
) -> TopHOrder:
    """List what Top-H keeps by transformers' rule and by its paper's constraint.

    Parameters
    ----------
    log_probs : Tensor, shape (V,)
        Nats.
    top_h : float in (0, 1]
        Its setting, alpha in the paper.
    name, most
        As for :func:`typical_order`.

    Notes
    -----
    transformers sums ``-p ln p`` over the renormalised hundred most probable tokens and keeps them while the sum is
    at most ``top_h`` times the total; the paper takes the entropy of the kept tokens, renormalised, over the whole
    vocabulary. For the first few tokens the second is smaller, later it is larger. See
    :func:`analysis.token_entropy.truncation.top_h_of_the_paper`.
    """
    n_library = int(left_by("top-h", top_h, log_probs).sum())
    n_paper = int(left_by("top-h-paper", top_h, log_probs).sum())
    ids, p, terms = falling(log_probs)
    renormalised = prefix_entropies(p, terms)
    hundred = p[:LIBRARY_TOKENS] / p[:LIBRARY_TOKENS].sum()
    partial = torch.full_like(p, torch.nan)
    partial[:LIBRARY_TOKENS] = torch.special.entr(hundred).cumsum(0)
    place = np.union1d(_listed(n_library, len(ids), most), _listed(n_paper, len(ids), most))
    rows = place - 1
    return TopHOrder(
        top_h * float(partial[len(hundred) - 1]),
        top_h * float(renormalised[-1]),
        n_library,
        n_paper,
        place,
        ids[rows].numpy(),
        tuple(name(int(i)) for i in ids[rows]),
        p[rows].numpy(),
        partial[rows].numpy(),
        renormalised[rows].numpy(),
    )


def _listed(n_kept: int, n: int, most: int) -> np.ndarray:
    """Places to list: the first ones, the last that is kept, and the first that is not."""
    front = np.arange(1, min(n_kept, most) + 1)
    return np.union1d(front, [place for place in (n_kept, n_kept + 1) if place <= n])
