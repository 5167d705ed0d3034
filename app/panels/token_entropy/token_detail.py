"""What the model thought just before one chosen token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.figures import entropy_histogram, expected_tokens
from analysis.results.alternatives import equally_likely
from analysis.token_entropy.expected import Word, expected_words
from analysis.token_entropy.measures import percentile_of
from analysis.units import Unit, from_nats
from app import one_choice, state
from app.panels.token_entropy.samplers import samplers
from app.widgets.figure_card import show_chart
from app.widgets.plain import plain
from app.widgets.run_status import finished_run, model_run
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def token_detail(trace: Trace, position: int) -> None:
    """Draw the panel of one token: what was expected, how unsure the model was, and what samplers would keep."""
    tokens, unit = trace.tokens, state.unit()
    with st.container(border=True, key="panel_token"):
        title = f"Token {count(position)} “{visible(tokens.text[position])}”"
        stepper("token", title, "token", position, len(tokens), one_choice.choose_token)
        said = expected_words(tokens, position)
        st.markdown("".join(f"**{plain(visible(p))}**" if isinstance(p, Word) else p for p in said))
        if not tokens.has_context[position]:
            st.caption("Choose a beginning-of-text token under Options to give the first token a context.")
            return
        show_chart(
            expected_tokens(trace, position, theme_name=state.theme_name()),
            alt=f"First choices before the token. {visible(''.join(said))}",
            key="detail_expected",
        )
        _numbers(trace, position, unit)
        if finished_run() is not None:  # the stored example has no model to answer
            with st.expander("Samplers", key=state.SAMPLERS, on_change="rerun") as folded:
                if folded.open:
                    samplers(trace, _run_key(trace), position)


def _numbers(trace: Trace, position: int, unit: Unit) -> None:
    tokens = trace.tokens
    entropy, surprisal = float(tokens.entropy[position]), float(tokens.surprisal[position])
    st.caption(
        f"entropy **{significant(from_nats(entropy, unit))}** {unit} · "
        f"surprisal **{significant(from_nats(surprisal, unit))}** {unit}  \n"
        f"As uncertain as between {significant(equally_likely(entropy))} equally likely tokens"
        f"{_place(percentile_of(tokens.entropy, position))}"
    )
    show_chart(
        entropy_histogram(trace, position, unit=unit, theme_name=state.theme_name()).properties(height=96),
        alt="Distribution of entropy over the text, this token marked",
        key="detail_histogram",
    )


def _place(percentile: float) -> str:
    if math.isnan(percentile):  # no other token to compare with
        return "."
    share = "all others" if percentile > 99.9 else f"{significant(percentile)} %"
    return f", more than before {share} of this text."


def _run_key(trace: Trace) -> str:
    """Id of the run on screen, for caches of small questions about it."""
    request = model_run()
    if request is not None:
        return request.key
    return f"file/{trace.spec!r}"  # options too: the same text read otherwise has other numbers
