"""Both sides' whole distributions for a rule that asks for them: read again from kept states, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class WholeRows(Protocol):
    """Distributions of a block of rows, on A's ids; nothing in it may be changed."""

    @property
    def rows(self) -> slice:
        """Which rows of all."""

    @property
    def log_p(self) -> Tensor:
        """(m, V), nats: side A."""

    @property
    def p(self) -> Tensor:
        """(m, V): side A."""

    @property
    def log_q(self) -> Tensor:
        """(m, V), nats: side B."""

    @property
    def q(self) -> Tensor:
        """(m, V): side B."""


Measure = Callable[[WholeRows, "Tensor"], Sequence["Tensor"]]
"""From a block and the ids of its tokens to numbers of every row."""


@dataclass(frozen=True, eq=False)
class Whole:
    """Where whole distributions come from."""

    n: int
    """Pairs of the comparison."""
    of: np.ndarray
    """int64, (m,): the pair that each row predicted."""
    targets: Tensor
    """int64, (m,): ids of the text's tokens, those of A."""
    blocks: Callable[[], Iterator[WholeRows]]

    def measured(self, count: int, measure: Measure) -> list[np.ndarray]:
        """Numbers of every pair, float64, (n,) each; NaN where a side had no context.

        Parameters
        ----------
        count : int
            How many numbers ``measure`` gives.
        measure : callable
            Called once per block.
        """
        out = [np.full(self.n, np.nan) for _ in range(count)]
        for block in self.blocks():
            at = self.of[block.rows]
            for values, found in zip(
                out, measure(block, self.targets[block.rows].to(block.log_p.device)), strict=True
            ):
                values[at] = found.double().cpu().numpy()
        return out


def mixed(block: WholeRows, of_p: float | Tensor, of_q: float | Tensor) -> Tensor:
    """Log-probabilities proportional to ``of_p ln p + of_q ln q``, (m, V), nats.

    Parameters
    ----------
    block : WholeRows
        Distributions.
    of_p, of_q : float or Tensor of shape (m, 1)
        Weights. They act on logits as on log-probabilities: the difference is one number per row, which normalising
        takes away.
    """
    scores = block.log_p * of_p
    scores += block.log_q * of_q
    scores -= scores.logsumexp(-1, keepdim=True)
    return scores


def at(log_probs: Tensor, ids: Tensor) -> Tensor:
    """Log-probability of an id per row, (m,)."""
    return log_probs.gather(-1, ids[:, None])[:, 0]


def entropy_of(log_probs: Tensor) -> Tensor:
    """Entropy of every row, (m,), nats."""
    return -(log_probs.exp() * log_probs).sum(-1)
