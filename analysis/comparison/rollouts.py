"""Trainer against engine: log-probabilities that an engine gave to the tokens it drew, and those of a loaded model.

The engine is p, which drew the tokens; the model is q. Both should be the same weights: what differs is precision,
kernels, or how old the engine's weights are. Log-probabilities are of the whole vocabulary at temperature 1.

Means over tokens and means over sequences are two things where sequences differ in length; both are told. Definitions as in
verl's rollout correction (code read, commit 20c30bf), but for the effective sample size, which it computes from
truncated weights alone: here both are shown and said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.sampled import (
    SEQUENCE_LIMIT,
    chi_squared,
    effective_share,
    estimate,
    importance,
    k1,
    k2,
    k3,
    of_sequences,
)
from analysis.units import Unit, from_nats, table_in

if TYPE_CHECKING:
    import pandas as pd

CAP = 2.0
"""Importance ratios are truncated here, as verl does by default."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Sequences as an engine wrote them."""

    name: str
    """Of the file."""
    tokens: tuple[np.ndarray, ...]
    """int64, (T,) each: all tokens of a sequence, its prompt among them."""
    logprobs: tuple[np.ndarray, ...]
    """float64, (T,) each, nats: what the engine gave to each token; NaN where it drew none, as in a prompt."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def n_drawn(self) -> int:
        """Tokens that the engine drew."""
        return int(sum((~np.isnan(values)).sum() for values in self.logprobs))


@dataclass(frozen=True, eq=False)
class RolloutMismatch:
    """Engine and model on the same tokens. Arrays have an entry for each token that the engine drew and the model predicts."""

    name: str
    model: str
    """Name and precision of the model."""
    sequence: np.ndarray
    """int32, (n,): number of its sequence, from 0, never falling."""
    position: np.ndarray
    """int32, (n,): place in its sequence."""
    token_id: np.ndarray
    """int64, (n,)."""
    text: tuple[str, ...]
    engine: np.ndarray
    """float64, (n,), nats: log-probability by the engine."""
    own: np.ndarray
    """float64, (n,), nats: log-probability by the model."""
    entropy: np.ndarray
    """float64, (n,), nats: of the model's distribution before the token."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.engine)

    @property
    def log_ratio(self) -> np.ndarray:
        """float64, (n,), nats: ln q - ln p, the logarithm of the importance ratio; above 0, the model finds the token likelier."""
        return self.own - self.engine

    def ratio(self, cap: float | None = None) -> np.ndarray:
        """float64, (n,): importance ratio q / p of every token; larger ones are cut to ``cap`` if it is given."""
        return importance(self.log_ratio, cap)

    @property
    def lengths(self) -> np.ndarray:
        """int64, (S,): tokens of each sequence that has any here."""
        return np.unique(self.sequence, return_counts=True)[1]

    def sequence_log_ratio(self, limit: float = np.inf) -> np.ndarray:
        """float64, (S,), nats: sum over the tokens of each of them, cut to within plus and minus ``limit``."""
        return of_sequences(self.log_ratio, self.lengths, limit)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return of_sequences(values, self.lengths, np.inf)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "sequence": self.sequence,
                "position": self.position,
                "token": self.text,
                "logprob_engine": self.engine,
                "logprob_model": self.own,
                "log_ratio": self.log_ratio,
                "ratio": self.ratio(),
                "k1": k1(self.log_ratio),
                "k3": k3(self.log_ratio),
                "entropy": self.entropy,
            }
        )
        return table_in(frame, ("logprob_engine", "logprob_model", "log_ratio", "k1", "k3", "entropy"), unit)

    def by_sequence(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per sequence: means over its tokens, the sum of its log-ratios, and the perplexities of both."""
        import pandas as pd

        n = self.lengths
        frame = pd.DataFrame(
            {
                "sequence": np.unique(self.sequence),
                "n_tokens": n,
                "log_ratio": self.sequence_log_ratio(),
                "k1": self._sums(k1(self.log_ratio)) / n,
                "k2": self._sums(k2(self.log_ratio)) / n,
                "k3": self._sums(k3(self.log_ratio)) / n,
                "perplexity_engine": np.exp(-self._sums(self.engine) / n),
                "perplexity_model": np.exp(-self._sums(self.own) / n),
            }
        )
        return table_in(frame, ("log_ratio", "k1", "k2", "k3"), unit)

    def by_entropy(self, n_bins: int = 8, unit: Unit = "nats") -> pd.DataFrame:
        """Mismatch in bins of equally many tokens, from those where the model was surest on.

        Parameters
        ----------
        n_bins : int, default 8
            Bins; fewer where there are fewer tokens.
        unit : {"nats", "bits"}
            Unit of information.
        """
        import pandas as pd

        parts = np.array_split(np.argsort(self.entropy, kind="stable"), min(n_bins, len(self)))
        ratio = self.log_ratio
        frame = pd.DataFrame(
            {
                "entropy": [self.entropy[part].mean() for part in parts],
                "absolute_log_ratio": [np.abs(ratio[part]).mean() for part in parts],
                "k1": [k1(ratio[part]).mean() for part in parts],
                "k3": [k3(ratio[part]).mean() for part in parts],
                "n_tokens": [len(part) for part in parts],
            }
        )
        return table_in(frame, ("entropy", "absolute_log_ratio", "k1", "k3"), unit)

    def summary(self, unit: Unit = "nats") -> pd.DataFrame:
        """The numbers of the whole file, a row each: name, value, standard error of a mean, unit, and what it says.

        Parameters
        ----------
        unit : {"nats", "bits"}
            Unit of information.

        Notes
        -----
        Standard errors take whole sequences as independent, not tokens; NaN for a single sequence.
        """
        import pandas as pd

        x, by_sequence = self.log_ratio, self.by_sequence()
        rows: list[tuple[str, float, float, str, str]] = []
        for name, values in (("k1", k1(x)), ("k2", k2(x)), ("k3", k3(x))):
            error = self._error_of_mean(values)
            rows.append((f"{name}, mean of tokens", float(values.mean()), error, "nats", _SAYS[name]))
        for name in ("k1", "k3"):
            found = estimate(by_sequence[f"{name}_nats"].to_numpy())
            says = "every sequence counts the same, however long it is"
            rows.append((f"{name}, mean of sequences", found.mean, found.standard_error, "nats", says))
        for of, log_ratio in (("tokens", x), ("sequences", self.sequence_log_ratio(SEQUENCE_LIMIT))):
            raw, cut = effective_share(log_ratio), effective_share(log_ratio, CAP)
            rows.append((f"effective share of {of}, raw", raw, np.nan, "", _SAYS["raw"]))
            rows.append((f"effective share of {of}, truncated", cut, np.nan, "", _SAYS["cut"]))
            rows.append((f"chi-squared of {of}", chi_squared(log_ratio), np.nan, "", _SAYS["chi"]))
        ratio = self.ratio()
        rows.append(("largest ratio", float(ratio.max()), np.nan, "", "of one token, not truncated"))
        above = f"tokens whose ratio is above {CAP:g}"
        rows.append(("share truncated", float((ratio > CAP).mean()), np.nan, "", above))
        for name in ("engine", "model"):
            found = estimate(by_sequence[f"perplexity_{name}"].to_numpy())
            says = _SAYS["perplexity"]
            rows.append((f"perplexity, {name}", found.mean, found.standard_error, "", says))
        frame = pd.DataFrame(rows, columns=["name", "value", "error", "unit", "says"])
        stored = frame["unit"] == "nats"
        frame.loc[stored, ["value", "error"]] = from_nats(frame.loc[stored, ["value", "error"]], unit)
        return frame.assign(unit=np.where(stored, unit, ""))

    def _error_of_mean(self, values: np.ndarray) -> float:
        """Standard error of a mean over tokens whose sequences are independent."""
        sums = self._sums(values - values.mean())
        n = len(sums)
        return float(np.sqrt((sums**2).sum() * n / (n - 1)) / len(values)) if n > 1 else np.nan


_SAYS = {
    "k1": "KL(engine‖model) without bias; single values may be below 0",
    "k2": "half the squared log-ratio: biased, close where both are close",
    "k3": "KL(engine‖model) without bias, no value below 0",
    "raw": "what the weighted sample is worth, as a share of its size",
    "cut": f"the same with ratios truncated at {CAP:g}: it flatters",
    "chi": "mean of the squared ratios less 1; 0 where both agree",
    "perplexity": "mean over sequences of exp(mean surprisal)",
}
