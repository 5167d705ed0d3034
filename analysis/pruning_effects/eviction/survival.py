"""How long every token of a context survives under the methods of a sweep, and what its loss does to later ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.pruning_effects.eviction.overlap import labels
from analysis.pruning_effects.eviction.results import Sweep
from analysis.results.tokens import TokenTrace

HALF = 0.5
"""A token counts as kept while at least this share of the caches holds it."""


@dataclass(frozen=True, eq=False)
class Survival:
    """M methods that delete tokens, at S shares kept; seeds of random ones are averaged."""

    names: tuple[str, ...]
    """Methods."""
    labels: tuple[str, ...]
    """The same for people."""
    kept: np.ndarray
    """float64, (S,), rising: shares of the context kept."""
    survived: np.ndarray
    """float32, (M, S, n): share of the (layer, KV head) caches that still hold each token of the context; NaN where
    the method refuses the share."""
    surprisal: np.ndarray
    """float32, (M, S, m), nats: of each token after the context; NaN likewise."""
    full: np.ndarray
    """float32, (m,), nats: the same with the full cache."""
    caches: tuple[int, int]
    """Layers and KV heads: how many caches there are is their product."""

    @property
    def n_context(self) -> int:
        """Tokens that can be evicted."""
        return self.survived.shape[2]

    @property
    def highest(self) -> float:
        """Largest share kept."""
        return float(self.kept[-1])

    def lost_below(self, token: int) -> np.ndarray:
        """Smallest share from which on, upwards, at least half of the caches hold a token, float64, (M,).

        NaN where not even the largest share keeps it. A share that a method refuses says nothing and ends nothing.
        """
        at = self.survived[:, :, token]
        gone = np.isfinite(at) & (at < HALF)
        kept_above = ~np.logical_or.accumulate(gone[:, ::-1], axis=1)[:, ::-1] & np.isfinite(at)
        first = kept_above.argmax(1)
        return np.where(kept_above.any(1), self.kept[first], np.nan)

    def at(self, share: float) -> int:
        """Column of the share next to one."""
        return int(np.abs(self.kept - share).argmin())

    def mean_at(self, share: float) -> np.ndarray:
        """Share of the caches that hold each token, mean over the methods that can keep such a share, float32, (n,)."""
        rows = self.survived[:, self.at(share)]
        return np.asarray(rows[np.isfinite(rows[:, 0])].mean(0))


def is_cut_from(sweep: Sweep, tokens: TokenTrace) -> bool:
    """Whether context and continuation of a sweep are the tokens of a run, in order: then its tokens can be followed."""
    n, ids = sweep.spec.n_context, sweep.continuation_ids
    return np.array_equal(sweep.context_encoding.token_id, tokens.token_id[:n]) and np.array_equal(
        ids, tokens.token_id[n : n + len(ids)]
    )


def survival(sweep: Sweep) -> Survival:
    """Reduce a sweep to what happens to single tokens.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`, with at least one method that deletes tokens.

    Raises
    ------
    ValueError
        If no method could be run.
    """
    called = labels(sweep)
    places: dict[tuple[str, float], list[int]] = {}
    for number, setting in enumerate(sweep.settings):
        if number and setting.deletes:
            places.setdefault((setting.policy, setting.kept), []).append(number)
    if not places:
        raise ValueError("the sweep has no method that deletes tokens")
    names = tuple(dict.fromkeys(name for name, _ in places))
    kept = np.array(sorted({share for _, share in places}))
    shape = (len(names), len(kept))
    survived = np.full((*shape, sweep.spec.n_context), np.nan, np.float32)
    surprisal = np.full((*shape, len(sweep.continuation_ids)), np.nan, np.float32)
    for (name, share), numbers in places.items():
        here = names.index(name), int(np.flatnonzero(kept == share)[0])
        survived[here] = np.mean([sweep.kept(number).mean((0, 1)) for number in numbers], axis=0)
        surprisal[here] = sweep.surprisal[numbers].mean(0)
    return Survival(
        names,
        tuple(called[name] for name in names),
        kept,
        survived,
        surprisal,
        sweep.surprisal[0],
        (sweep.spec.n_layers, sweep.spec.n_kv_heads),
    )
