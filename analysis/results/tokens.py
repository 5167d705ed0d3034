"""What one run says about the tokens of a text. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TokenTrace:
    """One entry per token, where entry t speaks about token t.

    ``surprisal[t]``, ``entropy[t]``, ``varentropy[t]``, ``rank[t]``, ``max_prob[t]`` and
    the alternatives come from the distribution that predicted token t from the tokens
    before it. Where nothing came before, values are NaN and ranks 0: "no context".
    """

    token_id: np.ndarray
    """int64, (T,)."""
    text: tuple[str, ...]
    """Readable name of each token, (T,)."""
    start: np.ndarray
    """int32, (T,): first character of the text covered; -1 for an added token."""
    end: np.ndarray
    """int32, (T,): one past the last character covered."""
    n_bytes: np.ndarray
    """int32, (T,): UTF-8 bytes of the text the token stands for."""
    is_special: np.ndarray
    """bool, (T,)."""
    cell: np.ndarray
    """int32, (T,): tokens that share a character share a cell."""
    cell_text: tuple[str, ...]
    """Text of each cell."""
    context: np.ndarray
    """int32, (T,): how many tokens the prediction saw."""
    surprisal: np.ndarray
    """float32, (T,), nats: -ln p of the token that came."""
    entropy: np.ndarray
    """float32, (T,), nats, in [0, ln V]."""
    varentropy: np.ndarray
    """float32, (T,), nats squared: variance of the surprisal under the distribution."""
    max_prob: np.ndarray
    """float32, (T,): probability of the model's first choice."""
    rank: np.ndarray
    """int32, (T,): 1 for the model's first choice, 0 where there was no context."""
    top_ids: np.ndarray
    """int64, (T, k): the most probable tokens, best first; -1 without context."""
    top_logprobs: np.ndarray
    """float32, (T, k), nats."""
    names: dict[int, str]
    """Readable name of every id in ``token_id`` and the top lists."""

    def __len__(self) -> int:
        return len(self.token_id)

    @property
    def has_context(self) -> np.ndarray:
        """bool, (T,): whether the token was predicted at all."""
        return self.rank > 0

    @property
    def gap(self) -> np.ndarray:
        """float32, (T,), nats: surprisal minus entropy, "unexpected given its own doubt"."""
        return self.surprisal - self.entropy

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """Table with one row per token, information in the chosen unit.

        Columns that carry a unit are named with it, e.g. ``entropy_nats``.
        """

        def information(values: np.ndarray, power: int = 1) -> np.ndarray:
            return from_nats(values.astype(np.float64), unit, power=power)

        import pandas as pd

        return pd.DataFrame(
            {
                "position": np.arange(len(self)),
                "token": [_printable(t) for t in self.text],
                "token_id": self.token_id,
                "start": self.start,
                "end": self.end,
                "is_special": self.is_special,
                "context_tokens": self.context,
                f"surprisal_{unit}": information(self.surprisal),
                f"entropy_{unit}": information(self.entropy),
                f"varentropy_{unit}2": information(self.varentropy, 2),
                f"gap_{unit}": information(self.gap),
                "max_prob": self.max_prob.astype(np.float64),
                "rank": self.rank,
                "first_choice": [
                    _printable(self.names[int(i)]) if i >= 0 else "" for i in self.top_ids[:, 0]
                ],
            }
        )


def _printable(text: str) -> str:
    """Text a table can hold: lone surrogates would raise in Arrow."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class NextToken:
    """The distribution after the last token of the text."""

    entropy: float
    """nats."""
    varentropy: float
    """nats squared."""
    max_prob: float
    top_ids: np.ndarray
    """int64, (k,)."""
    top_logprobs: np.ndarray
    """float32, (k,), nats."""
