"""Entropy by kind of text: code, table, formula, list, and prose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["code", "table", "formula", "list", "prose"]
"""What a stretch of text is."""
KINDS: tuple[Kind, ...] = get_args(Kind)

SOURCE = (
    f"Entropy of formatted text against prose, after works that count tokens by format: ARM, {cited('arm')}, and Plan and "
    f"Budget, {cited('plan_and_budget')}."
)
KNOWN = (
    "Abstract only. The kinds, and how they are told apart by Markdown and LaTeX signs, are this project's."
)

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(?!.*`)", re.MULTILINE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_BULLET = re.compile(r"\s*(?:[-*+\u2022]|\d{1,3}[.)])\s+\S")
_CONTINUED = re.compile(r"[ \t]{2,}\S")
_ROW = re.compile(r"\s*\|.*\|\s*$|[^|\n]+\|[^|\n]+")
_RULE = re.compile(r"\s*+\|?\s*+:?-++:?\s*+(?:\|\s*+:?-++:?\s*+)*\|?\s*+$")
_FORMULAS = re.compile(
    r"(?<!\\)\\\[(?:[^\\]|\\\\|\\[^\\\[\]])*+\\\]|(?<!\\)\\\((?:[^\\]|\\\\|\\[^\\()])*+\\\)|\$\$[^$]+\$\$"
    r"|(?<![\\$\w])\$(?=[^\s$])[^$\n]*(?<=[^\s\\$])\$(?![\d$])"
    r"|\\begin\{(equation|align|gather|cases|[pbv]?matrix)\*?\}.*?\\end\{\1\*?\}",
    re.DOTALL,
)


def kinds_of(text: str) -> np.ndarray:
    r"""Kind of every character, as an index into :data:`KINDS`; int8, (characters,).

    Notes
    -----
    Code is what stands between fences of three backticks or tildes, the fences with it, to the end where one is not
    closed. A table has a line of dashes and bars below its head, and goes on while lines have a bar. Formulas stand between
    ``$``, ``$$``, ``\( \)``, ``\[ \]`` or in an environment, inside a list or table too. A list item begins with a
    dash, star, plus, dot or number, and goes on over indented lines. All else is prose, inline code with it.
    """
    out = np.full(len(text), KINDS.index("prose"), np.int8)
    lines = [(found.start(), found.end()) for found in _LINE.finditer(text)]
    n = 0
    in_list = False
    while n < len(lines):
        begin, end = lines[n]
        line = text[begin:end]
        if fence := _FENCE.match(line):
            n = _after_fence(text, lines, n, fence[1])
            out[begin : lines[n - 1][1]] = KINDS.index("code")
            in_list = False
            continue
        if n + 1 < len(lines) and _begins_table(line, text[slice(*lines[n + 1])]):
            n += 2
            while n < len(lines) and "|" in text[slice(*lines[n])]:
                n += 1
            out[begin : lines[n - 1][1]] = KINDS.index("table")
            in_list = False
            continue
        in_list = bool(_BULLET.match(line) or (in_list and _CONTINUED.match(line)))
        if in_list:
            out[begin:end] = KINDS.index("list")
        n += 1
    for found in _FORMULAS.finditer(text):
        inside = out[found.start() : found.end()]
        inside[inside != KINDS.index("code")] = KINDS.index("formula")
    return out


def _begins_table(head: str, below: str) -> bool:
    return bool(_ROW.match(head) and "|" in below and _RULE.match(below))


def _after_fence(text: str, lines: list[tuple[int, int]], n: int, fence: str) -> int:
    """Number of the line after a block of code that begins with line n."""
    for m in range(n + 1, len(lines)):
        line = text[slice(*lines[m])].strip()
        if len(line) >= len(fence) and set(line) == {fence[0]}:
            return m + 1
    return len(lines)


@dataclass(frozen=True)
class Segment:
    """Consecutive tokens of one kind."""

    kind: Kind
    start: int
    """First token."""
    end: int
    """One past the last."""


@dataclass(frozen=True)
class EntropyBySegment:
    """Kind of every token, and what the entropies of each kind are."""

    kind: tuple[Kind | None, ...]
    """(T,): None for a token that covers no text."""
    entropy: np.ndarray
    """float64, (T,), nats; NaN without context."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Stretches of one kind, in order; a token without text belongs to none and does not end one."""
        found: list[Segment] = []
        for t, kind in enumerate(self.kind):
            if kind is None:
                continue
            if found and found[-1].kind == kind:
                found[-1] = Segment(kind, found[-1].start, t + 1)
            else:
                found.append(Segment(kind, t, t + 1))
        return tuple(found)

    @property
    def positions(self) -> tuple[int, ...]:
        """First tokens of the segments."""
        return tuple(one.start for one in self.segments)

    def of(self, kinds: Sequence[Kind]) -> np.ndarray:
        """float64, nats: known entropies of the tokens of some kinds."""
        inside = np.array([kind in kinds for kind in self.kind], bool)
        return self.entropy[inside & ~np.isnan(self.entropy)]

    @property
    def formatted_minus_prose(self) -> float:
        """nats: mean entropy of code, tables and formulas minus that of prose; NaN while one has no tokens."""
        both = self.of(("code", "table", "formula")), self.of(("prose",))
        return float(both[0].mean() - both[1].mean()) if all(len(one) for one in both) else float("nan")

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per kind that is there: tokens with an entropy, segments, mean and median entropy."""
        import pandas as pd

        rows = []
        for kind in KINDS:
            values = from_nats(self.of((kind,)), unit)
            if len(values):
                rows.append(
                    {
                        "kind": kind,
                        "tokens": len(values),
                        "segments": sum(one.kind == kind for one in self.segments),
                        f"mean_entropy_{unit}": values.mean(),
                        f"median_entropy_{unit}": np.median(values),
                    }
                )
        return pd.DataFrame(rows)


def entropy_by_segment(
    text: str, start: np.ndarray, end: np.ndarray, entropy: np.ndarray
) -> EntropyBySegment:
    """Tell code, tables, formulas and lists from prose, and each token's kind.

    Parameters
    ----------
    text : str
        The whole text.
    start, end : numpy.ndarray of int, shape (T,)
        Characters that each token covers; none where ``end <= start``, or start is negative.
    entropy : numpy.ndarray, shape (T,)
        nats; NaN without context.

    Raises
    ------
    AnalysisError
        If there is no text.

    Notes
    -----
    A token over a border is of the kind of its first character that is no space.
    """
    if not text or not len(start):
        raise AnalysisError("There is no text.", "Write or paste one first.")
    kinds = kinds_of(text)
    found: list[Kind | None] = []
    for a, b in zip(start.tolist(), end.tolist(), strict=True):
        if a < 0 or b <= a:
            found.append(None)
            continue
        inside = text[a:b]
        found.append(KINDS[kinds[a + (len(inside) - len(inside.lstrip()) if inside.strip() else 0)]])
    return EntropyBySegment(tuple(found), np.asarray(entropy, np.float64))
