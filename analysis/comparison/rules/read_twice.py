"""A prompt read once against the same prompt read twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, answer_from, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source=titled("read_twice"),
    formula="surprisal after two readings less that after one, at each token of the answer; below 0 the second one helped",
    known="abstract only",
    note="The paper's gain of 11.0 points is that of recurrent models, whose state is too small for one pass. A model with "
    "attention over all tokens sees the prompt anyway: what falls here is mostly copying, since the prompt's own tokens "
    "are easy the second time. So the prompt's own tokens do not count.",
    sides="A has the prompt once, B twice.",
    constants=(Constant("first", "First token of the answer", 0, 0, 100_000, 1, "tokens"),),
)


def prompt_read_twice(c: Comparison) -> str:
    """The beginning of A's text that B reads once more in front of it; empty if B reads something else there."""
    if not c.b.text.endswith(c.a.text):
        return ""
    ahead = c.b.text[: len(c.b.text) - len(c.a.text)].strip()
    begin = c.a.text.find(ahead) if ahead else -1
    return c.a.text[: begin + len(ahead)] if begin >= 0 and not c.a.text[:begin].strip() else ""


def read_twice(c: Comparison, first: int = 0) -> Laid:
    """Surprisal that the second copy of a prompt takes from an answer.

    Parameters
    ----------
    c : Comparison
        Of one text, B with its prompt before it once more.
    first : int, default 0
        First token of A that counts; none of the prompt does, unless all of the text is read twice.

    Raises
    ------
    AnalysisError
        If B reads no beginning of A's text twice, tokens were not compared one to one, or none from ``first`` on.
    """
    prompt = prompt_read_twice(c)
    if not prompt:
        raise AnalysisError(
            "Side B does not read the beginning of A's text once more.",
            "Choose that beginning as the text before it.",
        )
    if prompt.rstrip() != c.a.text.rstrip():
        behind = np.flatnonzero(c.a.tokens.end > len(prompt))
        first = max(first, int(behind[0]) if len(behind) else len(c.a.tokens))
    there = answer_from(c, first)
    rows = rows_of(c)
    change = known(rows.surprisal_change, there)
    entropy = known(rows.entropy_change, there)
    numbers = (
        Number("surprisal_change", "mean surprisal change", float(np.nanmean(change)), 1),
        Number("entropy_change", "mean entropy change", float(np.nanmean(entropy)), 1),
        Number("helped", "share of tokens that it helped", float((change[there] < 0).mean())),
    )
    quantities = (
        Quantity("surprisal_change", "surprisal change", change, 1),
        Quantity("entropy_change", "entropy change", entropy, 1),
    )
    return Laid(ORIGIN, quantities, change < 0, "less surprising after two readings", numbers, limit=0.0)
