"""Variants of one prompt: whether they lead to one first choice, and how far the predictions are apart (after F2C)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import rows_of
from analysis.comparison.rules.origin import Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source=titled("f2c"),
    formula="share of the variants with the most frequent first choice at the answer; flips: variants whose choice is not "
    "that of A; Jensen-Shannon divergence of every variant from A",
    known="abstract only",
    note="The abstract has the majority of variants and their agreement; training towards it is left out. Divergences are of every variant from A and not of all pairs, as one comparison has two sides. An answer of more "
    "than one token is looked at by its first one.",
    sides="A is the prompt, B one variant of it per comparison.",
)


@dataclass(frozen=True, eq=False)
class Variants:
    """First choices at one token of an answer."""

    choices: tuple[int, ...]
    """Id of A's first choice, then of every variant's, as ids of A."""
    names: tuple[str, ...]
    """The same as they read."""
    jsd: np.ndarray
    """float64, (N,), nats: of every variant from A."""
    origin: Origin = ORIGIN

    @property
    def majority(self) -> tuple[int, float]:
        """Most frequent choice and its share, A counted; of equally frequent ones the first."""
        choice, count = Counter(self.choices).most_common(1)[0]
        return choice, count / len(self.choices)

    @property
    def flips(self) -> int:
        """Variants whose choice is not that of A."""
        return sum(choice != self.choices[0] for choice in self.choices[1:])

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row for A and one per variant."""
        import pandas as pd

        jsd = from_nats(np.concatenate([[0.0], self.jsd]), unit)
        return pd.DataFrame(
            {
                "first_choice": self.names,
                "flip": np.array(self.choices) != self.choices[0],
                f"jsd_{unit}": jsd,
            }
        )


def variants(cs: Sequence[Comparison], answer: int) -> Variants:
    """Compare the first choices of a prompt and of its variants at the answer.

    Parameters
    ----------
    cs : sequence of Comparison
        Of one run A and one variant each.
    answer : int
        Token of A that is the answer's first.

    Raises
    ------
    AnalysisError
        If there are no variants, A is not the same, or a variant does not have the answer.
    """
    if not cs:
        raise AnalysisError("There are no variants.", "Compare the prompt with one variant or more.")
    choices: list[int] = []
    names: list[str] = []
    jsd: list[float] = []
    for c in cs:
        rows = rows_of(c)
        found = np.flatnonzero((c.alignment.pairs[:, 0] == answer) & rows.has_context)
        if not len(found):
            raise AnalysisError(
                f"A variant does not have token {answer} of A.", "Choose a token of the answer."
            )
        i = int(found[0])
        own, other = int(rows.top_ids_a[i, 0]), int(rows.top_ids_b[i, 0])
        other = _on_a(c, other)
        if not choices:
            choices, names = [own], [c.a.tokens.names.get(own, str(own))]
        elif choices[0] != own:
            raise AnalysisError(
                "The comparisons have different sides A.", "Compare one prompt with its variants."
            )
        choices.append(other)
        names.append(c.b.tokens.names.get(int(rows.top_ids_b[i, 0]), str(other)))
        jsd.append(float(rows.jsd[i]))
    return Variants(tuple(choices), tuple(names), np.array(jsd))


def _on_a(c: Comparison, id_b: int) -> int:
    """Id of A for an id of B; -1 less the id where A does not have it."""
    if c.vocabulary.b_of_a is None:
        return id_b
    found = np.flatnonzero(c.vocabulary.b_of_a == id_b)
    return int(found[0]) if len(found) else -1 - id_b
