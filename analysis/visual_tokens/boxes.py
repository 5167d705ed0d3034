"""Which part of the picture each visual token stands for: plain values, and how grids of tokens become rectangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAIN, WHOLE, NEWLINE = 0, 1, 2
"""What a token belongs to: the grid over the picture (or its crops); the whole picture seen once more, small; no place."""


@dataclass(frozen=True, eq=False)
class TokenBoxes:
    """Rectangle of each visual token on the picture that the processor was given.

    Parameters
    ----------
    box : numpy.ndarray
        (n, 4) of float64: left, top, right, bottom in pixels of the picture; NaN for learned newlines. May be
        empty (left = right) for tokens that lie on padding alone.
    view : numpy.ndarray
        (n,) of int: :data:`MAIN`, :data:`WHOLE` (draw it beside the picture, not over it) or :data:`NEWLINE`.
    row, column : numpy.ndarray
        (n,) of int in the token's own grid; -1 for newlines.
    size : tuple of int
        Width and height of the picture.
    """

    box: np.ndarray
    view: np.ndarray
    row: np.ndarray
    column: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.box)

    @property
    def unseen(self) -> float:
        """Share of the picture that no token stands for: what a centre crop cuts away."""
        width, height = self.size
        left, top = np.nanmin(self.box[:, :2], 0)
        right, bottom = np.nanmax(self.box[:, 2:], 0)
        return float(1 - (right - left) * (bottom - top) / (width * height))


def grid_boxes(
    size: tuple[int, int],
    shape: tuple[int, int],
    *,
    area: tuple[float, float, float, float] | None = None,
    view: int = MAIN,
    newlines: bool = False,
) -> TokenBoxes:
    """Lay a grid of tokens, row by row, over a part of the picture.

    Parameters
    ----------
    size : tuple of int
        Width and height of the picture.
    shape : tuple of int
        Rows and columns of the grid.
    area : tuple of float, optional
        Left, top, right, bottom that the whole grid covers; may reach beyond the picture, where it is cut off.
        The picture by default.
    view : int
    newlines : bool
        Whether each row ends with a learned newline.
    """
    rows, columns = shape
    left, top, right, bottom = area or (0, 0, *size)
    x = (left + np.arange(columns + 1) * (right - left) / columns).clip(0, size[0])
    y = (top + np.arange(rows + 1) * (bottom - top) / rows).clip(0, size[1])
    row, column = (part.ravel() for part in np.mgrid[:rows, :columns])
    box = np.stack([x[column], y[row], x[column + 1], y[row + 1]], 1)
    found = TokenBoxes(box, np.full(len(box), view), row, column, size)
    return _with_newlines(found, shape) if newlines else found


def _with_newlines(grid: TokenBoxes, shape: tuple[int, int]) -> TokenBoxes:
    rows, columns = shape

    def ended(values: np.ndarray, end: float) -> np.ndarray:
        table = values.reshape(rows, columns, -1)
        last = np.full((rows, 1, table.shape[2]), end, table.dtype)
        return np.concatenate([table, last], 1).reshape(rows * (columns + 1), *values.shape[1:])

    return TokenBoxes(
        ended(grid.box, np.nan),
        ended(grid.view, NEWLINE),
        ended(grid.row, -1),
        ended(grid.column, -1),
        grid.size,
    )


def joined(parts: list[TokenBoxes]) -> TokenBoxes:
    """Tokens of several grids on one picture, one after the other."""
    return TokenBoxes(
        np.concatenate([p.box for p in parts]),
        np.concatenate([p.view for p in parts]),
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.column for p in parts]),
        parts[0].size,
    )


def tiles(size: tuple[int, int], layout: tuple[int, int], side: int) -> list[TokenBoxes]:
    """Grids of side x side tokens of tiles that cut the stretched picture evenly, tile after tile, row by row.

    Row and column count on over the whole picture.
    """
    rows, columns = layout
    width, height = size[0] / columns, size[1] / rows
    found = []
    for r in range(rows):
        for c in range(columns):
            area = (c * width, r * height, (c + 1) * width, (r + 1) * height)
            one = grid_boxes(size, (side, side), area=area)
            found.append(TokenBoxes(one.box, one.view, one.row + r * side, one.column + c * side, size))
    return found
