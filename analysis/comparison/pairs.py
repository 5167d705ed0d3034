"""The states that predicted the tokens of an alignment's pairs: here, once, rows become entries about tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.comparison.results import Alignment, ComparedRows
from analysis.comparison.two_heads import HeadStates

if TYPE_CHECKING:
    from analysis.models.anatomy import Head
    from analysis.results.trace import Trace

_MISSING = {"top_ids_a": -1, "top_ids_b": -1}


@dataclass(frozen=True, eq=False)
class PairedStates:
    """Both heads, and the states from which they predicted the tokens of m pairs that had a context on both sides."""

    a: HeadStates
    b: HeadStates
    targets_a: Tensor
    """int64, (m,): the tokens, as ids of A."""
    targets_b: Tensor
    """int64, (m,): as ids of B."""
    of: np.ndarray
    """int64, (m,): which pairs of the alignment they are."""

    def __len__(self) -> int:
        return len(self.of)

    def some(self, which: np.ndarray) -> PairedStates:
        """Only these of the m pairs, by their places."""
        at = torch.from_numpy(which)
        return PairedStates(
            HeadStates(self.a.head, self.a.states[at]),
            HeadStates(self.b.head, self.b.states[at]),
            self.targets_a[at],
            self.targets_b[at],
            self.of[which],
        )


def paired_states(a: Trace, b: Trace, alignment: Alignment, head_a: Head, head_b: Head) -> PairedStates:
    """States of both runs, paired by the token they predicted.

    Parameters
    ----------
    a, b : Trace
        Runs that kept their final states.
    alignment : Alignment
        Of their tokens.
    head_a, head_b : Head
        Vocabulary heads of the models that made the runs, on one device.

    Notes
    -----
    Token t is predicted by the state after token t - 1, so a first token is in no pair here.
    """
    if a.final_states is None or b.final_states is None:
        raise ValueError("a run without its final states has no distributions")
    pairs = alignment.pairs
    known = a.tokens.has_context[pairs[:, 0]] & b.tokens.has_context[pairs[:, 1]] & (pairs > 0).all(1)
    of = np.flatnonzero(known)
    at_a, at_b = pairs[of].T
    return PairedStates(
        HeadStates(head_a, torch.from_numpy(a.final_states[at_a - 1])),
        HeadStates(head_b, torch.from_numpy(b.final_states[at_b - 1])),
        torch.from_numpy(a.tokens.token_id[at_a]),
        torch.from_numpy(b.tokens.token_id[at_b]),
        of,
    )


def about_pairs(rows: ComparedRows, of: np.ndarray, n: int) -> ComparedRows:
    """Rows of some pairs as entries of all n of them: without context NaN, 0 for whole numbers, -1 for ids.

    Parameters
    ----------
    rows : ComparedRows
        One entry per pair that had a context.
    of : numpy.ndarray, int64
        Which pairs those are.
    n : int
        Pairs of the alignment.
    """
    found = {}
    for field in fields(ComparedRows):
        values = getattr(rows, field.name)
        if values is not None:
            missing = np.nan if values.dtype.kind == "f" else _MISSING.get(field.name, 0)
            whole = np.full((n, *values.shape[1:]), missing, values.dtype)
            whole[of] = values
            found[field.name] = whole
    return ComparedRows(**found)
