"""What a Bigram-Backcopy run was asked for and what was seen in it. Plain numpy, no torch, no plotting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.entropy_collapse.labs.backcopy.task import OracleRisks
from analysis.errors import AnalysisError

Optimizer = Literal["adam", "sgd"]
Attention = Literal["softmax", "relu"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
ATTENTIONS: tuple[Attention, ...] = get_args(Attention)
LAYERS = (1, 3)
"""Depths the source compares."""
LEARNING_RATES: dict[Optimizer, float] = {"adam": 3e-3, "sgd": 0.1}
"""Rates for small batches and few steps; the source has 3e-4 (3e-3 with ReLU attention) and 0.03."""

_BOUNDS = {
    "steps": (1, 20_000),
    "width": (8, 256),
    "length": (16, 256),
    "batch": (1, 512),
    "seed": (0, 2**31),
}


@dataclass(frozen=True)
class BackcopySettings:
    """Everything that decides a run; valid if it exists.

    Raises
    ------
    AnalysisError
        If a value is not possible, with what is.

    Notes
    -----
    Guo et al. 2024 (arXiv:2410.13835) train width 256 on batches of 512 sequences of 257 tokens for 10,000 steps
    and more, with characters of a large text of plays. Here a class must see it happen on two CPU cores, so by
    default: width 64, batches of 32 sequences of 65 tokens, 800 steps, higher rates, and the characters of a story
    of 9,116. Their code does not say how weights begin; here they begin as PyTorch's own layers do. Depth, the
    one head, pre-LN, the ReLU MLP of four times the width, momentum, betas and weight decay are theirs.
    """

    layers: int = 1
    optimizer: Optimizer = "adam"
    attention: Attention = "softmax"
    steps: int = 800
    seed: int = 0
    width: int = 64
    """D, also of the only head."""
    length: int = 64
    """Tokens the model reads of each sequence, the beginning-of-sequence token included."""
    batch: int = 32
    """Sequences a step."""

    def __post_init__(self) -> None:
        for name, possible in (("layers", LAYERS), ("optimizer", OPTIMIZERS), ("attention", ATTENTIONS)):
            value = getattr(self, name)
            if value not in possible:
                raise AnalysisError(
                    f"There is no {name} {value!r} in this lab.",
                    f"Choose one of {', '.join(map(str, possible))}.",
                )
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise AnalysisError(
                    f"{name} is {value!r}.", f"Choose a whole number from {least:,} to {most:,}."
                )

    @property
    def learning_rate(self) -> float:
        """Learning rate of the optimizer."""
        return LEARNING_RATES[self.optimizer]

    @property
    def variant(self) -> str:
        """Name of what is compared: depth, optimizer, attention."""
        depth = f"{self.layers} layer{'s' * (self.layers > 1)}"
        return f"{depth}, {'Adam' if self.optimizer == 'adam' else 'SGD'}, {_ATTENTION_NAMES[self.attention]}"

    @property
    def subtitle(self) -> str:
        """The run in one line of small type."""
        return (
            f"{self.variant} · width {self.width} · {self.batch} × {self.length + 1} tokens a step · "
            f"rate {self.learning_rate:g} · seed {self.seed}"
        )


_ATTENTION_NAMES = {"softmax": "softmax", "relu": "ReLU"}
VARIANTS = tuple(
    BackcopySettings(layers, optimizer, attention).variant
    for layers in LAYERS
    for attention in ATTENTIONS
    for optimizer in OPTIMIZERS
)
"""All that can be compared, in a fixed order."""


@dataclass(frozen=True, eq=False)
class BackcopyRun:
    """What was seen at S steps of a run, on the same held-out sequences each time.

    L layers, C characters. *Ordinary* queries are those whose character is no trigger; token 0 of a sequence is
    neither. Sink, value drain and state norms are those of :func:`analysis.attention_sinks.measures.triad`,
    averaged over the sequences.
    """

    settings: BackcopySettings
    oracle: OracleRisks
    step: np.ndarray
    """int64, (S,): optimizer steps done before looking."""
    markov: np.ndarray
    """float64, (S,), nats: risk after ordinary characters."""
    markov_error: np.ndarray
    """float64, (S,), nats: its standard error over the sequences."""
    backcopy: np.ndarray
    """float64, (S,), nats: risk after triggers."""
    sink: np.ndarray
    """float64, (S, L): attention token 0 receives from all queries."""
    sink_ordinary: np.ndarray
    """float64, (S, L): mean attention on token 0 over ordinary queries."""
    sink_trigger: np.ndarray
    """float64, (S, L): the same over trigger queries."""
    row_mass: np.ndarray
    """float64, (S, L): mean sum of an ordinary query's weights; 1 with softmax."""
    delta_logit: np.ndarray
    """float64, (S, L): score of token 0 minus the mean score of the other visible tokens, ordinary queries."""
    value_drain: np.ndarray
    """float64, (S, L): norm of token 0's value over the others' median; below 1 is drained."""
    residual_token: np.ndarray
    """float64, (S, L + 1): norm of token 0's state; 0 is what enters block 1, l after block l."""
    residual_median: np.ndarray
    """float64, (S, L + 1): median norm of the others' states."""
    residual_max: np.ndarray
    """float64, (S, L + 1): largest norm of the others' states."""
    characters: str
    triggers: tuple[int, ...]
    """Indices of the triggers in ``characters``."""
    by_character: np.ndarray
    """float64, (L, C): mean attention on token 0 by the character of the query, last look; NaN if it never came."""
    seconds: float
    """Time the run has taken."""

    @property
    def overall(self) -> np.ndarray:
        """Risk over all positions, (S,), nats."""
        share = self.oracle.trigger_share
        return (1 - share) * self.markov + share * self.backcopy

    @property
    def sink_layer(self) -> int:
        """Layer, counted from 0, whose ordinary queries gave token 0 most attention at the last look."""
        return int(self.sink_ordinary[-1].argmax())

    @property
    def residual_peak(self) -> np.ndarray:
        """Largest norm of token 0's state after any block over the others' median there, (S,)."""
        return (self.residual_token[:, 1:] / self.residual_median[:, 1:]).max(1)

    def to_frame(self) -> pd.DataFrame:
        """One row per step and block; block 0 is what enters block 1 and has no attention.

        Columns ``sink`` to ``value_drain`` are of the block's head, ``residual_*`` of the states after it; the
        risks, of the whole model, are repeated.
        """
        n, blocks = self.residual_token.shape

        heads = {
            name: np.concatenate([np.full((n, 1), np.nan), getattr(self, name)], axis=1).ravel()
            for name in ("sink", "sink_ordinary", "sink_trigger", "row_mass", "delta_logit", "value_drain")
        }
        names = ("residual_token", "residual_median", "residual_max")
        states = {name: getattr(self, name).ravel() for name in names}
        return pd.DataFrame(
            {
                "run": self.settings.variant,
                "seed": self.settings.seed,
                "step": np.repeat(self.step, blocks),
                "block": np.tile(np.arange(blocks), n),
                "markov_risk_nats": np.repeat(self.markov, blocks),
                "markov_standard_error_nats": np.repeat(self.markov_error, blocks),
                "backcopy_risk_nats": np.repeat(self.backcopy, blocks),
                "overall_risk_nats": np.repeat(self.overall, blocks),
            }
            | heads
            | states
        )


