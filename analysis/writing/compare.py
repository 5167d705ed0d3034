"""Two branches side by side, and all of them in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.results.tokens import printable
from analysis.units import Unit, from_nats, unit_label
from analysis.writing.paths import along

if TYPE_CHECKING:
    from analysis.writing.results import Branch, Writing


@dataclass(frozen=True)
class Side:
    """A branch from one of its written tokens to its end."""

    branch: int
    n_tokens: int
    """From there to its end."""
    log_prob: float
    """Of these tokens, given all before: the sum of ln p at temperature 1, nats."""
    mean_entropy: float
    """Over these tokens, nats; NaN for none."""
    mean_surprisal: float
    """nats; NaN for none."""


@dataclass(frozen=True)
class Comparison:
    """Where two branches part, and what each way on is worth."""

    parts_at: int
    """Position in the path of the first token that differs, or behind the end of the shorter one."""
    n_shared: int
    """Written tokens before that."""
    one: Side
    other: Side
    cost: float
    """What the other way cost, nats: log-probability of the one less that of the other, over as many tokens as both have.

    Zero where one of them ends there. Above zero: the model found the other way less likely.
    """


def compare(writing: Writing, one: int, other: int) -> Comparison:
    """Compare two branches.

    Parameters
    ----------
    writing : Writing
        The prompt and its branches.
    one, other : int
        Ids of the branches.
    """
    a, b = writing.path(one), writing.path(other)
    n = min(len(a), len(b))
    differs = np.flatnonzero(a[:n] != b[:n])
    parts_at = int(differs[0]) if len(differs) else n
    shared = parts_at - len(writing.prompt.ids)
    both = n - parts_at
    surprisals = [along(writing, branch, "surprisal")[shared : shared + both] for branch in (one, other)]
    cost = float(np.sum(surprisals[1], dtype=float) - np.sum(surprisals[0], dtype=float))
    return Comparison(parts_at, shared, side_of(writing, one, shared), side_of(writing, other, shared), cost)


def side_of(writing: Writing, branch: int, start: int = 0) -> Side:
    """Numbers of a branch's path from one of its written tokens to the end."""
    surprisal, entropy = (
        along(writing, branch, name)[start:].astype(float) for name in ("surprisal", "entropy")
    )
    n = len(surprisal)
    mean_entropy, mean_surprisal = (float(x.mean()) if n else float("nan") for x in (entropy, surprisal))
    return Side(branch, n, -float(surprisal.sum()), mean_entropy, mean_surprisal)


def label_of(branch: Branch) -> str:
    """A branch's name, or its number from 1."""
    return branch.name or f"branch {branch.id + 1}"


def written_text(writing: Writing, branch: int, start: int = 0, end: int | None = None) -> str:
    """What was written on a branch's path between two positions, special tokens by their names."""
    tokens = writing.tokens(branch)
    cells = dict.fromkeys(tokens.cell[max(start, len(writing.prompt.ids)) : end].tolist())
    return printable("".join(tokens.cell_text[cell] for cell in cells))


def branches_frame(writing: Writing, unit: Unit = "nats") -> pd.DataFrame:
    """Table with one row per branch; numbers are those of its whole path behind the prompt."""
    rows = []
    for branch in writing.branches:
        side = side_of(writing, branch.id, 0)
        rows.append(
            {
                "branch": branch.id + 1,
                "name": printable(branch.name),
                "leaves": "" if branch.parent is None else str(branch.parent + 1),
                "at": branch.at,
                "tokens": side.n_tokens,
                f"mean_entropy_{unit_label(unit)}": from_nats(side.mean_entropy, unit),
                f"mean_surprisal_{unit_label(unit)}": from_nats(side.mean_surprisal, unit),
                f"log_probability_{unit_label(unit)}": from_nats(side.log_prob, unit),
                "ended": branch.ended,
                "text": written_text(writing, branch.id),
            }
        )
    return pd.DataFrame(rows)
