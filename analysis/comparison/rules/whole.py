"""Both sides' whole distributions for a rule that asks for them: read again from kept states, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.pairs import PairedStates
    from analysis.comparison.results import Comparison
    from analysis.comparison.sides import Side


class WholeRows(Protocol):
    """Distributions of a block of rows, one column per token that both sides have."""

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
    """int64, (m,): columns of the text's tokens."""
    blocks: Callable[[], Iterator[WholeRows]]
    top_logits: Callable[[], np.ndarray] | None = None
    """Gives A's 10 largest logits for every pair, float64, (n, 10), which no distribution tells; None where unknown."""

    def measured(self, count: int, measure: Measure) -> list[np.ndarray]:
        """Numbers of every pair, float64, (n,) each; NaN where a side had no context.

        Parameters
        ----------
        count : int
            How many numbers ``measure`` gives.
        measure : callable
            Called once per block.
        """
        import torch

        out = [np.full(self.n, np.nan) for _ in range(count)]
        with torch.inference_mode():
            for block in self.blocks():
                found = measure(block, self.targets[block.rows].to(block.log_p.device))
                for values, numbers in zip(out, found, strict=True):
                    values[self.of[block.rows]] = numbers.double().cpu().numpy()
        return out


def whole_of(c: Comparison, paired: PairedStates, on_rows: Callable[[int], None] = lambda _: None) -> Whole:
    """Distributions of a comparison, from both heads and the states that its runs kept.

    Parameters
    ----------
    c : Comparison
        Of two sides with one vocabulary, its ids in whatever order.
    paired : PairedStates
        From :func:`analysis.comparison.pairs.paired_states`; the models must stay loaded while rules read it.
    on_rows : callable, optional
        Told the number of rows of each finished block.

    Raises
    ------
    AnalysisError
        If a side has tokens that the other one does not have.
    """
    from analysis.comparison.columns import columns_of
    from analysis.comparison.rules.r2r import top_logits
    from analysis.comparison.two_heads import blocks

    if c.vocabulary.kind not in ("identical", "permuted"):
        raise AnalysisError(
            f"This rule takes whole distributions over one vocabulary. {c.vocabulary.why}",
            "Choose two sides with one vocabulary.",
        )
    head_a, head_b = paired.a.head, paired.b.head
    columns = columns_of(c.vocabulary, head_a.vocab_size, head_b.vocab_size, head_a.weight.device)
    targets = columns.of_a(paired.targets_a.to(head_a.weight.device))
    n = len(c.alignment.pairs)
    return Whole(
        n,
        paired.of,
        targets,
        lambda: blocks(paired.a, paired.b, c.vocabulary, on_rows),
        lambda: top_logits(paired.a, paired.of, n, on_rows),
    )


def whole_of_sides(c: Comparison, a: Side, b: Side, on_rows: Callable[[int], None] = lambda _: None) -> Whole:
    """Distributions of a comparison, from the sides that it was made of; neither reads its text again.

    Parameters
    ----------
    c : Comparison
        From :func:`analysis.compare`, or from a file.
    a, b : Side
        Its sides, with their models. One that is loaded for this goes again, but for its vocabulary head.
    on_rows : callable, optional
        Told the number of rows of each finished block, whenever a rule reads them.

    Raises
    ------
    AnalysisError
        If a side has no model, its run kept no states or is another model's, or the vocabularies are different.
    """
    from analysis.comparison.measured import head_on, made_by
    from analysis.comparison.pairs import paired_states
    from analysis.comparison.sides import opened

    heads = []
    for name, side, run in (("A", a, c.a), ("B", b, c.b)):
        if side.model is None:
            raise AnalysisError(f"Side {name} has no model.", "Give the model that made its run.")
        with opened(side) as model:
            heads.append(model.anatomy.head)
        if not made_by(heads[-1], run):
            raise AnalysisError(
                f"The run of side {name} kept no states, or another model made it.",
                "Compare the two sides again.",
            )
    device = heads[1].weight.device
    one, other = (head_on(head, device) for head in heads)
    return whole_of(c, paired_states(c.a, c.b, c.alignment, one, other), on_rows)


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
