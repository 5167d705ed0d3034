"""Token entropy: the numbers of a text and its token strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import count, significant
from analysis.results.token_quantities import TokenQuantity, quantities_of
from analysis.token_entropy import measures
from analysis.token_entropy.strips import entropy_strip, marked_tokens
from analysis.units import from_nats
from app import one_choice, state
from app.panels.token_entropy import help as explained
from app.panels.token_entropy.marks import chosen_marks, mark_controls, window_rule
from app.widgets.figure_card import html_card, notebook_code
from app.widgets.layout import number_line
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.drawing.strip import Strip
    from analysis.results.trace import Trace


_CONTROLS = 262
"""Pixels of the controls that stand in the legend's line, see ``app/style.css``."""


def numbers(trace: Trace) -> None:
    """The five numbers at the head of the page."""
    unit, values = state.unit(), measures.summary(trace.tokens)
    excess = from_nats(values.excess, unit)
    cells = [
        ("tokens", count(values.n_tokens), f"{count(values.n_predicted)} of them had something before them."),
        (
            "mean entropy",
            f"{significant(from_nats(values.mean_entropy, unit))} {unit}",
            "Mean over tokens of the entropy of the prediction, -Σ p ln p.",
        ),
        (
            "perplexity",
            significant(values.perplexity),
            "exp(mean surprisal in nats): 1: every token was certain. The size of the vocabulary: all tokens were equally likely.",
        ),
        (
            "bits per byte",
            significant(values.bits_per_byte),
            "Total surprisal in bits over the UTF-8 bytes of the text: compares models with different tokenizers.",
        ),
        (
            "surprise gap",
            f"{significant(excess, signed=True)} {unit}",
            "Mean surprisal minus mean entropy (log-perplexity minus entropy). Above 0: the text surprised the model more than it expected. "
            "About 0 for text sampled from the model itself.",
        ),
    ]
    number_line("tokens", cells)


def strip_card(trace: Trace) -> None:
    """The text as coloured tokens; a click chooses the token."""
    quantities = quantities_of(trace.tokens)
    named = st.session_state.get(state.QUANTITY)
    quantity = quantities[named if named in quantities else next(iter(quantities))]
    marks = chosen_marks()
    with html_card(
        "The text, token by token",
        f"{quantity.colours} Arrow keys move, / finds a string.",
        lambda: figures.token_strip(
            trace, quantity.name, unit=state.unit(), theme_name=state.theme_name(), **marks
        ),
        name="token_strip",
        table=lambda: trace.tokens.to_frame(state.unit()),
        code=notebook_code(
            trace,
            f"an.figures.token_strip(trace, {quantity.name!r}, unit={state.unit()!r}"
            + "".join(f", {name}={value!r}" for name, value in marks.items())
            + ")",
        ),
        more=explained.STRIP,
    ):
        with st.container(key="strip_controls", horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.selectbox(
                "Colour",
                list(quantities),
                key=state.QUANTITY,
                bind="query-params",
                label_visibility="collapsed",
                format_func=lambda name: quantities[name].label,
                width=150,
            )
            mark_controls()
            if st.session_state[state.QUANTITY] != quantity.name:  # first said by the address
                st.rerun()
        selected = one_choice.chosen_token(trace.tokens)
        strip = _strip(trace, quantity, marks)
        chosen = token_strip(strip, key="entropy_strip", selected=selected, room=_CONTROLS)
    if chosen is not None and chosen != selected and chosen < len(trace.tokens):
        one_choice.choose_token(chosen)


def _strip(trace: Trace, quantity: TokenQuantity, marks: dict[str, Any]) -> Strip:
    marked, marked_name = marked_tokens(trace.tokens.entropy, **marks)
    span, span_name = None, ""
    if st.session_state.get(state.SHOW_WINDOWS):
        width, percentile = window_rule()
        span, limit = measures.high_entropy_windows(trace.tokens.entropy, width, percentile)
        limit = from_nats(limit, state.unit())
        span_name = f"mean of {width} tokens at or above {significant(limit)} {state.unit()}"
    return entropy_strip(
        trace.tokens,
        quantity.name,
        unit=state.unit(),
        vocab_size=trace.spec.vocab_size,
        marked=marked,
        marked_name=marked_name,
        span=span,
        span_name=span_name,
    )
