"""What compressing a prompt gave: the shorter text, and what it cost the answer. Plain numpy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.results.tokens import printable

SCORERS = (
    "self-information",
    "selective-context",
    "llmlingua",
    "longllmlingua",
    "gradient",
    "attention",
    "reagent",
    "llmlingua-2",
)
"""Methods that give every token a score and keep the highest."""
CONTROLS = ("random", "first", "last", "every nth", "stop words")
"""Methods that know nothing of the model."""
BOTTOM = "bottom "
"""Before a scorer's name: the same scores, the lowest kept."""
METHODS = (*SCORERS, *CONTROLS, *(BOTTOM + name for name in SCORERS))
"""Every method by its name."""
NEEDS_ANSWER = ("gradient", "reagent")
DRAWN_BY_SEED = ("random", "stop words")
"""Methods with a random part, run once per seed in a sweep."""
FULL, WITHOUT = "full", "no context"
"""References of a sweep: the original text, and the question alone."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """A text made shorter by one method. Arrays have one entry per token of the original."""

    method: str
    kept: float
    """Share asked for."""
    unit: str
    """"token", "word" or "sentence"."""
    seed: int
    budget: int
    """Tokens the shorter text may have."""
    original: str
    """The text before."""
    text: str
    """The text after: ``original`` at ``spans``, joined."""
    n_original: int
    """Tokens of the original, counted by the model's tokenizer without added ones."""
    n_tokens: int
    """Tokens of the shorter text, counted in the same way: what a model would read."""
    keep: np.ndarray
    """bool, (T,): which tokens of the original were kept."""
    spans: np.ndarray
    """int64, (S, 2): characters of the original that were kept, rising."""
    scores: np.ndarray
    """float32, (T,): the method's score of each token, NaN where it gave none."""
    cell: np.ndarray
    """int32, (T,): tokens that share a character share a cell."""
    cell_text: tuple[str, ...]
    """Text of each cell."""
    score_name: str = ""
    """What the score is, with its unit; empty for controls."""
    note: str = ""
    """What a person should know about this one, may be empty."""

    @property
    def n_kept(self) -> int:
        """Tokens of the original that were kept; their text may be cut into more or fewer."""
        return int(self.keep.sum())

    @property
    def share(self) -> float:
        """Tokens after over tokens before."""
        return self.n_tokens / self.n_original

    def to_frame(self) -> pd.DataFrame:
        """One row per token of the original.

        Returns
        -------
        pandas.DataFrame
            ``position``, ``text`` (of its cell), ``score`` and ``kept``.
        """
        texts = [printable(self.cell_text[c]) for c in self.cell]
        return pd.DataFrame(
            {
                "position": np.arange(len(self.keep)),
                "text": texts,
                "score": self.scores.astype(float),
                "kept": self.keep,
            }
        )


@dataclass(frozen=True, eq=False)
class CompressionResult:
    """A compressed text and how well the answer was predicted after it."""

    compressed: Compressed
    nll: float
    """Mean of -ln p over the answer's tokens, nats."""


@dataclass(frozen=True, eq=False)
class CompressionSweep:
    """Many compressions of one text, each read before the same question and answer."""

    model: str
    dtype: str
    device: str
    text: str
    question: str
    answer: str
    unit: str
    n_original: int
    """Tokens of the text."""
    n_answer: int
    """Tokens of the answer."""
    nll_full: float
    """Mean of -ln p over the answer's tokens after the original and the question, nats."""
    nll_without: float
    """The same after the question alone."""
    readings: tuple[CompressionResult, ...]
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why a method, or a method at a share, is missing."""

    @property
    def subtitle(self) -> str:
        """One line under a figure: what was run on what."""
        return (
            f"{self.model} · {self.dtype} · {self.device} · context of {self.n_original} tokens · "
            f"answer of {self.n_answer} tokens · unit: {self.unit}"
        )

    def find(self, method: str, kept: float, seed: int | None = None) -> Compressed | None:
        """The compression of a method at an asked share, of any seed if none is given."""
        for reading in self.readings:
            one = reading.compressed
            if (one.method, one.kept) == (method, kept) and seed in (None, one.seed):
                return one
        return None

    def to_frame(self) -> pd.DataFrame:
        """One row per compressed text, after the two references.

        Returns
        -------
        pandas.DataFrame
            ``method``; ``kept``, the share asked for; ``budget``, the tokens it allows;
            ``n_tokens``, those the shorter text really has; ``n_mask``, tokens of the
            original kept; ``share``, n_tokens over those of the original; ``seed``;
            ``nll``, nats per answer token; ``delta_nll``, nll minus that after the original,
            below 0 where the shorter text helps; ``answer_logp``, ln p of the whole answer.
        """
        n = self.n_original
        rows = [
            (FULL, 1.0, n, n, n, 1.0, 0, self.nll_full),
            (WITHOUT, 0.0, 0, 0, 0, 0.0, 0, self.nll_without),
        ]
        for reading in self.readings:
            one = reading.compressed
            rows.append(
                (one.method, one.kept, one.budget, one.n_tokens, one.n_kept, one.share, one.seed, reading.nll)
            )
        columns = ["method", "kept", "budget", "n_tokens", "n_mask", "share", "seed", "nll"]
        frame = pd.DataFrame(rows, columns=columns)
        frame["delta_nll"] = frame["nll"] - self.nll_full
        frame["answer_logp"] = -frame["nll"] * self.n_answer
        return frame
