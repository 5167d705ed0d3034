"""Token entropy: the numbers of a text, its token strip, and the chosen token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import count, significant
from analysis.results.token_quantities import TokenQuantity, quantities_of
from analysis.token_entropy import measures
from analysis.token_entropy.strips import MARKS, Mark, entropy_strip, marked_tokens
from analysis.units import from_nats
from app import state
from app.choice import choose
from app.panels.token_entropy import help as explained
from app.panels.token_entropy.token_detail import token_detail
from app.widgets.figure_card import html_card, notebook_code
from app.widgets.layout import number_line, side_by_side
from app.widgets.run_status import model_run
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.drawing.strip import Strip
    from analysis.results.trace import Trace


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


@st.fragment
def strip_and_detail(trace: Trace) -> None:
    """The text as coloured tokens, and the chosen token beside it."""
    left, right = side_by_side("strip", [1.7, 1])
    with left:
        quantity, strip, marks = _strip_controls(trace)
        with html_card(
            "The text, token by token",
            f"{quantity.colours} Click a token, or focus the strip and use the arrow keys.",
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
            chosen = token_strip(strip, key="entropy_strip", selected=state.chosen_token(trace.tokens))
    if chosen is not None and chosen < len(trace.tokens):
        state.choose_token(chosen)
    with right:
        token_detail(trace, _run_key(trace), state.chosen_token(trace.tokens))


def _strip_controls(trace: Trace) -> tuple[TokenQuantity, Strip, dict[str, Any]]:
    """The quantity, the strip, and what it marks, as arguments of :func:`figures.marked_tokens`."""
    left, right = st.columns([4, 1.1], vertical_alignment="center")
    quantities = quantities_of(trace.tokens)
    name: str = choose(
        "Colour by",
        list(quantities),
        key=state.QUANTITY,
        place=left,
        titled=False,
        format_func=lambda name: quantities[name].label,
        wrap=True,
    )
    with right.popover("Marks", width="stretch"):
        mark: Mark = choose("Triangles mark", MARKS, key=state.MARK)
        window, factor = _trigger_rule()
        share = st.slider(
            "Forking tokens: share with the highest entropy",
            0.05,
            0.5,
            measures.FORKING_SHARE,
            0.05,
            key=state.FORKING_SHARE,
            bind="query-params",
        )
        drawn = (share, window, factor)
        if st.session_state.setdefault(state.DRAWN_MARKS, drawn) != drawn:
            st.session_state[state.DRAWN_MARKS] = drawn
            st.rerun()  # the curve below marks the same tokens
        show = st.toggle(
            "Underline high-entropy windows",
            key=state.SHOW_WINDOWS,
            bind="query-params",
            help=explained.WINDOWS,
        )
        # Floats, because Streamlit fails on a link with an infinite whole number.
        width = int(
            st.number_input(
                "Entropy window, tokens",
                1.0,
                64.0,
                4.0,
                1.0,
                "%.0f",
                key=state.WINDOW_WIDTH,
                bind="query-params",
            )
        )
        percentile = st.slider(
            "Percentile of all windows", 50, 99, 95, key=state.WINDOW_PERCENTILE, bind="query-params"
        )
    span, span_name = None, ""
    if show:
        span, limit = measures.high_entropy_windows(trace.tokens.entropy, width, percentile)
        limit = from_nats(limit, state.unit())
        span_name = f"mean of {width} tokens at or above {significant(limit)} {state.unit()}"
    marks: dict[str, Any] = {} if share == measures.FORKING_SHARE else {"share": share}
    if mark != MARKS[0]:
        marks = {"mark": mark, "window": window, "factor": factor}
    marked, marked_name = marked_tokens(trace.tokens.entropy, **marks)
    strip = entropy_strip(
        trace.tokens,
        name,
        unit=state.unit(),
        vocab_size=trace.spec.vocab_size,
        marked=marked,
        marked_name=marked_name,
        span=span,
        span_name=span_name,
    )
    return quantities[name], strip, marks


def _trigger_rule() -> tuple[int, float]:
    """Tokens before and standard deviations of SRGen's trigger rule, as a person sets them."""
    left, right = st.columns(2)
    # Floats, because Streamlit fails on a link with an infinite whole number.
    window = left.number_input(
        "SRGen: tokens before",
        2.0,
        200.0,
        float(measures.TRIGGER_WINDOW),
        1.0,
        "%.0f",
        key=state.TRIGGER_WINDOW,
        bind="query-params",
    )
    factor = right.number_input(
        "SRGen: standard deviations",
        0.0,
        20.0,
        measures.TRIGGER_FACTOR,
        0.5,
        key=state.TRIGGER_FACTOR,
        bind="query-params",
    )
    return int(window), float(factor)


def _run_key(trace: Trace) -> str:
    """Id of the run on screen, for caches of small questions about it."""
    request = model_run()
    if request is not None:
        return request.key
    return f"file/{trace.spec!r}"  # options too: the same text read otherwise has other numbers
