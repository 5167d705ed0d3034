"""Where SwiReasoning would think without words, and where it would write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

SOURCE = f"SwiReasoning, {cited('swi_reasoning')}, sdc17/SwiReasoning."
KNOWN = (
    "Code read. It begins without words; what it would feed back there, a mixture of embeddings, is not made: every token "
    "of this text was written, so the marks say what the rule would do with these entropies. Its limits on the number of "
    "switches are not applied."
)
DWELL = 512
"""Tokens that it writes at least before it may stop using words again."""


@dataclass(frozen=True)
class Switches:
    """State of the rule at every token."""

    latent: np.ndarray
    """bool, (T,): whether it would think without words when this token comes."""
    reference: np.ndarray
    """float64, (T,), nats: entropy at the beginning of the block that the token was compared with; NaN without one."""
    to_explicit: tuple[int, ...]
    """Tokens at which it begins to write."""
    to_latent: tuple[int, ...]
    """Tokens at which it stops using words."""
    dwell: int = DWELL
    thinking_end: int | None = None
    """First token after the thinking, from where on it only writes; None if that does not end."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def positions(self) -> tuple[int, ...]:
        """All switches, in order."""
        return tuple(sorted(self.to_explicit + self.to_latent))

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        count = np.arange(len(self.latent))
        return pd.DataFrame(
            {
                "position": count,
                "latent": self.latent,
                f"reference_{unit}": from_nats(self.reference, unit),
                "switch": np.isin(count, self.positions),
            }
        )


def switches(entropy: np.ndarray, thinking_end: int | None = None, dwell: int = DWELL) -> Switches:
    """Run the rule over the entropies of a text.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        nats, at temperature 1; a token without context is passed over.
    thinking_end : int, optional
        First token after ``</think>``.
    dwell : int, default 512
        Steps since it began to write before it may stop again; ours to lower where a text is short.

    Raises
    ------
    AnalysisError
        If no token has an entropy.

    Notes
    -----
    The reference is the entropy of the first token, then that of the token of each switch. Without words and below the
    reference: it writes. Writing for ``dwell`` steps and above the reference: it stops using words.
    """
    known = np.flatnonzero(~np.isnan(entropy))
    if not len(known):
        raise AnalysisError("No token has an entropy.", "Write or paste a text of two tokens or more.")
    latent, reference = np.zeros(len(entropy), bool), np.full(len(entropy), np.nan)
    to_explicit: list[int] = []
    to_latent: list[int] = []
    is_latent, level, steps = True, float(entropy[known[0]]), 0
    for t in known:
        value, steps = float(entropy[t]), steps + 1
        if thinking_end is not None and t >= thinking_end:
            break
        reference[t] = level
        if is_latent and value < level:
            is_latent, level, steps = False, value, 0
            to_explicit.append(int(t))
        elif not is_latent and value > level and steps >= dwell:
            is_latent, level, steps = True, value, 0
            to_latent.append(int(t))
        latent[t] = is_latent
    return Switches(latent, reference, tuple(to_explicit), tuple(to_latent), dwell, thinking_end)
