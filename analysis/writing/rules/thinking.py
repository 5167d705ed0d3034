"""How many tokens thinking takes, over repeated runs of one prompt; and the answer after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.writing.spans import THINKING, path_spans
from analysis.writing.thinking import ThinkingState, thinking_written

if TYPE_CHECKING:
    import pandas as pd

    from analysis.writing.results import Writing

SOURCE = f"Price reversal, {cited('price_reversal')}: thinking tokens of one question over repeated runs."
KNOWN = (
    "Abstract only: one question takes up to 9.7 times as many thinking tokens from run to run. Models and questions, and "
    "which orders by price it finds reversed in 21.8 % of cases, are not known here."
)


def answer_part(prompt: str, written: str, *, is_chat: bool = True) -> str | None:
    """What was written after the thinking.

    Parameters
    ----------
    prompt, written, is_chat
        As for :func:`analysis.writing.thinking.thinking_written`.

    Returns
    -------
    str or None
        The text after the last thinking; None where that never closes: a limit came first, and there is no answer.
    """
    found = thinking_written(prompt, written, is_chat=is_chat)
    if found.state == "never closed":
        return None
    return written[found.spans[-1][1] :] if found.spans else written


@dataclass(frozen=True)
class ThinkingRuns:
    """Thinking tokens of N runs of one prompt."""

    thinking: np.ndarray
    """int64, (N,): tokens inside thinking, its markers with them."""
    written: np.ndarray
    """int64, (N,): all written tokens."""
    states: tuple[ThinkingState, ...]
    source: str = SOURCE
    known: str = KNOWN

    @property
    def fewest_and_most(self) -> tuple[int, int]:
        """Thinking tokens of the runs with fewest and with most, whether they close or not."""
        return int(self.thinking.min()), int(self.thinking.max())

    @property
    def spread(self) -> float:
        """Most over fewest thinking tokens of the runs that think and close; NaN with fewer than two of them."""
        whole = self.thinking[np.isin(self.states, ("opened in the prompt", "opened in the text"))]
        return float(whole.max() / whole.min()) if len(whole) > 1 and whole.min() else float("nan")

    @property
    def n_cut(self) -> int:
        """Runs whose thinking never closes: their counts are too low, and they count in no spread."""
        return self.states.count("never closed")

    def price(self, per_million: float, per_million_thinking: float | None = None) -> np.ndarray:
        """Price of what each run wrote, float64, (N,), in the currency of the prices given.

        Parameters
        ----------
        per_million : float
            Price of a million written tokens.
        per_million_thinking : float, optional
            Price of a million thinking tokens, where it is another.
        """
        other = per_million if per_million_thinking is None else per_million_thinking
        if not all(0 <= price < np.inf for price in (per_million, other)):
            raise AnalysisError("A price is a number of at least 0.", "Type the price of a million tokens.")
        return np.asarray(((self.written - self.thinking) * per_million + self.thinking * other) / 1e6)

    def to_frame(self) -> pd.DataFrame:
        """One row per run."""
        import pandas as pd

        columns = {"thinking_tokens": self.thinking, "written_tokens": self.written, "state": self.states}
        return pd.DataFrame({"sample": np.arange(len(self.thinking)), **columns})


def thinking_of(w: Writing, branches: Sequence[int] | None = None) -> ThinkingRuns:
    """Count the thinking tokens of branches, each from the end of the prompt on.

    Parameters
    ----------
    w : Writing
        Such as that of samples.
    branches : sequence of int, optional
        Their ids; all by default.

    Raises
    ------
    AnalysisError
        If there are no branches.

    Notes
    -----
    A token thinks if its first character does, see :func:`analysis.writing.spans.path_spans`.
    """
    ids = range(len(w.branches)) if branches is None else branches
    if not len(ids):
        raise AnalysisError("There are no samples.", "Write some samples first.")
    n_prompt = len(w.prompt.ids)
    thinking, written, states = [], [], []
    for branch in ids:
        tokens, text = w.tokens(branch), w.text(branch)
        spans = [one for one in path_spans(w.prompt, tokens, text) if one.start >= n_prompt]
        begin = int(max(tokens.start[n_prompt], 0)) if len(tokens) > n_prompt else len(text)
        thinking.append(sum(one.end - one.start for one in spans if one.kind == THINKING))
        written.append(len(tokens) - n_prompt)
        states.append(thinking_written(w.prompt.text, text[begin:], is_chat=bool(w.prompt.messages)).state)
    return ThinkingRuns(np.array(thinking, np.int64), np.array(written, np.int64), tuple(states))
