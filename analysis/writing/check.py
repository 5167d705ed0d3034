"""The numbers of a branch, taken token by token, against those of reading its tokens again in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from analysis.forward.vocabulary_head import Rows, read_rows
from analysis.kv_cache.stream import CacheKind, Stream
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, silent
from analysis.results.trace import Check
from analysis.writing.beginning import existing
from analysis.writing.engine import TOP_K
from analysis.writing.results import Branch, Writing

EXACT = {"entropy": 1e-4, "surprisal": 1e-4, "varentropy": 2e-4}
"""Nats, and nats squared, in float32: three times what was seen over 4 x 64 tokens."""
HALF = {"entropy": 0.5, "surprisal": 0.5, "varentropy": 1.0}
"""In 16 bits, where 0.4 nats were seen: the order of the sums alone moves what is rounded that much."""
_TIE = 2e-4
"""Nats between two tokens that may change places; in 16 bits the budget of the surprisal."""


def check_written(
    model: LanguageModel, w: Writing, branch: int | None = None, *, on_progress: Progress | None = None
) -> Writing:
    """Read the tokens of a branch again in one pass, and write down how far its numbers are from that.

    Parameters
    ----------
    model : LanguageModel
        The one that wrote it.
    w : Writing
        Stays as it is.
    branch : int, optional
        The newest by default.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    Writing
        With ``checks`` in this branch. They cover its own tokens, not those of the branches that it leaves.

    Raises
    ------
    AnalysisError
        If another model wrote it, or there is no such branch.

    Notes
    -----
    Rounding alone differs between the two ways, most of all in 16 bits. A rank counts as equal if the token that
    came is as probable as another one within the tie.
    """
    number = existing(model, w, branch)
    this, path = w.branches[number], w.path(number)
    report = on_progress or silent

    def on_layer(layer: int) -> None:
        report(layer / model.info.n_layers, "reading the text again")

    with model.held("while reading the text again"):
        ids = torch.from_numpy(path)
        states = Stream(model, CacheKind("none", "")).read(ids[None], on_layer)[0, this.at - 1 :]
        again = read_rows(model.anatomy.head, states, ids[this.at :], TOP_K, lambda _n: None)
    checked = replace(this, checks=_checks(this, again, model.info.dtype))
    return replace(w, branches=(*w.branches[:number], checked, *w.branches[number + 1 :]))


def _checks(branch: Branch, again: Rows, dtype: str) -> tuple[Check, ...]:
    exact = dtype in ("float32", "float64")
    budgets, n = EXACT if exact else HALF, len(branch)
    found = []
    for name, budget in budgets.items():
        errors = np.abs(getattr(branch.numbers, name) - getattr(again, name)[:n])
        unit = "nats²" if name == "varentropy" else "nats"
        found.append(Check(f"{name} equals that of reading again", _largest(errors), budget, unit))
    moved = branch.numbers.rank != again.rank[:n]
    tie = _TIE if exact else HALF["surprisal"]
    nearest = np.abs(again.top_logprobs[:n] + again.surprisal[:n, None]).astype(np.float64)
    nearest[again.top_ids[:n] == branch.ids[:, None]] = np.inf
    inside = (branch.numbers.rank <= TOP_K) | (again.rank[:n] <= TOP_K)
    plain = moved & inside & (nearest.min(-1, initial=np.inf) > tie)
    found.append(
        Check(
            "ranks of the first ten are those of reading again, ties aside", float(plain.sum()), 0.0, "tokens"
        )
    )
    return tuple(found)


def _largest(errors: np.ndarray) -> float:
    """NaN where any is: then the check fails."""
    return float(errors.max()) if len(errors) else 0.0
