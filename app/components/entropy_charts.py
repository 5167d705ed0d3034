"""Token entropy: curves along the text, scatter, and table by token string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from analysis import figures
from analysis.drawing.charts import chart_svg
from analysis.drawing.strip_html import HtmlFigure
from analysis.token_entropy import measures
from analysis.units import from_nats
from app import state
from app.components import readings
from app.components.figure_card import figure_card, notebook_code

if TYPE_CHECKING:
    from analysis.forward.results import Trace


@st.fragment
def along_the_text(trace: Trace) -> None:
    """Entropy and surprisal as curves."""
    unit, share = state.unit(), st.session_state.get(state.FORKING_SHARE, measures.FORKING_SHARE)

    def chart() -> Any:
        return figures.along_text(
            trace,
            unit=unit,
            theme_name=state.theme_name(),
            share=share,
            show_threshold=st.session_state.get(state.THRESHOLD, True),
        )

    with figure_card(
        "Along the text",
        f"Thick: entropy before each token. Thin: surprisal of the token that came. Dots: the top {share:.0%} entropy.",
        name="along_text",
        table=lambda: _curve_table(trace),
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=notebook_code(trace, f"an.figures.along_text(trace, unit={unit!r})"),
        spec=trace.spec.subtitle,
        more=readings.ALONG_THE_TEXT,
    ):
        st.toggle(
            "Moving threshold",
            True,
            key=state.THRESHOLD,
            bind="query-params",
            help="Mean of the last 25 entropies plus 4 standard deviations, at least 1.8 nats.",
        )
        st.altair_chart(chart(), theme=None, alt="Entropy and surprisal along the text", key="along_chart")


def _curve_table(trace: Trace) -> pd.DataFrame:
    frame = trace.tokens.to_frame(state.unit())
    share = st.session_state.get(state.FORKING_SHARE, measures.FORKING_SHARE)
    frame["is_forking"] = measures.forking_tokens(trace.tokens.entropy, share)
    threshold = measures.moving_threshold(trace.tokens.entropy)
    frame[f"threshold_{state.unit()}"] = from_nats(threshold, state.unit())
    return frame


@st.fragment
def scatter(trace: Trace) -> None:
    """Entropy against surprisal; a click chooses the token."""
    unit = state.unit()

    def chart() -> Any:
        return figures.surprisal_scatter(trace, unit=unit, theme_name=state.theme_name())

    def table() -> pd.DataFrame:
        frame = trace.tokens.to_frame(unit)
        frame["class"] = measures.quadrants(trace.tokens.entropy, trace.tokens.varentropy)
        return frame

    with figure_card(
        "Expected against met",
        "Each mark is a token. Above the dashed line it surprised the model more than the model expected.",
        name="surprisal_scatter",
        table=table,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=notebook_code(trace, f"an.figures.surprisal_scatter(trace, unit={unit!r})"),
        spec=trace.spec.subtitle,
        more=readings.QUADRANTS,
    ):
        event = st.altair_chart(
            chart(),
            theme=None,
            alt="Entropy against surprisal, one mark per token",
            key="scatter_chart",
            on_select="rerun",
            selection_mode="pick",
        )
        picked = event.get("selection", {}).get("pick", []) if event else []
        if picked and int(picked[0]["position"]) != st.session_state.get("scatter_picked"):
            st.session_state["scatter_picked"] = int(picked[0]["position"])
            state.choose_token(int(picked[0]["position"]))
            st.rerun()


@st.fragment
def token_table(trace: Trace) -> None:
    """Which token strings the model is unsure before."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = measures.by_token(trace.tokens)
        for column in ("mean_entropy", "mean_surprisal"):
            frame[column] = from_nats(frame[column], unit)
        return frame.rename(
            columns={"mean_entropy": f"mean_entropy_{unit}", "mean_surprisal": f"mean_surprisal_{unit}"}
        )

    with figure_card(
        "Mean entropy by token",
        "The strings before which the model was least sure, over this text.",
        name="by_token",
        table=table,
        figure=lambda: (
            HtmlFigure(table().to_html(index=False, escape=True))
            .document(title="Mean entropy by token")
            .encode()
        ),
        figure_ending="html",
        code=notebook_code(
            trace, "from analysis.token_entropy.measures import by_token\nby_token(trace.tokens)"
        ),
        spec=trace.spec.subtitle,
    ):
        least = st.number_input("Seen at least this often", 1, 1000, 1, key="by_token_least")
        frame = table()
        frame = frame[frame["count"] >= least]
        frame["token"] = frame["token"].str.replace(" ", "·").str.replace("\n", "↵")
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
