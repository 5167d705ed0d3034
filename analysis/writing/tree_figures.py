"""The tree of branches as a picture. Values in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.drawing.charts import styled
from analysis.drawing.theme import MONO_FONT, PROJECTOR_SCALE, theme
from analysis.results.tokens import printable
from analysis.writing.compare import label_of
from analysis.writing.tree import COLUMNS, Piece, Tree, tree_of

if TYPE_CHECKING:
    import altair as alt

    from analysis.writing.results import Writing

_COLUMN, _ROW, _ENDS, _AROUND = 6.75, 21, 18, 26
"""Pixels of a column and of a row of the tree; columns for the names of the ends; pixels above and below all rows."""
_NAME = 14
"""Letters of the name of an end."""
_WIDEST = 7.0
"""Pixels of the thickest line."""


def branches(
    writing: Writing,
    shown: int | None = None,
    *,
    ends: Mapping[int, str] | None = None,
    theme_name: str = "light",
    pick: bool = False,
    larger: bool = False,
) -> alt.LayerChart:
    """The tree of everything that was written from one prompt: equal beginnings once, thicker where more pass.

    Parameters
    ----------
    writing : Writing
        A prompt and its branches.
    shown : int, optional
        Branch to draw in ink; the newest one by default.
    ends : mapping of int to str, optional
        What stands at the end of each branch, such as its answer; its name or number by default.
    theme_name : {"light", "dark"}
        Colours.
    pick : bool
        Add a click selection called ``pick`` on the branch.
    larger : bool
        Leave room for letters of the projector mode's size.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours, tree = theme(theme_name), tree_of(writing)
    chosen = writing.newest if shown is None else shown
    names = {b.id: label_of(b) for b in writing.branches} | dict(ends or {})
    texts, lines, named = (
        _pieces_frame(tree, chosen),
        _lines_frame(tree, chosen),
        _ends_frame(tree, names, chosen),
    )
    x = alt.X("column:Q", axis=None, scale=alt.Scale(domain=[0, COLUMNS + _ENDS], nice=False))
    down = alt.Scale(domain=[tree.n_rows - 0.4, -0.6], nice=False)
    y = alt.Y("row:Q", axis=None, scale=down)
    amber = colours.pictures["token_entropy"]
    own = alt.condition("datum.chosen", alt.value(amber), alt.value(colours.muted))
    curves = (
        alt.Chart(lines)
        .mark_line(interpolate="basis", opacity=0.75)
        .encode(
            x=x, y=y, detail="piece:N", order="point:Q", color=own,
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
        )
    )  # fmt: skip
    weight = alt.expr("datum.chosen ? 'bold' : 'normal'")
    ink = alt.condition("datum.chosen", alt.value(colours.ink), alt.value(colours.muted))
    said = [alt.Tooltip("text:N"), alt.Tooltip("passing:Q", title="branches"), alt.Tooltip("tokens:Q")]
    words = (
        alt.Chart(texts)
        .mark_text(align="left", baseline="middle", font=MONO_FONT, fontWeight=weight)
        .encode(x=x, y=y, text="label:N", color=ink, tooltip=said)
    )
    at_end = (
        alt.Chart(named)
        .mark_text(align="right", baseline="middle", fontWeight=weight)
        .encode(
            x=x,
            y=y,
            text="name:N",
            color=ink,
            tooltip=[alt.Tooltip("all:N", title="ends")],
        )
    )
    layers: list[Any] = [curves, words, at_end]
    if pick:
        rows = alt.Chart(named).transform_calculate(top="datum.row - 0.5", below="datum.row + 0.5")
        anywhere = rows.mark_rect(opacity=0).encode(
            x=alt.value(0), x2=alt.value("width"), y=alt.Y("top:Q", scale=down, axis=None), y2="below:Q"
        )
        layers.insert(
            0,
            anywhere.add_params(alt.selection_point(name="pick", fields=["branch"], on="click", empty=False)),
        )
    width, height = _COLUMN * (COLUMNS + _ENDS), _ROW * max(1, tree.n_rows) + _AROUND
    width *= PROJECTOR_SCALE if larger else 1.0  # the height grows with the letters, see for_projector
    return styled(alt.layer(*layers).properties(width=round(width), height=height), theme_name)


def _pieces_frame(tree: Tree, chosen: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "column": piece.column,
                "row": piece.row,
                "label": piece.label,
                "text": printable(piece.text),
                "passing": len(piece.passing),
                "tokens": piece.n_tokens,
                "chosen": chosen in piece.passing,
            }
            for piece in tree.pieces
        ]
    )


def _lines_frame(tree: Tree, chosen: int) -> pd.DataFrame:
    """Four points for the line to every piece: from the end of the one before it, or from the prompt."""
    n, rows = len({b for piece in tree.pieces for b in piece.passing}), []
    for piece in tree.pieces:
        before = tree.pieces[piece.parent] if piece.parent is not None else None
        start, row = (0.0, 0) if before is None else (before.end_column + 0.4, before.row)
        end = piece.column - 0.4
        middle = (start + end) / 2
        way = ((start, row), (middle, row), (middle, piece.row), (end, piece.row))
        rows += [
            {
                "piece": piece.id,
                "point": i,
                "column": column,
                "row": at,
                "width": _thickness(piece, n),
                "chosen": chosen in piece.passing,
            }
            for i, (column, at) in enumerate(way)
        ]
    return pd.DataFrame(rows)


def _thickness(piece: Piece, n: int) -> float:
    """Pixels of the line to a piece: its area grows with the share of the branches that pass."""
    return max(1.2, _WIDEST * (len(piece.passing) / n) ** 0.5) if n > 1 else 1.2


def _ends_frame(tree: Tree, names: Mapping[int, str], chosen: int) -> pd.DataFrame:
    rows = []
    for piece in tree.pieces:
        is_end = piece.ends and not any(other.parent == piece.id for other in tree.pieces)
        if is_end:
            first = chosen if chosen in piece.ends else piece.ends[0]
            more = f" +{len(piece.ends) - 1}" if len(piece.ends) > 1 else ""
            name = names[first] if len(names[first]) <= _NAME else f"{names[first][: _NAME - 1]}…"
            rows.append(
                {
                    "column": COLUMNS + _ENDS,
                    "row": piece.row,
                    "branch": first,
                    "name": f"{name}{more}",
                    "all": ", ".join(printable(names[b]) for b in piece.ends),
                    "chosen": chosen in piece.ends,
                }
            )
    return pd.DataFrame(rows)