def backcopy_summary(runs: Sequence[BackcopyRun]) -> pd.DataFrame:
    """Last look of each run, one row a run.

    Parameters
    ----------
    runs : sequence of BackcopyRun
        At least one.

    Returns
    -------
    pandas.DataFrame
        ``above_oracle`` and ``overall_above_oracle`` are risks minus the oracle's, nats. Sink, drain and
        difference of scores are of ``layer`` (from 0), the one with the strongest sink. ``residual_peak`` is
        token 0's state norm over the others' median, after the block where that is largest.
    """
    rows = []
    for run in runs:
        layer = run.sink_layer
        rows.append(
            {
                "run": run.settings.variant,
                "seed": run.settings.seed,
                "steps": int(run.step[-1]),
                "above_oracle": float(run.markov[-1] - run.oracle.markov),
                "backcopy_risk": float(run.backcopy[-1]),
                "overall_above_oracle": float(run.overall[-1] - run.oracle.overall),
                "layer": layer,
                "sink_ordinary": float(run.sink_ordinary[-1, layer]),
                "sink_trigger": float(run.sink_trigger[-1, layer]),
                "row_mass": float(run.row_mass[-1, layer]),
                "delta_logit": float(run.delta_logit[-1, layer]),
                "value_drain": float(run.value_drain[-1, layer]),
                "residual_peak": float(run.residual_peak[-1]),
                "token_0_norm": float(run.residual_token[-1, 1:].max()),
                "seconds": run.seconds,
            }
        )
    return pd.DataFrame(rows)
