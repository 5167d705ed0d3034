"""Both texts token under token, and what changed between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.comparison.findings import Finding, finding
from analysis.comparison.quantities import COMPARED_QUANTITIES, quantities_between
from analysis.comparison.strips import twin_strip
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.drawing.theme import PROJECTOR_SCALE
from analysis.units import from_nats
from app import state
from app.panels.compare import help as explained
from app.panels.compare import running
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import html_card
from app.widgets.plain import plain
from app.widgets.twin_strip import picked_item, twin_strip_view

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from app.panels.compare.running import Shown

_CONTROLS = 232
"""Pixels of the control that stands in the legend's line, see ``app/style.css``; more where type is larger."""
_HEIGHT = 340
"""Pixels of five lines."""


def strips_card(on_screen: Shown) -> None:
    """Draw the card; a click chooses the token."""
    c, unit = on_screen.c, state.unit()
    there = quantities_between(c)
    named = st.session_state.get(state.COMPARED_QUANTITY)
    quantity = there[named if named in there else next(iter(there))]
    with html_card(
        "Both texts, token under token",
        f"What differs: {plain(differs_said(c))}. {said(finding(c))}",
        lambda: figures.compared_strips(c, quantity.name, unit=unit, theme_name=state.theme_name()),
        name="twin_strip",
        table=lambda: c.to_frame(unit),
        code=comparison_code(f"an.figures.compared_strips(c, {quantity.name!r}, unit={unit!r})"),
        phrase=quantity.colours,
        more=explained.STRIPS,
    ):
        with st.container(key="twin_controls"):
            st.selectbox(
                "Colour",
                list(there),
                key=state.COMPARED_QUANTITY,
                bind="query-params",
                persist_state="session",
                label_visibility="collapsed",
                format_func=lambda name: COMPARED_QUANTITIES[name].label,
            )
        if st.session_state[state.COMPARED_QUANTITY] != quantity.name:
            st.rerun()  # first said by the address
        strip = twin_strip(c, quantity.name, unit=unit, items=on_screen.items)
        chosen = running.chosen_item(on_screen)
        picked = picked_item(strip, key="compared_strip", selected=chosen)
        if picked is not None and picked != chosen:
            running.choose_item(picked)
        room = round(_CONTROLS * PROJECTOR_SCALE) if state.is_projector() else _CONTROLS
        twin_strip_view(strip, key="compared_strip", selected=picked, height=_HEIGHT, room=room)


def differs_said(c: Comparison) -> str:
    """In what the sides differ, in words."""
    if not c.differs:
        return "nothing, both sides are the same"
    more = len(c.differs) > 1
    return ", ".join(c.differs) + (": no difference can be put down to one of these alone" if more else "")


def said(found: Finding) -> str:
    """One sentence about what changed most, made from the numbers."""
    if found.same:
        return "Both sides give the same numbers: every difference is exactly 0."
    parts = []
    if found.more:
        parts.append(f"{_listed(found.more)} {_come(found.more)} as more of a surprise to B")
    if found.less:
        parts.append(f"{_listed(found.less)} as less")
    line = ", ".join(parts) + "." if parts else ""
    if found.calm_after is not None:
        kl = significant(from_nats(found.calm_kl, state.unit()))
        line += f" After token {count(found.calm_after)} KL is under a twentieth of its largest: at most {kl} {state.unit()}."
    return line


def _listed(words: tuple[tuple[str, float], ...]) -> str:
    unit = state.unit()
    shown = [
        f"“{plain(visible(word))}” ({plain(significant(from_nats(change, unit), signed=True))}{f' {unit}' if not k else ''})"
        for k, (word, change) in enumerate(words)
    ]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _come(words: tuple[tuple[str, float], ...]) -> str:
    return "comes" if len(words) == 1 else "come"
