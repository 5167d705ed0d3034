"""Token strips of a sweep: what survived of the context, and the damage along the continuation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from analysis.drawing.strip import MARKED, Strip
from analysis.drawing.theme import amount_ramp, signed_ramp
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep

DamageQuantity = Literal["kl", "change"]
DAMAGE_QUANTITIES: tuple[DamageQuantity, ...] = get_args(DamageQuantity)
_TITLES = {"kl": "KL(full ‖ pruned) at each token", "change": "Change in surprisal of each token"}


def kept_strip(sweep: Sweep, setting: int) -> Strip:
    """Context tokens coloured by the share of (layer, KV head) pairs that keep them.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    setting : int
        Which of its settings.
    """
    survived = sweep.kept(setting).sum((0, 1))
    pairs = sweep.spec.n_layers * sweep.spec.n_kv_heads
    tokens = sweep.context_encoding
    return Strip(
        title="Survived, share of layers and KV heads",
        unit="",
        values=(survived / pairs).astype(np.float32),
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=np.zeros(len(tokens), np.uint8),
        low=0.0,
        high=1.0,
        light=amount_ramp("pruning_effects", "light"),
        dark=amount_ramp("pruning_effects", "dark"),
        details=tuple(f"kept by {count} of {pairs} (layer, KV head) pairs" for count in survived),
    )


def damage_strip(
    sweep: Sweep, setting: int, quantity: DamageQuantity = "kl", *, unit: Unit = "nats"
) -> Strip:
    """Tokens after the context, coloured by what the pruning did to their prediction.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    setting : int
        Which of its settings.
    quantity : {"kl", "change"}
        KL from the full cache's prediction, or the change in surprisal of the token that came.
    unit : {"nats", "bits"}
        Unit of information.

    Notes
    -----
    The first token was predicted before anything was evicted and has no value. The ramp ends at the 99th
    percentile over all settings with the same share kept, so colours of two methods compare.
    """
    if quantity not in DAMAGE_QUANTITIES:
        raise ValueError(f"quantity must be one of {DAMAGE_QUANTITIES}, got {quantity!r}")
    every = sweep.kl if quantity == "kl" else sweep.surprisal - sweep.surprisal[0]
    every = from_nats(every.astype(np.float64), unit)
    values = every[setting].astype(np.float32)
    values[0] = np.nan
    alike = [s.kept == sweep.settings[setting].kept for s in sweep.settings]
    others = np.abs(every[alike, 1:])
    top = max(float(np.percentile(others, 99)), 1e-6)
    tokens = sweep.continuation_encoding
    flags = np.zeros(len(tokens), np.uint8)
    n_answer = sweep.spec.n_answer
    if n_answer:
        flags[-n_answer:] = MARKED
    ramps = {
        name: amount_ramp("pruning_effects", name) if quantity == "kl" else signed_ramp(name)
        for name in ("light", "dark")
    }
    full = from_nats(sweep.surprisal[0].astype(np.float64), unit)
    pruned = from_nats(sweep.surprisal[setting].astype(np.float64), unit)
    return Strip(
        title=_TITLES[quantity],
        unit=unit,
        values=values,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=flags,
        low=0.0 if quantity == "kl" else -top,
        high=top,
        light=ramps["light"],
        dark=ramps["dark"],
        missing="predicted before anything was evicted",
        marked="answer" if n_answer else "",
        details=tuple(
            f"surprisal {a:.3g} full, {b:.3g} pruned ({unit})" for a, b in zip(full, pruned, strict=True)
        ),
    )


__all__ = ["DAMAGE_QUANTITIES", "DamageQuantity", "damage_strip", "kept_strip"]
