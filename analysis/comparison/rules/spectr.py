"""Speculative decoding: how often a draft of A would be accepted by B, with one draft and with k of them (SpecTr)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Curve, Laid, Line, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.comparison.rules.whole import Whole, WholeRows
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.results import Comparison

LENGTH, DRAFTS = 4, (1, 2, 4, 8)

ORIGIN = Origin(
    source=titled("spectr") + " One draft as in speculative decoding.",
    formula="one draft: sum of min(p, q) = 1 - TV; k drafts drawn from p: 1 + min over sets S of tokens of (q(S) - p(S)^k), "
    "reached by the tokens with the smallest q / p",
    known="paper's equations",
    note="With k drafts this is the best that any way of choosing among them can do, computed exactly; the paper's own "
    "algorithm reaches (1 - 1/e) of it at least. Tokens accepted per step from a draft of g tokens, "
    "(1 - a^(g+1)) / (1 - a), takes every position as independent and equally likely a, which a text is not; how many is a guess of ours.",
    sides="A drafts, B accepts.",
    constants=(Constant("length", "Tokens in a draft", LENGTH, 1, 16, 1, "tokens"),),
)
OF_MANY = replace(ORIGIN, constants=())
"""The same for many drafts, which has nothing to be set."""


def expected_tokens(acceptance: float, length: int = LENGTH) -> float:
    """Tokens that a step gives if every position is accepted with the same probability, the target's own with them.

    Parameters
    ----------
    acceptance : float
        In [0, 1].
    length : int
        Tokens in a draft.
    """
    return float(sum(acceptance**i for i in range(length + 1)))


def acceptance(c: Comparison, length: int = LENGTH) -> Laid:
    """Chance that a token drafted by A is accepted by B, at every position of the text.

    Parameters
    ----------
    c : Comparison
        Of a draft model and a target.
    length : int, default 4
        Tokens in a draft, for the number of tokens per step.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one, or the length is below 1.
    """
    if length < 1:
        raise AnalysisError("A draft has 1 token or more.", "Choose 1 or more.")
    rows = rows_of(c)
    accepted = 1 - known(rows.tv, rows.has_context)
    mean = float(np.nanmean(accepted))
    numbers = (
        Number("acceptance", "mean acceptance", mean),
        Number("tokens", f"tokens per step with drafts of {length}", expected_tokens(mean, length)),
    )
    quantities = (Quantity("acceptance", "acceptance", accepted),)
    return Laid(ORIGIN, quantities, accepted < 0.5, "more often refused than accepted", numbers, limit=0.5)


def acceptance_of_many(c: Comparison, whole: Whole, drafts: tuple[int, ...] = DRAFTS) -> Laid:
    """Chance that one of k tokens drafted by A is accepted by B, in the best way of choosing among them.

    Parameters
    ----------
    c : Comparison
        Of a draft model and a target.
    whole : Whole
        Both sides' distributions.
    drafts : tuple of int
        Numbers of drafts k.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.

    Notes
    -----
    A plan that carries draws of k tokens to accepted ones is a flow; the largest one is the smallest cut, and a cut is a
    set S of tokens: ``1 + q(S) - p(S)^k``. Along ``q / p`` it is enough to look at beginnings, since ``-x^k`` is concave.
    """
    rows = rows_of(c)

    def measure(block: WholeRows, _targets: Tensor) -> list[Tensor]:
        order = (block.log_q - block.log_p).argsort(-1)
        p = block.p.gather(-1, order).double().cumsum(-1)
        q = block.q.gather(-1, order).double().cumsum(-1)
        return [1 + (q - p.clamp(max=1) ** k).amin(-1).clamp(max=0) for k in drafts]

    found = whole.measured(len(drafts), measure)
    means = np.array([float(np.nanmean(one[rows.has_context])) for one in found])
    numbers = tuple(
        Number(f"k{k}", f"{k} drafts" if k > 1 else "1 draft", float(m))
        for k, m in zip(drafts, means, strict=True)
    )
    quantities = tuple(
        Quantity(f"acceptance_{k}", f"acceptance with {k} drafts", one)
        for k, one in zip(drafts, found, strict=True)
    )
    curve = Curve(
        "drafts", "mean acceptance", (Line("best choice among them", np.array(drafts, float), means),)
    )
    nothing = np.zeros(len(rows), bool)
    return Laid(OF_MANY, quantities, nothing, "", numbers, curves=(curve,))
