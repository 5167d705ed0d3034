"""Which methods keep the chosen token, at which budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.story.figures import REFUSED, who_keeps
from app import state
from app.panels.overview.layers import title_line
from app.panels.overview.story import after_the_cut
from app.widgets.figure_card import show_chart
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace
    from app.panels.overview.background import Part

_SHOWN = 14
"""Letters of the token in the title."""


def keeps(trace: Trace, position: int, survived: Part) -> None:
    """Draw methods by share kept, or what stands in their place."""
    name = visible(trace.tokens.text[position])
    name = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    with st.container(border=True, height="stretch", key="panel_keeps"):
        title_line("overview_keeps", f"Who keeps {plain(name)}", "", "pruning_effects")
        if survived.value is None:
            st.caption("How long each method keeps the chosen token in its cache.")
            survived.in_its_place()
            return
        kept: Survival = survived.value
        if position >= kept.n_context:
            st.caption(after_the_cut(kept.n_context))
            return
        layers, heads = kept.caches
        st.caption(
            f"Share of the {count(layers * heads)} caches ({layers} layers × {heads} KV heads) that still hold it."
        )
        show_chart(
            who_keeps(kept, position, theme_name=state.theme_name()),
            alt="Methods by share of the context kept: in how many caches the chosen token survives",
            key="overview_keeps",
        )
        st.caption(
            f"Pruned once, after token {count(kept.n_context - 1)}. Line: from here on half of them keep it. "
            f"{REFUSED * 2} refused."
        )
