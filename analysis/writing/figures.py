"""The pictures of what was written: its entropy as it came, and the tree of branches. Values in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import MONO_FONT, SMALL_SIZE, theme
from analysis.results.tokens import TokenTrace, printable
from analysis.token_entropy.measures import window_mean
from analysis.units import Unit, from_nats
from analysis.writing.compare import label_of
from analysis.writing.strips import HIGHEST, written_tokens
from analysis.writing.tree import COLUMNS, Piece, Tree, tree_of

if TYPE_CHECKING:
    import altair as alt

    from analysis.writing.results import Writing

_RUNNING = 8
"""Tokens of the running mean."""
_LEAST_ACROSS = 12
"""Tokens that the axis has room for."""
_COLUMN, _ROW, _ENDS, _AROUND = 6.75, 21, 18, 26
"""Pixels of a column and of a row of the tree; columns for the names of the ends; pixels above and below all rows."""
_WIDEST = 7.0
"""Pixels of the thickest line."""


def written_entropy(
    writing: Writing,
    branch: int | None = None,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    token: int | None = None,
) -> alt.LayerChart:
    """Entropy before every written token of a branch.

    Parameters
    ----------
    writing : Writing
        A prompt and its branches.
    branch : int, optional
        Whose path; the newest one by default.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    token : int, optional
        A written token to mark, counted from the first.
    """
    tokens = written_tokens(writing.tokens(branch), len(writing.prompt.ids))
    return entropy_bars(tokens, unit=unit, theme_name=theme_name, token=token)


def entropy_bars(
    tokens: TokenTrace, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> alt.LayerChart:
    """The same of tokens that are at hand, such as those of a branch that still grows."""
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    frame = entropy_frame(tokens, unit)
    step = -(-len(frame) // MAX_POINTS) or 1
    every = "" if step == 1 else f", 1 of {step} drawn"
    along: dict[str, Any] = {
        "title": f"written token{every}",
        "scale": alt.Scale(domain=_across(len(frame)), nice=False),
        "axis": alt.Axis(grid=False, format="d", tickCount=6),
    }
    up: dict[str, Any] = {
        "title": unit,
        "scale": alt.Scale(domain=[0, _top(frame, unit)], nice=False),
        "axis": alt.Axis(tickCount=3),
    }
    x = alt.X("token:Q", **along)
    hover = [
        alt.Tooltip("word:N", title="token"),
        alt.Tooltip("entropy:Q", format=".4f", title=f"entropy ({unit})"),
        alt.Tooltip("surprisal:Q", format=".4f", title=f"surprisal ({unit})"),
    ]
    drawn = frame.iloc[::step]
    bars = alt.Chart(drawn).transform_calculate(left="datum.token - 0.42", right="datum.token + 0.42")
    amber = colours.pictures["token_entropy"]
    layers: list[Any] = [
        bars.mark_bar(color=amber, opacity=0.75).encode(
            x=alt.X("left:Q", **along),
            x2="right:Q",
            y=alt.Y("entropy:Q", **up),
            y2=alt.datum(0),
            tooltip=hover,
        ),
        alt.Chart(drawn)
        .mark_line(color=colours.ink, strokeWidth=1.5)
        .encode(x=x, y=alt.Y("running:Q", **up)),
    ]
    if token is not None and 0 <= token < len(frame):
        here = alt.Chart(pd.DataFrame({"token": [token]})).mark_rule(color=colours.ink, strokeWidth=1.3)
        layers.append(here.encode(x=x))
    return styled(alt.layer(*layers).properties(width="container", height=130), theme_name)


def entropy_bars_spec(
    tokens: TokenTrace, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> dict[str, Any]:
    """The same as a Vega-Lite spec, in a tenth of the time: only the numbers of a known one are exchanged.

    For what is drawn several times a second. Longer texts than :data:`analysis.drawing.charts.MAX_POINTS` are thinned.
    """
    frame = entropy_frame(tokens, unit)
    drawn = frame.iloc[:: -(-len(frame) // MAX_POINTS) or 1]
    spec = deepcopy(_template(unit, theme_name))
    marked = [{"token": token}] if token is not None and 0 <= token < len(frame) else []
    for layer in spec["layer"]:
        encoding, is_rule = layer["encoding"], layer["mark"]["type"] == "rule"
        layer["data"] = {"values": marked if is_rule else _records(drawn)}
        if "scale" in encoding["x"]:
            encoding["x"]["scale"]["domain"] = _across(len(frame))
        if "y" in encoding:
            encoding["y"]["scale"]["domain"] = [0, _top(frame, unit)]
    return spec


@lru_cache(maxsize=8)
def _template(unit: Unit, theme_name: str) -> dict[str, Any]:
    """Spec of one token without its numbers."""
    one = np.zeros(1, np.float32)
    empty = np.zeros(0, np.int32)
    tokens = TokenTrace(
        empty, ("",), empty, empty, empty, empty, empty, (), empty, one, one, one, one, empty, empty, one, {}
    )
    spec = entropy_bars(tokens, unit=unit, theme_name=theme_name, token=0).to_dict()
    del spec["datasets"]
    spec.pop("data", None)
    return spec


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows for JSON, which has no NaN."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _across(n: int) -> list[float]:
    """Ends of the axis of so many tokens; the first few leave room for those to come."""
    return [-0.5, max(n, _LEAST_ACROSS) - 0.5]


def _top(frame: pd.DataFrame, unit: Unit) -> float:
    return max(float(from_nats(HIGHEST, unit)), float(frame["entropy"].max()) if len(frame) else 0.0)


def entropy_frame(tokens: TokenTrace, unit: Unit) -> pd.DataFrame:
    """Table of written tokens: entropy, surprisal, and the mean entropy of the last :data:`_RUNNING` up to each."""
    entropy, surprisal = (from_nats(x.astype(float), unit) for x in (tokens.entropy, tokens.surprisal))
    frame = pd.DataFrame({"entropy": entropy, "surprisal": surprisal})
    frame.insert(0, "token", range(len(frame)))
    means = pd.Series(window_mean(entropy, _RUNNING)).shift(_RUNNING - 1)  # at the last of its tokens
    frame["running"] = means.to_numpy()
    frame["word"] = [visible(printable(text)) for text in tokens.text]
    return frame


def branches(
    writing: Writing,
    shown: int | None = None,
    *,
    ends: Mapping[int, str] | None = None,
    theme_name: str = "light",
    pick: bool = False,
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
        .mark_text(align="left", baseline="middle", font=MONO_FONT, fontSize=SMALL_SIZE, fontWeight=weight)
        .encode(x=x, y=y, text="label:N", color=ink, tooltip=said)
    )
    at_end = (
        alt.Chart(named)
        .mark_text(align="right", baseline="middle", fontSize=SMALL_SIZE, fontWeight=weight)
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
    width, height = round(_COLUMN * (COLUMNS + _ENDS)), _ROW * max(1, tree.n_rows) + _AROUND
    return styled(alt.layer(*layers).properties(width=width, height=height), theme_name)


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
            name = names[first] if len(names[first]) <= _ENDS else f"{names[first][: _ENDS - 1]}…"
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
