"""What rounding does to attention: entropies of the heads and attention on the first token, side against side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity
from analysis.comparison.rules.origin import Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source=titled("edge_qat"),
    formula="per head: mean over aligned tokens of B's entropy of attention less A's, and B's mean attention on the first "
    "token less A's",
    known="abstract only",
    note="The abstract puts the loss of quality down to changed attention maps and to other distributions of queries and keys, "
    "and trains rounded weights so that they come back; that the first token's column fades is second hand. The training "
    "is not here. Which entropy the paper takes was not found: here it is that of each token's attention.",
    sides="A has the weights as they are, B rounded ones.",
)


@dataclass(frozen=True, eq=False)
class HeadChange:
    """Change of every head."""

    entropy: np.ndarray
    """float64, (K, H), nats: change of the mean entropy of attention over the aligned tokens."""
    first_token: np.ndarray
    """float64, (K, H), in [-1, 1]: change of the mean attention on token 0."""
    layer_numbers: np.ndarray
    """int32, (K,)."""
    origin: Origin = ORIGIN

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per head."""
        import pandas as pd

        n_layers, n_heads = self.entropy.shape
        return pd.DataFrame(
            {
                "layer": np.repeat(self.layer_numbers, n_heads),
                "head": np.tile(np.arange(n_heads), n_layers),
                f"entropy_change_{unit}": from_nats(self.entropy.ravel(), unit),
                "first_token_change": self.first_token.ravel(),
            }
        )


def head_change(c: Comparison) -> HeadChange:
    """Compare the attention of two runs, head by head.

    Parameters
    ----------
    c : Comparison
        Whose runs both have attention, of models with the same layers and heads.

    Raises
    ------
    AnalysisError
        If a run has no attention, the heads are others, or no tokens are aligned.
    """
    change = _entropy_change(c)
    assert c.a.attention is not None and c.b.attention is not None
    first = c.b.attention.sink_mass.astype(np.float64) - c.a.attention.sink_mass
    return HeadChange(change.mean(-1), first, c.a.attention.layer_numbers)


def attention_change(c: Comparison) -> Laid:
    """Compare the attention of two runs along the text: mean over all heads.

    Parameters
    ----------
    c : Comparison
        As for :func:`head_change`.

    Raises
    ------
    AnalysisError
        As there.
    """
    heads = head_change(c)
    along = _entropy_change(c).mean((0, 1))
    numbers = (
        Number("entropy_change", "mean change of the entropy of attention", float(heads.entropy.mean()), 1),
        Number("most", "largest fall of a head", float(heads.entropy.min()), 1),
        Number("first_token", "mean change of attention on token 0", float(heads.first_token.mean())),
    )
    quantities = (Quantity("entropy_change", "change of the entropy of attention", along, 1),)
    return Laid(ORIGIN, quantities, along < 0, "attends to fewer tokens", numbers, limit=0.0)


def _entropy_change(c: Comparison) -> np.ndarray:
    """float64, (K, H, n), nats: of the attention of every pair's token."""
    a, b = c.a.attention, c.b.attention
    if a is None or b is None:
        raise AnalysisError("A side was run without attention.", "Run both sides with attention.")
    if a.entropy.shape[:2] != b.entropy.shape[:2]:
        raise AnalysisError("The sides have other layers or heads.", "Choose two sides of one architecture.")
    if not len(c.alignment.pairs):
        raise AnalysisError("No tokens are aligned one to one.", "Choose two sides with one tokenizer.")
    at_a, at_b = c.alignment.pairs.T
    return b.entropy[:, :, at_b].astype(np.float64) - a.entropy[:, :, at_a]
