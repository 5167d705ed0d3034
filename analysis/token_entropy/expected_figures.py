"""What a model expected before one token, as bars. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.token_entropy.expected import likely_tokens, percent

if TYPE_CHECKING:
    import altair as alt

    from analysis.results.trace import Trace

_ROW = 19
_LETTERS = 12
_LEFT = 96
"""Pixels of the names."""
_ROOM = 1.45
"""The longest bar leaves room for its number."""
_MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def expected_tokens(
    trace: Trace, position: int, *, most: int = 8, theme_name: str = "light"
) -> alt.LayerChart:
    """The model's first choices before a token and their probabilities; the token that came in ink.

    Parameters
    ----------
    trace : Trace
        A run.
    position : int
        A token that had a context.
    most : int
        Rows, at most; the token that came is the last of them if it is not among the first choices.
    theme_name : {"light", "dark"}
        Colours.

    Raises
    ------
    ValueError
        If nothing came before the token.
    """
    import altair as alt

    if not trace.tokens.has_context[position]:
        raise ValueError(f"nothing came before token {position}")
    colours, frame = theme(theme_name), likely_tokens(trace.tokens, position, most)
    frame["token"] = [visible(token) for token in frame["token"]]
    frame["percent"] = [percent(share).replace("under ", "< ") for share in frame["probability"]]
    frame["row"] = [f"{row:02}\n{_short(token)}" for row, token in enumerate(frame["token"])]  # in this order
    y = alt.Y(
        "row:O",
        title=None,
        scale=alt.Scale(paddingInner=0.45, paddingOuter=0.2),
        axis=alt.Axis(
            labelExpr="split(datum.label, '\\n')[1]", labelFont=_MONO, labelColor=colours.ink, labelAlign="left",
            labelPadding=_LEFT, minExtent=_LEFT, maxExtent=_LEFT, labelLimit=_LEFT, domain=False, tickSize=0,
        ),
    )  # fmt: skip
    top = max(float(frame["probability"].max()), 1e-9)
    hover = [
        alt.Tooltip("token:N"),
        alt.Tooltip("percent:N", title="probability"),
        alt.Tooltip("place:Q", title="choice number"),
    ]
    base = alt.Chart(frame).encode(y=y, tooltip=hover)
    bars = base.mark_bar(cornerRadius=3).encode(
        x=alt.X("probability:Q", axis=None, scale=alt.Scale(domain=[0, _ROOM * top])),
        color=_by_came(colours.ink, colours.pictures["token_entropy"]),
    )
    numbers = base.mark_text(align="right").encode(
        x=alt.value("width"), text="percent:N", color=_by_came(colours.ink, colours.muted)
    )
    height = _ROW * len(frame)
    return styled(alt.layer(bars, numbers).properties(width="container", height=height), theme_name)


def _by_came(came: str, other: str) -> Any:
    """Colour of the token that came, and of the others."""
    import altair as alt

    return alt.condition("datum.came", alt.value(came), alt.value(other))


def _short(word: str) -> str:
    return word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"


__all__ = ["expected_tokens"]
