"""The quantities that a comparison says about every token, each declared once.

The strips, their legend, the curves, hover and help follow from :data:`COMPARED_QUANTITIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.comparison.results import ComparedRows, ComparedSpans, Comparison


@dataclass(frozen=True)
class ComparedQuantity:
    """What colours the row between two sides, and what colours the sides themselves beside it."""

    name: str
    """In code, in the address of the page, and the attribute of ``ComparedRows``."""
    label: str
    """On controls and axes."""
    colours: str
    """How the colours are read, in a sentence."""
    help: str
    """What it says, behind the formula."""
    formula: str
    """Markdown."""
    side: str = "entropy"
    """Quantity of each side that colours its text: "surprisal", "entropy" or "rank"."""
    signed: bool = False
    """Whether it is a change, drawn to both sides of 0; a divergence otherwise, from 0 up."""
    power: int = 1
    """Power of the unit: 1 information, 0 no unit."""
    of_spans: bool = False
    """Whether it can be said of spans that two tokenizers share."""

    def values(self, of: ComparedRows | ComparedSpans, unit: Unit = "nats") -> np.ndarray:
        """float64, one entry per pair or span, in the unit; NaN without context."""
        values: np.ndarray = getattr(of, self.name).astype(np.float64)
        return from_nats(values, unit, power=self.power)

    def unit_name(self, unit: Unit) -> str:
        """The unit as an axis shows it; empty for none."""
        return unit_label(unit, power=self.power)

    def label_with_unit(self, unit: Unit) -> str:
        """Name for an axis: ``KL(A‖B), nats``."""
        return ", ".join(filter(None, (self.label, self.unit_name(unit))))

    @property
    def help_line(self) -> str:
        """Item of a Markdown list: name, formula, what it says."""
        return f"- **{self.label[:1].upper()}{self.label[1:]}** {self.formula}: {self.help}"


COMPARED_QUANTITIES: dict[str, ComparedQuantity] = {
    quantity.name: quantity
    for quantity in (
        ComparedQuantity(
            "surprisal_change",
            "change of surprisal",
            "Orange: the token was more of a surprise to B. Blue: less.",
            "how much less (above 0) or more (below 0) likely B found the token that came.",
            r"$\ln p_A(x) - \ln p_B(x)$",
            side="surprisal",
            signed=True,
            of_spans=True,
        ),
        ComparedQuantity(
            "entropy_change",
            "change of entropy",
            "Orange: B was less sure before the token. Blue: surer.",
            "how much less sure (above 0) or surer (below 0) B was before it saw the token.",
            "$H(p_B) - H(p_A)$",
            signed=True,
            of_spans=True,
        ),
        ComparedQuantity(
            "rank_change",
            "change of rank",
            "Orange: the token stands further down B's list. Blue: further up.",
            "0.69 is twice as far down B's list, −0.69 half as far.",
            r"$\ln(\text{rank}_B / \text{rank}_A)$",
            side="rank",
            signed=True,
            power=0,
        ),
        ComparedQuantity(
            "kl_ab",
            "KL(A‖B)",
            "Stronger: predicting with B costs more where A is the truth.",
            "the price of B's prediction if A's were true.",
            r"$\sum p_A (\ln p_A - \ln p_B)$",
        ),
        ComparedQuantity(
            "kl_ba",
            "KL(B‖A)",
            "Stronger: predicting with A costs more where B is the truth.",
            "the price of A's prediction if B's were true.",
            r"$\sum p_B (\ln p_B - \ln p_A)$",
        ),
        ComparedQuantity(
            "jsd",
            "Jensen-Shannon divergence",
            "Stronger: the two predictions are further apart, whichever is the truth.",
            r"symmetric, at most $\ln 2$; $m$ is the mean of both.",
            r"$\frac12 KL(p_A \| m) + \frac12 KL(p_B \| m)$",
        ),
        ComparedQuantity(
            "tv",
            "total variation",
            "Stronger: the probability of some event changed by more.",
            "the largest change of any event's probability, 0 to 1; 1 minus it is how often a draft of one token would be "
            "accepted.",
            r"$\frac12 \sum |p_A - p_B|$",
            power=0,
        ),
    )
}
"""By name, in the order of the control; the first is shown first."""


def quantities_between(c: Comparison) -> dict[str, ComparedQuantity]:
    """Those that two sides have, by name: of spans alone where their vocabularies differ."""
    return {name: q for name, q in COMPARED_QUANTITIES.items() if c.rows is not None or q.of_spans}


def rounded_up(value: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten: the end of a scale; 1 for 0."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(m * power for m in (1, 2, 5, 10) if value <= m * power * (1 + 1e-9)))


def last_colour(values: np.ndarray, up: Callable[[float], float] = rounded_up) -> float:
    """Value of a scale's last colour: the 99th percentile of the sizes, rounded up."""
    known = np.abs(values[np.isfinite(values)])
    return up(float(np.percentile(known, 99)) if len(known) else 0.0)
