"""Thinking and answer in a written text, and how many tokens thinking takes from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "Price reversal of reasoning models (2025): thinking tokens of one question over repeated runs."
KNOWN = (
    "Abstract only: one question takes up to 9.7 times as many thinking tokens from run to run. Models and questions, and "
    "which orders by price it finds reversed in 21.8 % of cases, are not known here."
)
MARKERS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
"""What opens and closes thinking."""
State = Literal["none", "open in the prompt", "closed", "never closed"]
"""No thinking; closed in the text and opened before it; opened and closed in the text; opened and still going on."""


@dataclass(frozen=True)
class Thinking:
    """Where a written text thinks, in characters."""

    start: int
    """First character of the thinking, after its marker."""
    end: int
    """One past its last character; ``start`` where it thinks nothing."""
    answer_start: int | None
    """First character after the closing marker; 0 without thinking, None where it is never closed."""
    state: State


def thinking_in(text: str, opened: bool = False) -> Thinking:
    """Find the thinking in what a model wrote.

    Parameters
    ----------
    text : str
        What was written, without the prompt.
    opened : bool
        Whether the prompt ends inside thinking, as templates do that print the opening marker.

    Notes
    -----
    Thinking ends with the first closing marker. A limit that is reached before leaves no answer. A closing marker alone
    means that the opening one stands in the prompt.
    """
    for opening, closing in MARKERS:
        first, last = text.find(opening), text.find(closing)
        if first < 0 and last < 0:
            continue
        in_text = first >= 0 and (last < 0 or first < last)
        start = first + len(opening) if in_text and not (opened and text[:first].strip()) else 0
        if last < 0:
            return Thinking(start, len(text), None, "never closed")
        return Thinking(
            start, last, last + len(closing), "closed" if in_text and not opened else "open in the prompt"
        )
    return Thinking(0, len(text), None, "never closed") if opened else Thinking(0, 0, 0, "none")


def answer_part(text: str, opened: bool = False) -> str | None:
    """The text after the thinking; None where thinking never closes: then there is no answer."""
    start = thinking_in(text, opened).answer_start
    return None if start is None else text[start:]


@dataclass(frozen=True)
class ThinkingRuns:
    """Thinking tokens of N runs of one prompt."""

    thinking: np.ndarray
    """int64, (N,): tokens inside thinking, markers aside."""
    written: np.ndarray
    """int64, (N,): all written tokens, thinking with them."""
    states: tuple[State, ...]
    source: str = SOURCE
    known: str = KNOWN

    @property
    def spread(self) -> float:
        """Most over fewest thinking tokens of runs that think and close; NaN below two such runs."""
        whole = self._closed
        return float(whole.max() / whole.min()) if len(whole) > 1 else float("nan")

    @property
    def _closed(self) -> np.ndarray:
        known = np.array([state in ("closed", "open in the prompt") for state in self.states])
        return self.thinking[known & (self.thinking > 0)]

    @property
    def n_cut(self) -> int:
        """Runs whose thinking never closes: their counts are too low, and they count in no spread."""
        return sum(state == "never closed" for state in self.states)

    def price(self, per_million: float, per_million_thinking: float | None = None) -> np.ndarray:
        """Price of every run, float64, (N,), in the currency of the price of a million tokens.

        Parameters
        ----------
        per_million : float
            Price of a million written tokens.
        per_million_thinking : float, optional
            Price of a million thinking tokens, where it is another.
        """
        other = per_million if per_million_thinking is None else per_million_thinking
        if not min(per_million, other) >= 0 or np.isinf([per_million, other]).any():
            raise AnalysisError("A price is a number of at least 0.", "Type the price of a million tokens.")
        return np.asarray(((self.written - self.thinking) * per_million + self.thinking * other) / 1e6)

    def to_frame(self) -> pd.DataFrame:
        """One row per run."""
        import pandas as pd

        columns = {"thinking_tokens": self.thinking, "written_tokens": self.written, "state": self.states}
        return pd.DataFrame({"sample": np.arange(len(self.thinking)), **columns})


def thinking_runs(
    texts: Sequence[str], starts: Sequence[np.ndarray], ends: Sequence[np.ndarray], opened: bool = False
) -> ThinkingRuns:
    """Count the thinking tokens of every run of a prompt.

    Parameters
    ----------
    texts : sequence of str
        What each run wrote.
    starts, ends : sequence of numpy.ndarray
        Characters that each of its tokens covers.
    opened : bool
        As for :func:`thinking_in`.

    Raises
    ------
    AnalysisError
        If there are no runs.

    Notes
    -----
    A token is thinking if its first character is, the markers' own tokens are not.
    """
    if not len(texts):
        raise AnalysisError("There are no samples.", "Write some samples first.")
    found = [thinking_in(text, opened) for text in texts]
    thinking = [
        int(((start >= one.start) & (start < one.end)).sum())
        for one, start in zip(found, starts, strict=True)
    ]
    written = [len(end) for end in ends]
    return ThinkingRuns(
        np.array(thinking, np.int64), np.array(written, np.int64), tuple(one.state for one in found)
    )
