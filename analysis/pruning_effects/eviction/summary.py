"""The numbers of a sweep that stand above its pictures, and what became of one token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.pruning_effects.eviction.results import Sweep
from analysis.results.alternatives import alternatives

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


def best_at(sweep: Sweep, share: float) -> str:
    """Method with the smallest mean KL at a share, among those that delete what they do not keep, if there are any."""
    frame = sweep.to_frame().assign(deletes=[setting.deletes for setting in sweep.settings])
    here = frame[(frame["kept"] == share) & (frame["policy"] != "full")]
    freeing = here[here["deletes"]]
    return str((here if freeing.empty else freeing).groupby("policy", sort=False)["kl"].mean().idxmin())


def middle_share(sweep: Sweep) -> float:
    """The share nearest to one half that was run; of two, the one that was asked for first."""
    return min((setting.kept for setting in sweep.settings[1:]), key=lambda kept: abs(kept - 0.5))


@dataclass(frozen=True)
class BestMethod:
    """The best method of a sweep at one share, means over its seeds."""

    label: str
    kl: float
    """Nats, mean over tokens: KL(full || pruned)."""
    delta_nll: float
    """Nats, mean over tokens."""
    chance: float
    """KL of random tokens at the same share, nats; NaN if they were not run."""
    kept_bytes: int
    """Keys and values that stay; 0 where the size of a number is not known."""
    full_bytes: int
    """Keys and values of the whole context."""
    tokens_per_pair: float
    """Tokens that stay in a (layer, KV head) pair, mean over pairs."""


def best_method(sweep: Sweep, share: float) -> BestMethod:
    """Sum up what the best method at a share loses and frees; see :func:`best_at`."""
    name, frame, spec = best_at(sweep, share), sweep.to_frame(), sweep.spec
    here = frame[frame["kept"] == share]
    means = here.groupby("policy")[["kl", "delta_nll"]].mean()
    first = here[here["policy"] == name].iloc[0]
    width = 2 * spec.head_size * _BYTES.get(spec.dtype, 0)
    return BestMethod(
        label=str(first["label"]),
        kl=float(means["kl"][name]),
        delta_nll=float(means["delta_nll"][name]),
        chance=float(means["kl"].get("random", np.nan)),
        kept_bytes=int(first["kv_budget"]) * width,
        full_bytes=sweep.settings[0].budget * width,
        tokens_per_pair=int(first["kv_budget"]) / (spec.n_layers * spec.n_kv_heads),
    )


def kept_frame(sweep: Sweep, setting: int) -> pd.DataFrame:
    """One row per token of the context.

    Returns
    -------
    pandas.DataFrame
        ``position``, ``token``, ``survived`` of ``pairs`` (layer, KV head), ``share`` of them, and
        ``future_attention``, what the continuation really paid it, in [0, 1].
    """
    kept = sweep.kept(setting)
    return pd.DataFrame(
        {
            "position": np.arange(sweep.spec.n_context),
            "token": sweep.context_tokens,
            "survived": kept.sum((0, 1)),
            "pairs": kept.shape[0] * kept.shape[1],
            "share": kept.mean((0, 1)),
            "future_attention": _future(sweep),
        }
    )


def pairs_frame(sweep: Sweep, setting: int) -> pd.DataFrame:
    """One row per ``layer``, ``kv_head`` and ``position`` that is kept."""
    row, head, token = np.nonzero(sweep.kept(setting))
    return pd.DataFrame({"layer": np.array(sweep.spec.layers)[row], "kv_head": head, "position": token})


def _future(sweep: Sweep) -> np.ndarray:
    return np.asarray(sweep.future.astype(np.float64).mean((0, 1)))


def future_attention(sweep: Sweep, position: int) -> tuple[float, int]:
    """Share of its attention that the continuation paid to a token under the full cache, and its rank, 1 for the most."""
    future = _future(sweep)
    return float(future[position]), int((future > future[position]).sum()) + 1


def most_missed(sweep: Sweep, setting: int) -> int:
    """Token of the context whose eviction takes most of the continuation's attention."""
    return int((_future(sweep) * (1 - sweep.kept(setting).mean((0, 1)))).argmax())


def hardest_hit(sweep: Sweep, setting: int) -> int:
    """Token of the continuation to look at first: the answer's first, else the one with the largest KL."""
    n_answer = sweep.spec.n_answer
    return sweep.kl.shape[1] - n_answer if n_answer else int(sweep.kl[setting].argmax())


def top_frame(sweep: Sweep, setting: int, at: int) -> pd.DataFrame:
    """The most likely tokens at a place of the continuation, as :func:`~analysis.results.alternatives.alternatives`."""
    came = int(sweep.continuation_ids[at])
    return alternatives(sweep.top_ids[setting, at], sweep.top_logprobs[setting, at], came, sweep.names)
