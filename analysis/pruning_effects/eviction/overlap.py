"""Which tokens survive: agreement between methods and with an oracle, where in the text, and a phrase.

Sets of kept tokens are compared per layer and KV head; random methods are averaged over their seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.pruning_effects.eviction.results import Sweep

ORACLE = "oracle"
"""Name and label of what would be kept by someone who saw the continuation."""


def settings_at(sweep: Sweep, kept: float) -> dict[str, list[int]]:
    """Settings that keep a share, one list of seeds per method, without the full cache.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    kept : float
        Share kept, as it was asked for.
    """
    found: dict[str, list[int]] = {}
    for number, setting in enumerate(sweep.settings):
        if number and np.isclose(setting.kept, kept):
            found.setdefault(setting.policy, []).append(number)
    return found


def _that_delete(sweep: Sweep, kept: float) -> dict[str, list[int]]:
    """The same without methods that delete nothing: these keep everything for others to find."""
    at = settings_at(sweep, kept)
    return {name: numbers for name, numbers in at.items() if sweep.settings[numbers[0]].deletes}


def labels(sweep: Sweep) -> dict[str, str]:
    """Label of every method in the sweep by its name, without the full cache."""
    return {setting.policy: setting.label for setting in sweep.settings[1:]}


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Tokens in both sets over tokens in either, mean over layers and KV heads.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (L, G, ceil(n / 8))
        Tokens kept, eight a byte (:func:`numpy.packbits`), which long contexts with many methods need.

    Notes
    -----
    J(A, B) = |A and B| / |A or B| (Jaccard 1901). Two random choices of k of n tokens have about
    k / (2 n - k).
    """
    both = np.bitwise_count(first & second).sum(-1, dtype=np.int64)
    either = np.bitwise_count(first | second).sum(-1, dtype=np.int64)
    return float((both / np.maximum(either, 1)).mean())


def _oracles(sweep: Sweep, numbers: list[int]) -> dict[int, np.ndarray]:
    """The oracle's packed set for each setting, worked out once for settings with the same budgets."""
    known: dict[bytes, np.ndarray] = {}
    found = {}
    for number in numbers:
        budgets = sweep.kept(number).sum(-1).tobytes()
        if budgets not in known:
            known[budgets] = np.packbits(sweep.oracle(number), axis=-1)
        found[number] = known[budgets]
    return found


def overlap_frame(sweep: Sweep, kept: float) -> pd.DataFrame:
    """Jaccard overlap of every two methods at one share, and of each with the oracle.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    kept : float
        Share kept.

    Returns
    -------
    pandas.DataFrame
        Columns method, other, jaccard: labels, both orders. A method with itself is 1; a random
        one is the mean over two different seeds, if there are two. The oracle keeps as many tokens
        per layer and KV head as the method it is compared with. Methods that delete nothing are left out.
    """
    at, label = _that_delete(sweep, kept), labels(sweep)
    masks = {n: np.packbits(sweep.kept(n), axis=-1) for numbers in at.values() for n in numbers}
    oracles = _oracles(sweep, list(masks))
    rows: list[tuple[str, str, float]] = []
    for one, other in itertools.combinations_with_replacement(at, 2):
        pairs = list(itertools.product(at[one], at[other]))
        if one == other and len(at[one]) > 1:
            pairs = list(itertools.combinations(at[one], 2))
        mean = float(np.mean([1.0 if a == b else jaccard(masks[a], masks[b]) for a, b in pairs]))
        rows += [(label[a], label[b], mean) for a, b in {(one, other), (other, one)}]
    for name, numbers in at.items():
        mean = float(np.mean([jaccard(masks[number], oracles[number]) for number in numbers]))
        rows += [(label[name], ORACLE, mean), (ORACLE, label[name], mean)]
    rows.append((ORACLE, ORACLE, 1.0))
    return pd.DataFrame(rows, columns=["method", "other", "jaccard"])


def _chosen(sweep: Sweep, kept: float) -> dict[str, list[np.ndarray]]:
    """Kept sets by label, the oracle's last; the oracle gets the budgets of the first method."""
    at, label = _that_delete(sweep, kept), labels(sweep)
    chosen = {label[name]: [sweep.kept(number) for number in numbers] for name, numbers in at.items()}
    if at:
        chosen[ORACLE] = [sweep.oracle(next(iter(at.values()))[0])]
    return chosen


def positions_frame(sweep: Sweep, kept: float, stretches: int = 40) -> pd.DataFrame:
    """Where in the context the kept tokens stand.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    kept : float
        Share kept.
    stretches : int, default 40
        Equal parts of the context; fewer if it has fewer tokens.

    Returns
    -------
    pandas.DataFrame
        One row per method and stretch: method (label), first, last (tokens, last included), survived (share of the
        stretch's tokens that survive, mean over layers, KV heads and seeds) and mean_position (of the method's kept
        tokens, 0 is the first token and n - 1 the last).
    """
    n = sweep.spec.n_context
    edges = np.unique(np.linspace(0, n, min(stretches, n) + 1).round().astype(int))
    parts = []
    for name, masks in _chosen(sweep, kept).items():
        survived = np.mean([mask.mean((0, 1)) for mask in masks], 0)  # (n,)
        parts.append(
            pd.DataFrame(
                {
                    "method": name,
                    "first": edges[:-1],
                    "last": edges[1:] - 1,
                    "survived": np.add.reduceat(survived, edges[:-1]) / np.diff(edges),
                    "mean_position": float((survived * np.arange(n)).sum() / survived.sum()),
                }
            )
        )
    columns = ["method", "first", "last", "survived", "mean_position"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def survival(sweep: Sweep, tokens: np.ndarray, kept: float) -> dict[str, np.ndarray]:
    """Share of some tokens that each method keeps, by layer and KV head.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    tokens : ndarray of int
        Positions in the context, such as a needle's.
    kept : float
        Share kept.

    Returns
    -------
    dict of str to ndarray, float64, (L, G)
        By label, the oracle's last; mean over seeds.
    """
    return {
        name: np.mean([mask[:, :, tokens].mean(-1) for mask in masks], 0)
        for name, masks in _chosen(sweep, kept).items()
    }


def survival_frame(sweep: Sweep, tokens: Sequence[int] | np.ndarray, kept: float) -> pd.DataFrame:
    """Whether some tokens survived: one row per method.

    Returns
    -------
    pandas.DataFrame
        Columns method; survived, the share of (token, layer, KV head) kept; whole, the share of (layer, KV head)
        pairs that keep every one of the tokens; nowhere, the share of the tokens that no layer and no head keeps.
        Means over seeds.
    """
    rows = []
    for name, masks in _chosen(sweep, kept).items():
        here = [mask[:, :, tokens] for mask in masks]
        rows.append(
            {
                "method": name,
                "survived": float(np.mean([mask.mean() for mask in here])),
                "whole": float(np.mean([mask.all(-1).mean() for mask in here])),
                "nowhere": float(np.mean([(~mask.any((0, 1))).mean() for mask in here])),
            }
        )
    return pd.DataFrame(rows, columns=["method", "survived", "whole", "nowhere"])
