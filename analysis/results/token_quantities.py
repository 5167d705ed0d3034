"""The quantities that a run says about every token, each declared once.

Strip, legend, table, CSV, hover, help, the fields of a trace file and the arrays of a run follow from
:data:`TOKEN_QUANTITIES`. A measured quantity is a declaration here, a field of
:class:`analysis.results.tokens.TokenTrace` (``None`` by default, so that earlier files open), a line in
:mod:`analysis.forward.vocabulary_head` and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace

GLTR_LIMITS = (10, 100, 1000)
"""Upper ranks of GLTR's first three buckets (Gehrmann et al. 2019)."""
GLTR_NAMES = ("top 10", "top 100", "top 1000", "beyond")


def gltr_bucket(rank: np.ndarray) -> np.ndarray:
    """GLTR bucket of each rank: 0 top 10, 1 top 100, 2 top 1000, 3 beyond; NaN for rank 0.

    Parameters
    ----------
    rank : numpy.ndarray of int, shape (T,)
        1 is the model's first choice, so rank 10 is the last of "top 10".
    """
    bucket = np.searchsorted(GLTR_LIMITS, rank, side="left").astype(np.float32)
    return np.where(rank > 0, bucket, np.nan).astype(np.float32)


def _log10_rank(rank: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(rank > 0, np.log10(rank), np.nan).astype(np.float32)


@dataclass(frozen=True)
class TokenQuantity:
    """One quantity per token: its name, unit, formula, and how it is said and coloured."""

    name: str
    """In code, in the address of a page and in tables."""
    label: str
    """On buttons and axes."""
    title: str
    """Of the strip and its legend."""
    colours: str
    """How the colours are read, in a sentence."""
    help: str
    """What it says, behind the formula."""
    formula: str = ""
    """Markdown."""
    power: int = 1
    """Power of the unit: 1 information, 2 its square, 0 no unit."""
    stored: type[np.generic] | None = None
    """Kind of number that a run measures and a file holds; None if it follows from other quantities."""
    since: int = 1
    """First trace format that holds it: a file of an earlier one opens without it."""
    source: str = ""
    """Attribute of ``TokenTrace`` it is read from; its own name by default."""
    column: int = 0
    """Place among the columns of the table; 0 for none."""
    signed: bool = False
    """Coloured to both sides of 0."""
    classes: tuple[str, ...] = ()
    """Names of classes, where ``drawn`` gives class numbers 0..n-1 and not amounts."""
    end: Callable[[int], float] | None = None
    """Value of the last colour for a vocabulary of that size; None takes the text's 99th percentile."""
    drawn: Callable[[np.ndarray], np.ndarray] | None = None
    """What is coloured, from the values; the values themselves by default."""
    drawn_unit: str = ""
    """Unit of what ``drawn`` gives."""

    @property
    def missing(self) -> float:
        """Value of a token that had no context: NaN, or 0 for whole numbers."""
        return 0 if self.stored is not None and issubclass(self.stored, np.integer) else np.nan

    def values(self, tokens: TokenTrace) -> Any:
        """Values as stored, shape (T,), nats to the power; None where the run did not measure it."""
        return getattr(tokens, self.source or self.name)

    def in_unit(self, tokens: TokenTrace, unit: Unit) -> np.ndarray:
        """Values in the chosen unit, shape (T,): float64, or whole numbers as they are."""
        values = self.values(tokens)
        whole = np.issubdtype(values.dtype, np.integer)
        return values if whole else from_nats(values.astype(np.float64), unit, power=self.power)

    def colour_values(self, tokens: TokenTrace, unit: Unit) -> np.ndarray:
        """What a strip colours, float32, shape (T,); NaN where there was no context."""
        if self.drawn is not None:
            return self.drawn(self.values(tokens))
        return self.in_unit(tokens, unit).astype(np.float32)

    def column_name(self, unit: Unit) -> str:
        """Name of the table's column, with its unit: ``varentropy_nats2``."""
        return self.name + {0: "", 1: f"_{unit}", 2: f"_{unit}2"}[self.power]

    def label_with_unit(self, unit: Unit) -> str:
        """Name for an axis or a hover: ``varentropy (nats²)``."""
        return f"{self.label} ({unit_label(unit, power=self.power)})" if self.power else self.label

    @property
    def help_line(self) -> str:
        """Item of a Markdown list: name, formula, what it says."""
        return f"- **{self.label.capitalize()}**{' ' * bool(self.formula)}{self.formula}: {self.help}"


TOKEN_QUANTITIES: dict[str, TokenQuantity] = {
    quantity.name: quantity
    for quantity in (
        TokenQuantity(
            "entropy",
            "entropy",
            "Entropy before each token",
            "Stronger colour: the model saw more ways to go on.",
            "how many ways to go on it saw. $e^H$ is the number of equally likely tokens that would be as uncertain.",
            r"$H = -\sum p \ln p$",
            stored=np.float32,
            column=2,
        ),
        TokenQuantity(
            "surprisal",
            "surprisal",
            "Surprisal of each token",
            "Stronger colour: the token that came was less expected.",
            "how unexpected the token was that came.",
            r"$-\ln p(\text{token})$",
            stored=np.float32,
            column=1,
        ),
        TokenQuantity(
            "gap",
            "gap",
            "Surprisal minus entropy",
            "Orange: more surprised than the model expected to be. Blue: less.",
            "unexpected, given how uncertain the model was.",
            "$= $ surprisal $- H$",
            column=4,
            signed=True,
        ),
        TokenQuantity(
            "varentropy",
            "varentropy",
            "Varentropy before each token",
            "Stronger colour: some ways to go on were likely and others far-fetched. Faint: all about equally likely.",
            "high when a few likely ways stand beside many unlikely ones.",
            r"$\sum p\,(\ln p + H)^2$",
            power=2,
            stored=np.float32,
            column=3,
        ),
        TokenQuantity(
            "rank",
            "rank",
            "Rank of each token (log scale)",
            "Faint: the model's first choice. Each equal step in colour multiplies the rank.",
            "1 for the model's first choice.",
            power=0,
            stored=np.int32,
            column=6,
            end=lambda vocab_size: float(np.log10(vocab_size)),
            drawn=_log10_rank,
            drawn_unit="log10 rank",
        ),
        TokenQuantity(
            "gltr",
            "rank classes",
            "Rank class of each token",
            "Whether the token was among the model's ten, hundred or thousand first choices.",
            "GLTR's (Gehrmann et al. 2019): top 10, 100, 1000.",
            power=0,
            source="rank",
            classes=GLTR_NAMES,
            end=lambda _vocab_size: float(len(GLTR_NAMES) - 1),
            drawn=gltr_bucket,
        ),
        TokenQuantity(
            "max_prob",
            "top-1 probability",
            "Probability of the model's first choice",
            "Stronger colour: the model was surer of its first choice, right or wrong.",
            "how sure the model was of its first choice.",
            r"$\max p$",
            power=0,
            stored=np.float32,
            column=5,
            end=lambda _vocab_size: 1.0,
        ),
    )
}
"""By name, in the order of the buttons."""


def stored_quantities() -> list[TokenQuantity]:
    """Those that a run measures and a trace file holds."""
    return [quantity for quantity in TOKEN_QUANTITIES.values() if quantity.stored is not None]


def quantities_of(tokens: TokenTrace) -> dict[str, TokenQuantity]:
    """Those that a run has, by name; a file of an earlier version may lack some."""
    return {name: q for name, q in TOKEN_QUANTITIES.items() if q.values(tokens) is not None}
