"""What the model thought just before one chosen token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.figures import entropy_histogram
from analysis.results.alternatives import alternatives, equally_likely
from analysis.token_entropy.measures import percentile_of
from analysis.units import Unit, from_nats
from app import state
from app.panels.token_entropy.samplers import samplers
from app.widgets.figure_card import show_chart
from app.widgets.layout import table_height
from app.widgets.run_status import finished_run

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def token_detail(trace: Trace, run_key: str, position: int) -> None:
    """Draw the panel of one token: its numbers, alternatives, samplers."""
    tokens, unit = trace.tokens, state.unit()
    with st.container(border=True, height="stretch"):
        st.markdown(f"**Token {count(position)}**")
        st.code(visible(tokens.text[position]), language=None, wrap_lines=True)
        if not tokens.has_context[position]:
            st.caption(
                "No context: nothing came before this token, so the model made no prediction here. "
                "Choose a beginning-of-text token under Options to give it one."
            )
            return
        _numbers(trace, position, unit)
        _alternatives(trace, position)
        if finished_run() is not None:  # the stored example has no model to ask
            samplers(trace, run_key, position)


def _numbers(trace: Trace, position: int, unit: Unit) -> None:
    tokens = trace.tokens
    entropy, surprisal = float(tokens.entropy[position]), float(tokens.surprisal[position])
    st.caption(
        f"entropy **{significant(from_nats(entropy, unit))}** {unit} · "
        f"surprisal **{significant(from_nats(surprisal, unit))}** {unit} · "
        f"rank **{count(int(tokens.rank[position]))}** of {count(trace.spec.vocab_size)}  \n"
        f"As uncertain as between {significant(equally_likely(entropy))} equally likely tokens. "
        f"{_place(percentile_of(tokens.entropy, position))}"
    )
    chart = entropy_histogram(trace, position, unit=unit, theme_name=state.theme_name())
    show_chart(
        chart,
        alt="Distribution of entropy over the text, this token marked",
        key="detail_histogram",
    )


def _place(percentile: float) -> str:
    if math.isnan(percentile):  # no other token to compare with
        return ""
    share = "all others" if percentile > 99.9 else f"{significant(percentile)} %"
    return f"More uncertain than {share} of this text:"


def _alternatives(trace: Trace, position: int) -> None:
    tokens = trace.tokens
    frame = alternatives(
        tokens.top_ids[position], tokens.top_logprobs[position], int(tokens.token_id[position]), tokens.names
    )
    shown = {"": frame["came"].map({True: "●", False: ""}), "would say": frame["token"].map(visible)}
    frame = frame.assign(**shown, probability=100 * frame["probability"])
    st.dataframe(
        frame[["", "would say", "probability"]],
        hide_index=True,
        key="detail_alternatives",
        height=table_height(len(frame), 10),
        column_config={
            "": st.column_config.TextColumn(width=24, help="● is the token that came"),
            "probability": st.column_config.ProgressColumn(
                format="%.2f %%", min_value=0.0, max_value=max(float(frame["probability"].iloc[0]), 1e-6)
            ),
        },
    )
