"""The small pictures of the overview, one per page, all of the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks.figures import head_map
from analysis.attention_sinks.summary import sink_numbers
from analysis.drawing.numbers import significant
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.entropy_collapse.layers.figures import matrix_entropy
from analysis.figures import along_text
from analysis.pruning_effects.eviction.attention_mass import heavy_frame, heavy_tokens
from analysis.token_entropy.measures import forking_tokens, summary
from analysis.token_entropy.strips import entropy_strip
from analysis.units import from_nats
from app import state
from app.navigation import page
from app.widgets.figure_card import show_chart
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def pictures(trace: Trace) -> None:
    """Draw the run's token entropy, attention sinks, entropy collapse and pruning effects, with a sentence and a link each."""
    unit, numbers = state.unit(), summary(trace.tokens)
    with st.container(border=True):
        st.markdown("**Token entropy**")
        st.caption(
            "How unsure was the model, just before each token? A stronger colour means more possible next tokens."
        )
        strip = entropy_strip(
            trace.tokens,
            unit=unit,
            vocab_size=trace.spec.vocab_size,
            marked=forking_tokens(trace.tokens.entropy),
            marked_name="forking token: top 20 % entropy",
        )
        chosen = token_strip(
            strip, key="overview_strip", selected=state.chosen_token(trace.tokens), height=260
        )
        if chosen is not None:
            state.choose_token(chosen)
        show_chart(
            along_text(trace, unit=unit, theme_name=state.theme_name(), show_threshold=False).properties(
                height=150
            ),
            alt="Entropy and surprisal along the text",
            key="overview_curve",
        )
        direction = "above" if numbers.excess >= 0 else "below"
        st.markdown(
            f"Over these {numbers.n_tokens} tokens the entropy was "
            f"**{significant(from_nats(numbers.mean_entropy, unit))} {unit}** on average, and the mean surprisal was "
            f"**{significant(abs(from_nats(numbers.excess, unit)))} {unit}** {direction} that."
        )
        st.page_link(page("token_entropy"), label="More about token entropy", icon=":material/arrow_forward:")
    if trace.attention is not None:
        with st.container(border=True):
            st.markdown("**Attention sinks**")
            st.caption(
                "Which heads attend to the first token? One cell per layer and head: its attention on it."
            )
            show_chart(
                head_map(trace, theme_name=state.theme_name()),
                alt="Attention on token 0, one cell per layer and head",
                key="overview_heads",
            )
            sinks = sink_numbers(trace.attention)
            st.markdown(
                f"Heads give the first token **{significant(100 * sinks.on_first)} %** of their attention on average; "
                f"attention without any preference would give it **{significant(100 * sinks.uniform)} %**."
            )
            st.page_link(
                page("attention_sinks"), label="More about attention sinks", icon=":material/arrow_forward:"
            )
    else:
        unavailable(
            "Attention sinks and pruning effects",
            trace.unavailable.get("attention", "The opened file was made without attention."),
        )
    if trace.layers.spectrum is not None:
        _entropy_collapse(trace)
    else:
        unavailable(
            "Entropy collapse, over layers",
            trace.unavailable.get("spectra", "The opened file was made without spectra."),
        )
    if trace.attention is not None:
        _pruning_effects(trace)
    st.caption(plain(trace.spec.subtitle))


def _pruning_effects(trace: Trace) -> None:
    assert trace.attention is not None
    with st.container(border=True):
        st.markdown("**Pruning effects**")
        st.caption(
            "What could leave the cache? The share of each head's attention that goes to its most attended tokens."
        )
        show_chart(
            heavy_tokens(trace, theme_name=state.theme_name()),
            alt="Attention on the most attended tokens",
            key="overview_heavy",
        )
        frame = heavy_frame(trace.attention)
        drawn = dict(zip(frame["kept"], 100 * frame["mean"], strict=True))
        st.markdown(
            f"A tenth of the tokens gets **{significant(float(drawn[0.1]))} %** of all attention, "
            f"half of them **{significant(float(drawn[0.5]))} %**: what happens when the rest is evicted?"
        )
        st.page_link(
            page("pruning_effects"), label="More about pruning effects", icon=":material/arrow_forward:"
        )


def _entropy_collapse(trace: Trace) -> None:
    with st.container(border=True):
        st.markdown("**Entropy collapse, over layers**")
        st.caption("In how many ways do the tokens differ, layer by layer? Dashed: token 0 left out.")
        show_chart(
            matrix_entropy(trace, unit=state.unit(), theme_name=state.theme_name()).properties(height=210),
            alt="Matrix entropy of the token states over layers",
            key="overview_layers",
        )
        found, without = collapse_layer([trace]), collapse_layer([trace], first_token=False)
        drops = [100 * max(layer.largest_drop, 0.0) for layer in (found, without)]
        st.markdown(
            f"The largest drop takes **{significant(drops[0])} %** of the matrix entropy, in block {found.candidate}; "
            f"without token 0 it takes **{significant(drops[1])} %**, in block {without.candidate}."
        )
        st.page_link(
            page("entropy_collapse"), label="More about entropy collapse", icon=":material/arrow_forward:"
        )
