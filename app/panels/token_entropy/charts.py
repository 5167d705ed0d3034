"""Token entropy: curves along the text, scatter, and table by token string."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.token_entropy import measures
from analysis.token_entropy.triggers import trigger_positions
from analysis.units import from_nats, table_in
from app import one_choice, state
from app.panels.token_entropy import help as explained
from app.panels.token_entropy.marks import forking_share, trigger_rule
from app.widgets.figure_card import altair_card, notebook_code, table_card
from app.widgets.plain import plain

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results.trace import Trace

_TOLD_TRIGGERS = 5
"""Triggers named under the curve."""


def along_the_text(trace: Trace) -> None:
    """Entropy and surprisal as curves; a click chooses the token."""
    unit, share, (window, factor) = state.unit(), forking_share(), trigger_rule()
    with altair_card(
        "Along the text",
        f"Thick: entropy before each token. Thin: surprisal of the token that came. Dots: the top {share:.0%} entropy.",
        lambda: figures.along_text(
            trace,
            unit=unit,
            theme_name=state.theme_name(),
            share=share,
            show_threshold=st.session_state.get(state.THRESHOLD, True),
            window=window,
            factor=factor,
            token=one_choice.chosen_token(trace.tokens),
            pick=True,
        ),
        alt="Entropy and surprisal along the text, the chosen token marked",
        key=state.ALONG_CHART,
        name="along_text",
        table=lambda: _curve_table(trace),
        code=notebook_code(
            trace, f"an.figures.along_text(trace, unit={unit!r}, window={window}, factor={factor:g})"
        ),
        more=explained.ALONG_THE_TEXT,
    ) as draw:
        shown = st.toggle(
            "Moving threshold",
            True,
            key=state.THRESHOLD,
            bind="query-params",
            persist_state="session",
            help=f"SRGen's: mean of the last {window} entropies plus {factor:g} standard deviations of them, at least "
            f"{measures.TRIGGER_FLOOR:g} nats. Both numbers can be set under Marks.",
        )
        draw(on_select="rerun", selection_mode="pick")
        if shown:
            st.caption(_triggers_said(trace, window, factor))


def _triggers_said(trace: Trace, window: int, factor: float) -> str:
    """Where SRGen would stop, in a sentence, and in what that differs from SRGen."""
    at = trigger_positions(trace.tokens.entropy, window, factor)
    if at is None:
        said = f"No threshold: it needs {window} tokens before it."
    elif not at:
        said = (
            "No token is above the threshold; it was set for reasoning models, which are sure of most tokens."
        )
    else:
        some = ", ".join(f"{t} “{plain(visible(trace.tokens.text[t]))}”" for t in at[:_TOLD_TRIGGERS])
        more = " and others" if len(at) > _TOLD_TRIGGERS else ""
        said = f"Triangles: {count(len(at))} above the threshold: {some}{more}."
    return f"{said} {explained.TRIGGERS}"


def _curve_table(trace: Trace) -> pd.DataFrame:
    frame, entropy = trace.tokens.to_frame(state.unit()), trace.tokens.entropy
    frame["is_forking"] = measures.forking_tokens(entropy, forking_share())
    threshold = measures.moving_threshold(entropy, *trigger_rule())
    frame[f"threshold_{state.unit()}"] = from_nats(threshold, state.unit())
    frame["is_trigger"] = measures.triggers(entropy, threshold)
    return frame


def scatter(trace: Trace) -> None:
    """Entropy against surprisal; a click chooses the token."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = trace.tokens.to_frame(unit)
        frame["class"] = measures.quadrants(trace.tokens.entropy, trace.tokens.varentropy)
        return frame

    with altair_card(
        "Expected against met",
        "Each mark is a token. Above the dashed line it surprised the model more than the model expected.",
        lambda: figures.surprisal_scatter(
            trace, unit=unit, theme_name=state.theme_name(), token=one_choice.chosen_token(trace.tokens)
        ),
        alt="Entropy against surprisal, one mark per token, the chosen one outlined",
        key=state.SCATTER_CHART,
        name="surprisal_scatter",
        table=table,
        code=notebook_code(trace, f"an.figures.surprisal_scatter(trace, unit={unit!r})"),
        more=explained.QUADRANTS,
    ) as draw:
        draw(on_select="rerun", selection_mode="pick")


def token_table(trace: Trace) -> None:
    """Which token strings the model is unsure before."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        return table_in(measures.by_token(trace.tokens), ("mean_entropy", "mean_surprisal"), unit)

    with table_card(
        "Mean entropy by token",
        "The strings before which the model was least sure, over this text.",
        name="by_token",
        table=table,
        code=notebook_code(
            trace, "from analysis.token_entropy.measures import by_token\nby_token(trace.tokens)"
        ),
    ):
        least = st.number_input("Seen at least this often", 1, 1000, 1, key="by_token_least")
        frame = table()
        frame = frame[frame["count"] >= least]
        frame["token"] = frame["token"].map(visible)
        st.dataframe(
            frame,
            hide_index=True,
            height=286,
            key="by_token_table",
            column_config={
                f"mean_{name}_{unit}": st.column_config.NumberColumn(f"{name}, {unit}", format="%.3f")
                for name in ("entropy", "surprisal")
            },
        )
