"""Hand-made results of pruning: one picture under a few methods, many questions, and an information horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.visual_tokens.fragility_results import FragileCell, Fragility
from analysis.visual_tokens.horizon_results import HorizonResult
from analysis.visual_tokens.perturbation import RandomSigns
from analysis.visual_tokens.split_results import SplitCell, SplitSweep
from analysis.visual_tokens.sweep_results import VisualSetting, VisualSweep


def made_sweep(n: int = 16, n_layers: int = 4) -> VisualSweep:
    """All tokens, random twice, FastV from layer 2 on, and a method that could not be run."""
    settings = (
        _setting("full", n, n, n_layers, kl_first=0.0, kl=0.0, answer_logp=-0.5),
        _setting("random", 4, n, n_layers, seed=0, kl_first=0.2),
        _setting("random", 4, n, n_layers, seed=1, kl_first=0.6),
        _setting("fastv", 4, n, n_layers, gone_from=2, kl_first=0.3, average=10.0),
        VisualSetting("hired", "HiRED", 0, 0.25, why="This model sees the picture once, without crops."),
    )
    return VisualSweep("m", "q", "red", True, "kept", n, 0, 6, n_layers, settings)


def _setting(
    policy: str, kept: int, n: int, n_layers: int, *, seed: int = 0, gone_from: int = 0, **numbers: Any
) -> VisualSetting:
    gone = np.full(n, gone_from, np.int16)
    gone[:kept] = n_layers
    into = np.where(gone == n_layers, np.arange(n), -1).astype(np.int32)
    values = {"kl_first": 0.1, "kl": 0.2, "answer_logp": -1.0, "average": float(kept)} | numbers
    return VisualSetting(
        policy,
        policy.title(),
        seed,
        kept / n,
        kept=kept,
        gone_from=gone,
        merged_into=into,
        flops=kept,
        kv_bytes=kept,
        seconds=0.1,
        answer="red",
        right=True,
        **values,
    )


def made_split() -> SplitSweep:
    """60 questions about 30 scenes: all right with all tokens and with DART, every fourth with the controls."""
    picture, kind = np.repeat(np.arange(30), 2), np.array(["count", "reading"] * 30)
    right = np.zeros((4, 60), np.float32)
    right[0], right[1, ::4], right[2, ::4], right[3] = 1, 1, 1, 1
    named = (("full", 16), ("random", 4), ("downsampling", 4), ("dart", 4))
    cells = tuple(SplitCell(name, name, n) for name, n in named)
    kept = np.repeat(np.array([[16], [4], [4], [4]], np.float32), 60, 1)
    return SplitSweep(
        {"questions": 60}, cells, picture, kind, right, -right, right, kept, kept, kept.astype(float)
    )


def made_horizon(n: int = 16) -> HorizonResult:
    """An answer of a model with four layers that needs the picture in the first two."""
    logp = np.array([-3.0, -2.0, -0.52, -0.5, -0.5])
    values = np.arange(8, dtype=float).reshape(2, 4) / 10
    windows = np.arange(n) * 4 // n
    return HorizonResult("m", "q", "red", 4, logp, logp > -1, 0.05, windows, (0, 2), values, -values)


def made_fragility() -> Fragility:
    """Eight questions, all right with all tokens; with four kept, all right on clean pictures and two on changed ones."""
    right, some = np.ones(8, bool), np.arange(8) < 2
    part = np.full(8, 0.5)
    cell = FragileCell("fastv", "FastV", 4, 4, right, some, part, part, part)
    return Fragility(RandomSigns(2), np.arange(8), right, right, (cell,), ())
