"""KV-cache eviction: what methods have in common, where they keep, and how much of a phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.pruning_effects.eviction.figures import kept_positions, overlap_matrix, phrase_heatmap
from analysis.pruning_effects.eviction.overlap import overlap_frame, positions_frame, survival_frame
from analysis.pruning_effects.eviction.texts import find_phrase
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import altair_card, notebook_code, plotly_card

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_SHOWN_TOKENS = 12


@st.fragment
def agreement(trace: Trace, sweep: Sweep, share: float, code: str) -> None:
    """Overlap of kept sets, and where they stand in the context."""
    name = state.theme_name()
    with altair_card(
        "Overlap of the kept tokens",
        "1: the same set in every layer and KV head. Oracle: what the continuation really attended to.",
        lambda: overlap_matrix(sweep, share, theme_name=name),
        alt="Jaccard overlap between the kept sets of two methods",
        phrase=f"{share:.0%} kept",
        name="overlap",
        table=lambda: overlap_frame(sweep, share),
        code=notebook_code(trace, f"{code}an.figures.overlap_matrix(sweep, {share:g})"),
        more=explained.OVERLAP,
    ) as draw:
        draw()
    with altair_card(
        "Position of the kept tokens",
        "Stronger colour: more of this stretch is kept. The tick is the mean position of what is kept.",
        lambda: kept_positions(sweep, share, theme_name=name),
        alt="Kept tokens along the context, one row per method",
        phrase=f"{share:.0%} kept",
        name="positions",
        table=lambda: positions_frame(sweep, share),
        code=notebook_code(trace, f"{code}an.figures.kept_positions(sweep, {share:g})"),
        more=explained.POSITIONS,
    ) as draw:
        draw()


@st.fragment
def phrase_survival(trace: Trace, sweep: Sweep, share: float, code: str) -> None:
    """Whether a phrase of the context survived, by method, layer and KV head."""
    with st.container(border=True):
        st.markdown("**How much of a phrase is kept?**")
        phrase = st.text_input(
            "A phrase of the context",
            key=state.PHRASE,
            persist_state="session",
            max_chars=400,
            placeholder="Type some words of the context, such as a name or a number",
            label_visibility="collapsed",
        )
        if not (phrase or "").strip():
            st.caption(
                "Type some words of the context, and see in which layers and KV heads each method keeps them."
            )
            return
        tokens = find_phrase(sweep.context, sweep.context_encoding, phrase)
        if not len(tokens):
            st.caption("These words are not in the context. Upper and lower case matter.")
            return
        said = "".join(visible(sweep.context_tokens[t]) + " " for t in tokens[:_SHOWN_TOKENS])
        st.caption(f"{count(len(tokens))} tokens of the context, written out below.")
        st.code(said + ("…" if len(tokens) > _SHOWN_TOKENS else ""), language=None)
    _draw_phrase(trace, sweep, share, code, phrase, tokens)


def _draw_phrase(
    trace: Trace, sweep: Sweep, share: float, code: str, phrase: str, tokens: np.ndarray
) -> None:
    frame = survival_frame(sweep, tokens, share)
    call = (
        f"{code}from analysis.pruning_effects.eviction.texts import find_phrase\n"
        f"tokens = find_phrase(sweep.context, sweep.context_encoding, {phrase!r})\n"
        f"an.figures.phrase_heatmap(sweep, tokens, {share:g})"
    )
    with plotly_card(
        "The phrase, by method, layer and KV head",
        "Full colour: this KV head keeps all of it. Empty: nothing of it can be read there.",
        lambda: phrase_heatmap(sweep, tokens, share, theme_name=state.theme_name()),
        phrase=f"{share:.0%} kept",
        name="phrase",
        alt="Share of the phrase kept, by method, layer and KV head",
        table=lambda: frame,
        code=notebook_code(trace, call),
        more=explained.PHRASE,
    ) as draw:
        draw()
        st.dataframe(_percent(frame), hide_index=True, key="phrase_frame_shown", column_config=_COLUMNS)


_COLUMNS = {
    "survived": st.column_config.NumberColumn(
        "kept", format="%.0f %%", help="Of all its tokens in all layers and KV heads"
    ),
    "whole": st.column_config.NumberColumn(
        "whole", format="%.0f %%", help="Layers and KV heads that keep every one of its tokens"
    ),
    "nowhere": st.column_config.NumberColumn(
        "lost", format="%.0f %%", help="Its tokens that no layer and no head keeps"
    ),
}


def _percent(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: 100 * frame[name] for name in _COLUMNS})
