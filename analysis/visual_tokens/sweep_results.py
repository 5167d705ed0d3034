"""What pruning one picture's tokens in many ways says. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.units import Unit, table_in

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

INFORMATION = ("kl_first", "kl", "answer_logp", "change")
"""Columns of :meth:`VisualSweep.to_frame` in nats."""


@dataclass(frozen=True, eq=False)
class VisualSetting:
    """One pruning of one picture; what could not be run has ``why`` and no numbers.

    Parameters
    ----------
    policy, label : str
    seed : int
        Of a random method, else 0.
    asked : float
        Tokens asked for, counted as the sweep counts.
    why : str
        Why there are no numbers; empty if there are.
    kept : int
        Tokens left after the last pruning; merged ones count.
    average : float
        Tokens in a layer, mean over all layers.
    floor : float
        K N / L: no number kept has an average below it, since K layers see all.
    gone_from : numpy.ndarray
        (N,) of int16: first layer that no longer sees the token; the number of layers where all do.
    merged_into : numpy.ndarray
        (N,) of int32: token that took most of it; its own number where it stays by itself, -1 where it is gone.
    flops : int
        Floating-point operations of the language model's layers over the prompt.
    kv_bytes : int
        Bytes of keys and values of the prompt, if what is pruned is not stored.
    seconds : float
        One pass over the prompt with the states physically dropped; the tower is not part of it.
    answer : str
        What is written, the likeliest token each time.
    right : bool
        Whether that is the answer it was held against.
    kl_first, kl : float
        KL(all tokens || pruned) of what follows the prompt, and its mean over the places that predict the answer and
        its end; nats.
    answer_logp : float
        Of the answer it was held against, summed over its tokens, without its end; nats.
    """

    policy: str
    label: str
    seed: int
    asked: float
    why: str = ""
    kept: int = -1
    average: float = np.nan
    floor: float = np.nan
    gone_from: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    merged_into: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    flops: int = -1
    kv_bytes: int = -1
    seconds: float = np.nan
    answer: str = ""
    right: bool = False
    kl_first: float = np.nan
    kl: float = np.nan
    answer_logp: float = np.nan


@dataclass(frozen=True, eq=False)
class VisualSweep:
    """One question about one picture under many prunings; setting 0 has all tokens.

    Parameters
    ----------
    model, question : str
    answer : str
        What answers were held against: the right one where one was given, else what is written with all tokens.
    is_right_answer : bool
        Whether it was given.
    counting : str
        What ``asked`` counts: "kept" or "average".
    n_visual, n_newlines, n_text, n_layers : int
        Tokens with a place on the picture, N; learned ends of rows, which always stay; other tokens of the prompt.
    settings : tuple of VisualSetting
    seconds : dict
        What took how long.
    """

    model: str
    question: str
    answer: str
    is_right_answer: bool
    counting: str
    n_visual: int
    n_newlines: int
    n_text: int
    n_layers: int
    settings: tuple[VisualSetting, ...]
    seconds: dict[str, float] = field(default_factory=dict)

    def kept(self, setting: int) -> np.ndarray:
        """Tokens that the last layer sees by themselves or with others merged into them, bool, (N,)."""
        return np.asarray(self.settings[setting].gone_from == self.n_layers)

    def save(self, path: str | Path) -> Path:
        """Write the sweep to one file that :func:`analysis.load_visual_sweep` opens; gives the path."""
        from analysis.visual_tokens.sweep_file import save_visual_sweep

        return save_visual_sweep(self, path)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per setting; what could not be run is empty but for the reason, ``why``.

        ``asked`` counts as the sweep counts; ``kept`` are tokens after the last pruning, ``average`` is over layers.
        """
        import pandas as pd

        full = self.settings[0]
        rows = []
        for s in self.settings:
            ran = not s.why
            rows.append(
                {
                    "policy": s.policy,
                    "label": s.label,
                    "seed": s.seed,
                    "asked": s.asked,
                    "kept": s.kept if ran else None,
                    "average": s.average,
                    "floor": s.floor,
                    "flops": s.flops / full.flops if ran else np.nan,
                    "kv_bytes": s.kv_bytes if ran else None,
                    "seconds": s.seconds,
                    "answer": s.answer if ran else None,
                    "right": s.right if ran else None,
                    "kl_first": s.kl_first,
                    "kl": s.kl,
                    "answer_logp": s.answer_logp,
                    "change": s.answer_logp - full.answer_logp,
                    "why": s.why,
                }
            )
        frame = pd.DataFrame(rows).astype({"kept": "Int64", "kv_bytes": "Int64", "right": "boolean"})
        return table_in(frame, INFORMATION, unit) if unit != "nats" else frame
