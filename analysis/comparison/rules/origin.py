"""Where a rule over two sides is from: its formula, its constants, and how well each of them is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Knowledge = Literal["code read", "paper's equations", "second hand", "abstract only", "guess of ours"]
"""How well a rule or a constant is known."""


@dataclass(frozen=True)
class Constant:
    """A number of a rule that a person may set."""

    name: str
    """Keyword of the rule's function."""
    label: str
    default: float
    low: float
    high: float
    step: float
    unit: str = ""
    """Such as "tokens"; empty for a pure number."""
    known: Knowledge = "guess of ours"

    @property
    def is_whole(self) -> bool:
        """Whether it counts something."""
        return self.step == int(self.step)


@dataclass(frozen=True)
class Origin:
    """What is known of a rule, for the page to show beside it."""

    source: str
    """Paper, and code where it was read."""
    formula: str
    known: Knowledge
    note: str
    """What is different here, and what is a guess, in sentences."""
    sides: str
    """What A and what B stand for."""
    constants: tuple[Constant, ...] = ()
