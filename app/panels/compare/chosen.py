"""The chosen token on both sides: its numbers, and both lists of first choices with what rose and fell."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from analysis.comparison.choices import choices_on_both
from analysis.comparison.strips import side_values
from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.units import from_nats
from app import state
from app.panels.compare import help as explained
from app.panels.compare import running
from app.widgets.choices_html import percent, word
from app.widgets.plain import plain
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    import pandas as pd

    from app.panels.compare.running import Shown

_STEADY = 0.0005
"""A smaller change of a probability has no arrow."""


def chosen_panel(on_screen: Shown) -> None:
    """Draw the panel."""
    c, items, item = on_screen.c, on_screen.items, running.chosen_item(on_screen)
    with st.container(border=True, key="panel_compared"):
        texts = [
            "".join(trace.tokens.text[start[item] : end[item]])
            for trace, start, end in ((c.a, items.start_a, items.end_a), (c.b, items.start_b, items.end_b))
        ]
        title = f"“{visible(texts[0] or texts[1])}”"
        if texts[0] and texts[1] and texts[0] != texts[1]:
            title = f"“{visible(texts[0])}” → “{visible(texts[1])}”"
        stepper("compared", title, "token", item, len(items), running.choose_item)
        _places(on_screen, item)
        row = int(items.row[item])
        if row >= 0 and c.rows is not None and c.rows.has_context[row]:
            _distances(on_screen, row)
            st.html(_lists(*choices_on_both(c, row)))
            st.caption("▲ B gives it more, ▼ less; bold: it came.", help=explained.CHOSEN)
        elif int(items.span[item]) < 0:
            st.caption("Only one side has this token here: nothing is compared.")
        else:
            st.caption(plain(c.unavailable.get("rows", "Nothing stood before it: no prediction to compare.")))


def _places(on_screen: Shown, item: int) -> None:
    """Where it is on both sides, and both sides' entropy and surprisal."""
    c, items, unit = on_screen.c, on_screen.items, state.unit()
    lines = []
    for letter, index, start, has in (
        ("A", 0, items.start_a, items.has_a),
        ("B", 1, items.start_b, items.has_b),
    ):
        if not has[item]:
            lines.append(f"<tr><th>{letter}</th><td colspan=3>nothing here</td></tr>")
            continue
        entropy, surprisal = (
            significant(float(side_values(c, items, name, unit)[index][item]))
            for name in ("entropy", "surprisal")
        )
        lines.append(
            f"<tr><th>{letter}</th><td>{int(start[item])}</td><td>{entropy}</td><td>{surprisal}</td></tr>"
        )
    st.html(
        f"<table class=compared-places><tr><th></th><td>token</td><td>entropy, {unit}</td><td>surprisal, {unit}</td></tr>"
        f"{''.join(lines)}</table>"
    )


def _distances(on_screen: Shown, row: int) -> None:
    """How far apart the two predictions are."""
    rows, unit = on_screen.c.rows, state.unit()
    assert rows is not None
    ab, ba, jsd = (significant(from_nats(float(x[row]), unit)) for x in (rows.kl_ab, rows.kl_ba, rows.jsd))
    least = "At least: " if rows.at_least else ""
    st.caption(
        f"{least}KL(A‖B) **{ab}** {unit} · KL(B‖A) **{ba}** {unit} · Jensen-Shannon **{jsd}** {unit} · total variation "
        f"**{significant(float(rows.tv[row]))}** · rank {int(rows.rank_a[row])} → {int(rows.rank_b[row])}"
    )


def _lists(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Both lists side by side."""
    return f"<div class=compared-lists>{_list('A', a)}{_list('B', b)}</div>"


def _list(side: str, choices: pd.DataFrame) -> str:
    top = max(choices["probability"].tolist(), default=1.0) or 1.0
    rows = [
        f'<div class="compared-choice{" came" * bool(came)}">{word(token)}<s><u class={side.lower()} '
        f'style="width:{100 * share / top:.1f}%"></u></s><span>{percent(share)}</span>{_arrow(change)}</div>'
        for token, share, change, came in zip(
            *(choices[name] for name in ("token", "probability", "change", "came")), strict=True
        )
    ]
    return f"<div><b class={side.lower()}>{side}</b>{''.join(rows)}</div>"


def _arrow(change: float) -> str:
    """What B gives more or less than A, in points of a hundred."""
    if change != change:
        return '<em title="the other side has no such token">new</em>'
    if abs(change) < _STEADY:
        return "<em>·</em>"
    said = escape(f"{significant(100 * change, signed=True)} points")
    return f'<em class={"rose" if change > 0 else "fell"} title="{said}">{"▲" if change > 0 else "▼"}</em>'
