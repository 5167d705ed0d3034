"""What a comparison of two runs says: how their tokens are aligned, and what changed. Plain numpy, no model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.results.trace import Check, Trace
from analysis.units import Unit

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.structure import Structure
    from analysis.comparison.summary import Summary

AlignmentKind = Literal["same", "suffix", "prefix", "spans", "diff"]
"""How tokens of A and B belong together: all of them one to one; from the end on, or from the beginning on, one to one;
by the bytes of one text that two tokenizers split; or by matching stretches of two texts."""
VocabularyKind = Literal["identical", "permuted", "extended", "different"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which tokens of A and B are the same ones."""

    kind: AlignmentKind
    pairs: np.ndarray
    """int64, (n, 2): positions in A and in B of tokens that are compared one to one, in order."""
    span_a: np.ndarray
    """int32, (Ta,): number of the common span that each token of A is in; -1 for one that B does not have."""
    span_b: np.ndarray
    """int32, (Tb,)."""
    span_bytes: np.ndarray
    """int32, (S,): UTF-8 bytes of each span. A span is a pair, but where two tokenizers split one text."""
    dropped: int = 0
    """Tokens left out where the sides meet, because the tokenizer splits them otherwise there."""
    notes: tuple[str, ...] = ()

    @property
    def n_spans(self) -> int:
        """How many spans both sides have."""
        return len(self.span_bytes)


@dataclass(frozen=True, eq=False)
class VocabularyMatch:
    """Which ids of two vocabularies stand for the same bytes."""

    kind: VocabularyKind
    why: str
    """In a sentence."""
    b_of_a: np.ndarray | None = None
    """int64, (V_a,): id of B for every id of A, -1 where B has none; None where all ids are the same ones."""
    n_shared: int = 0
    only_a: int = 0
    """Ids that B does not have."""
    only_b: int = 0


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """One entry per pair of the alignment, about its token; NaN, and 0 for whole numbers, where a side had no context.

    p is the distribution that predicted the token on side A, q that on side B, both over the whole vocabulary.
    """

    entropy_a: np.ndarray
    """float32, (n,), nats."""
    entropy_b: np.ndarray
    surprisal_a: np.ndarray
    """float32, (n,), nats: -ln p of the text's token."""
    surprisal_b: np.ndarray
    kl_ab: np.ndarray
    """float32, (n,), nats: KL(p || q), the price of B where A is the truth."""
    kl_ba: np.ndarray
    """float32, (n,), nats: KL(q || p)."""
    jsd: np.ndarray
    """float32, (n,), nats, in [0, ln 2]: Jensen-Shannon divergence."""
    tv: np.ndarray
    """float32, (n,), in [0, 1]: total variation; 1 - tv is the chance that a speculative draft of one token is accepted."""
    rank_a: np.ndarray
    """int32, (n,): of the text's token, from 1."""
    rank_b: np.ndarray
    rank_of_a_in_b: np.ndarray
    """int32, (n,): rank on side B of A's first choice; 0 where B does not have that token."""
    rank_of_b_in_a: np.ndarray
    top_ids_a: np.ndarray
    """int64, (n, k): A's most probable tokens, best first, as ids of A; -1 without context."""
    top_ids_b: np.ndarray
    """int64, (n, k): B's, as ids of B."""
    top_logprobs_a: np.ndarray
    """float32, (n, k), nats."""
    top_logprobs_b: np.ndarray
    top_a_in_b: np.ndarray
    """float32, (n, k), nats: what B gives to A's most probable tokens; NaN where B does not have one."""
    top_b_in_a: np.ndarray
    first_differs: np.ndarray
    """float32, (n,): 1 where the first choices are other tokens, 0 where they are the same."""
    rest_a: np.ndarray | None = None
    """float32, (n,): probability of the ids that only A has; None where both have the same."""
    rest_b: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.kl_ab)

    @property
    def entropy_change(self) -> np.ndarray:
        """float32, (n,), nats: H(q) - H(p)."""
        return self.entropy_b - self.entropy_a

    @property
    def surprisal_change(self) -> np.ndarray:
        """float32, (n,), nats: above 0, B found the token more unexpected."""
        return self.surprisal_b - self.surprisal_a

    @property
    def prob_change(self) -> np.ndarray:
        """float32, (n,): probability of the text's token on side B less that on side A."""
        return np.exp(-self.surprisal_b) - np.exp(-self.surprisal_a)

    @property
    def rank_change(self) -> np.ndarray:
        """float32, (n,): ln(rank_b / rank_a); NaN without context."""
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.log(self.rank_b / self.rank_a)
        return np.where((self.rank_a > 0) & (self.rank_b > 0), change, np.nan).astype(np.float32)

    @property
    def has_context(self) -> np.ndarray:
        """bool, (n,): whether both sides predicted the token."""
        return ~np.isnan(self.kl_ab)

    @property
    def at_least(self) -> bool:
        """Whether divergences are lower bounds: ids that one side does not have count as one rest per side."""
        return self.rest_a is not None or self.rest_b is not None


@dataclass(frozen=True, eq=False)
class ComparedSpans:
    """One entry per common span, from the sides' own tokens: what can be said whatever the vocabularies are."""

    surprisal_a: np.ndarray
    """float64, (S,), nats: of A's tokens of the span together; NaN where one had no context."""
    surprisal_b: np.ndarray
    entropy_a: np.ndarray
    """float64, (S,), nats: sum over A's tokens of the span."""
    entropy_b: np.ndarray
    n_bytes: np.ndarray
    """int32, (S,)."""
    n_tokens_a: np.ndarray
    """int32, (S,)."""
    n_tokens_b: np.ndarray
    text: tuple[str, ...]
    """What is read in each span; a character that is split over spans stands in the first of them."""

    @property
    def surprisal_change(self) -> np.ndarray:
        """float64, (S,), nats."""
        return self.surprisal_b - self.surprisal_a

    @property
    def entropy_change(self) -> np.ndarray:
        """float64, (S,), nats: of the choices of tokens on the way through the span, which other tokenizers make otherwise."""
        return self.entropy_b - self.entropy_a

    @property
    def has_context(self) -> np.ndarray:
        """bool, (S,): whether both sides predicted all of it."""
        return ~np.isnan(self.surprisal_a + self.surprisal_b)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides that differ in something, and what differs between their numbers."""

    a: Trace
    b: Trace
    differs: tuple[str, ...]
    """What differs between the sides, a phrase each; empty for a side with itself."""
    alignment: Alignment
    vocabulary: VocabularyMatch
    spans: ComparedSpans
    rows: ComparedRows | None = None
    """None where the vocabularies differ or a side's states are not there; ``unavailable`` says why."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why a part is missing, by its name: "rows", "structure"."""
    checks: tuple[Check, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def swapped(self) -> Comparison:
        """The same comparison with A and B exchanged; nothing is computed again."""
        from analysis.comparison.swap import swapped

        return swapped(self)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """Table with one row per pair, or per span where there are no pairs to compare."""
        from analysis.comparison.tables import frame_of

        return frame_of(self, unit)

    def summary(self) -> Summary:
        """Means, quantiles and rates over the compared tokens, with intervals."""
        from analysis.comparison.summary import summary_of

        return summary_of(self)

    def structure(self) -> Structure | None:
        """Heads and layers of both sides; None where ``unavailable["structure"]`` says why."""
        from analysis.comparison.structure import structure_of

        return structure_of(self)

    def save(self, path: str | Path) -> Path:
        """Write both sides and the comparison to one file that :func:`analysis.load_comparison` opens."""
        from analysis.comparison.comparison_file import save_comparison

        return save_comparison(self, path)
