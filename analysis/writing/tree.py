"""The tree of what was written, laid out as plain values: equal beginnings are one, every end has a row.

The text of a piece stands in its row from left to right, and what follows it begins where its text ends; the first
to follow stays in the row, the others go below. Columns are characters of a font in which all are equally wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.drawing.labels import SIGNS, spelled

if TYPE_CHECKING:
    from analysis.writing.results import Writing

COLUMNS = 81
"""Characters of a row."""
_LONGEST_INNER, _SHORTEST, _LEAST_LEAF, _GAP = 34, 5, 14, 3
"""Characters of a piece that is followed by others, at most and at least; of an end, at least; between two pieces."""

Token = tuple[int, str]
"""Id of a written token, and the text that is drawn for it."""


@dataclass(frozen=True)
class Piece:
    """Tokens that the same branches share, up to where they part or end."""

    id: int
    parent: int | None
    """Piece that it follows; None follows the prompt."""
    start: int
    """Written tokens before its first one."""
    n_tokens: int
    """0 where a branch ends and others go on."""
    text: str
    shown: str
    """The text, shortened to its place and without line breaks."""
    passing: tuple[int, ...]
    """Ids of the branches that pass it, in order."""
    ends: tuple[int, ...]
    """Those that end with its last token."""
    row: int
    column: int

    @property
    def label(self) -> str:
        """What is drawn: the text, and how many pass where they are several."""
        return f"{self.shown} ×{len(self.passing)}" if len(self.passing) > 1 else self.shown

    @property
    def end_column(self) -> int:
        """Column behind what is drawn."""
        return self.column + len(self.label)


@dataclass(frozen=True)
class Tree:
    """All pieces, a piece after the one it follows."""

    pieces: tuple[Piece, ...]
    n_rows: int

    def way(self, branch: int) -> list[Piece]:
        """The pieces of a branch, from the prompt to its end."""
        return [piece for piece in self.pieces if branch in piece.passing]

    def row_of(self, branch: int) -> int:
        """Row in which a branch ends."""
        return self.way(branch)[-1].row


def tree_of(writing: Writing) -> Tree:
    """Lay out the branches of a writing, see :func:`lay_out`."""
    paths = {}
    for branch in writing.branches:
        tokens, n = writing.tokens(branch.id), len(writing.prompt.ids)
        texts = [
            tokens.cell_text[cell] if t == n or cell != tokens.cell[t - 1] else ""
            for t, cell in enumerate(tokens.cell[n:].tolist(), n)
        ]
        paths[branch.id] = list(zip(tokens.token_id[n:].tolist(), texts, strict=True))
    return lay_out(paths)


def lay_out(paths: Mapping[int, Sequence[Token]]) -> Tree:
    """Lay out texts by their tokens.

    Parameters
    ----------
    paths : mapping of int to sequence of (int, str)
        Written tokens of every branch, by its id.

    Returns
    -------
    Tree
        Of several that follow a piece, the one that most branches pass comes first, then the one of the earliest.
    """
    found: list[Piece] = []
    rows = 0

    def grow(parent: Piece | None, start: int, members: list[int], room: int) -> None:
        """Pieces that follow one, for the branches that go on."""
        nonlocal rows
        for i, group in enumerate(_parted(paths, members, start)):
            rows += i > 0
            stop = _common(paths, group, start)
            ends = tuple(m for m in group if len(paths[m]) == stop)
            goes_on = [m for m in group if m not in ends]
            is_inner = bool(goes_on)
            text = "".join(text for _, text in paths[group[0]][start:stop])
            column = 1 if parent is None else parent.end_column + _GAP
            width = room if is_inner else max(_LEAST_LEAF, COLUMNS - column)
            piece = Piece(
                len(found), None if parent is None else parent.id, start, stop - start, text, _shortened(text, width),
                tuple(group), ends, rows, column,
            )  # fmt: skip
            found.append(piece)
            if is_inner:
                if ends:  # a row of its own for what ends here
                    below = Piece(
                        len(found), piece.id, stop, 0, "", "∎", ends, ends, rows, piece.end_column + _GAP
                    )
                    found.append(below)
                    rows += 1
                grow(piece, stop, goes_on, room)

    depth = _depth(paths, list(paths), 0)
    grow(
        None,
        0,
        list(paths),
        max(_SHORTEST, min(_LONGEST_INNER, (COLUMNS - _LEAST_LEAF) // max(1, depth) - 2 * _GAP)),
    )
    return Tree(tuple(found), rows + 1 if found else 0)


def _parted(paths: Mapping[int, Sequence[Token]], members: list[int], start: int) -> list[list[int]]:
    """Members by their token at a place; those without one stay together."""
    groups: dict[int | None, list[int]] = {}
    for member in members:
        groups.setdefault(paths[member][start][0] if len(paths[member]) > start else None, []).append(member)
    return sorted(groups.values(), key=lambda group: (-len(group), members.index(group[0])))


def _common(paths: Mapping[int, Sequence[Token]], group: list[int], start: int) -> int:
    """One past the last token that all of them share."""
    first = paths[group[0]]
    end = min(len(paths[member]) for member in group)
    while start < end and all(paths[member][start][0] == first[start][0] for member in group):
        start += 1
    return start


def _depth(paths: Mapping[int, Sequence[Token]], members: list[int], start: int) -> int:
    """How many pieces that are followed by others stand on the longest way."""
    deepest = 0
    for group in _parted(paths, members, start):
        stop = _common(paths, group, start)
        goes_on = [m for m in group if len(paths[m]) > stop]
        if goes_on:
            deepest = max(deepest, 1 + _depth(paths, goes_on, stop))
    return deepest


def _shortened(text: str, width: int) -> str:
    """The text in one line of so many characters at most; spaces as they are, other white space by its sign."""
    line = "".join(SIGNS[c] if c in SIGNS and c != " " else c for c in spelled(text)).strip(" ")
    line = line or SIGNS["" if not text else " "]
    return line if len(line) <= width else f"{line[: width - 1].rstrip()}…"
