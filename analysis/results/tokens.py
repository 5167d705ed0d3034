"""What one run says about the tokens of a text. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.results.token_quantities import quantities_of
from analysis.units import Unit

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

        Columns that carry a unit are named with it, e.g. ``entropy_nats``. A quantity that the run
        did not measure has no column.
        """
        import pandas as pd

        in_table = sorted((q for q in quantities_of(self).values() if q.column), key=lambda q: q.column)
        return pd.DataFrame(
            {
                "position": np.arange(len(self)),
                "token": [printable(t) for t in self.text],
                "token_id": self.token_id,
                "start": self.start,
                "end": self.end,
                "is_special": self.is_special,
                "context_tokens": self.context,
                **{quantity.column_name(unit): quantity.in_unit(self, unit) for quantity in in_table},
                "first_choice": [printable(self.names[int(i)]) if i >= 0 else "" for i in self.top_ids[:, 0]],
            }
        )


def printable(text: str) -> str:
    """Text that can be stored and sent: a lone surrogate, which is no text, becomes a question mark."""
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
