"""Attention sinks, over layers: the triad, sizes of states, dilution, and two entropies against each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures, measures
from analysis.attention_sinks.curve_figures import entropy_against_position, triad_chart, triad_panels
from analysis.attention_sinks.state_figures import (
    attention_scatter,
    entropy_scatter_frame,
    rank_correlation,
    state_size_frame,
    state_sizes,
)
from analysis.attention_sinks.summary import triad_frame
from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.units import table_in
from app import one_choice, state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import token_line
from app.panels.attention_sinks.extremes import massive_activations
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import picture_and_choice
from app.widgets.plain import plain
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results.trace import Trace

_OF = ("token 0", "chosen token")


@st.fragment
def layers(trace: Trace) -> None:
    """Draw the view: the chosen layer and token are those of every picture."""
    left, right = picture_and_choice("layers")
    with right:
        _chosen(trace)
    with left:
        _states(trace)
        _triad(trace)
        massive_activations(trace)
        _dilution(trace)
        _scatter(trace)


def _chosen(trace: Trace) -> None:
    """The layer and the token, and where the largest state comes from."""
    norms, n_layers = trace.layers.residual_norm, trace.spec.n_layers
    with st.container(border=True, key="panel_layer"):
        layer = _layer(trace)
        stepper(
            "layer", f"Layer {layer} of {n_layers}", "layer", layer, n_layers + 1, one_choice.choose_layer
        )
        position = token_line(trace)
        at = triad_frame(figures.need_attention(trace), norms, position).iloc[layer]
        times = float(state_size_frame(trace, layer)["times_median"][position])
        rows = [
            f"state norm **{significant(at['state_norm_token'])}**, **{significant(times)}** times the median of all tokens"
        ]
        if math.isfinite(at["received_mean"]):
            rows.append(
                f"receives **{significant(100 * at['received_mean'])} %** of the attention here, mean over heads"
            )
        if math.isfinite(at["value_over_others"]):
            rows.append(f"its values: **{significant(at['value_over_others'])}** times the others' median")
        st.caption("  \n".join(rows))
        if n_layers:
            st.caption(_emergence(trace))


def _emergence(trace: Trace) -> str:
    norms = trace.layers.residual_norm
    layer, token = measures.emergence(norms)
    before, after = (significant(float(norms[at, token])) for at in (layer - 1, layer))
    name = plain(visible(trace.tokens.text[token]))
    return f"The largest state emerges at layer **{layer}**: token {count(token)} “{name}” goes from **{before}** to **{after}**."


def _layer(trace: Trace) -> int:
    """The layer that was chosen anywhere, else the one where the largest state emerges."""
    layer, n_layers = state.number_of(state.LAYER), trace.spec.n_layers
    if layer is not None and layer <= n_layers:
        return layer
    return measures.emergence(trace.layers.residual_norm)[0] if n_layers else 0


def _states(trace: Trace) -> None:
    layer, position = _layer(trace), one_choice.chosen_token(trace.tokens)
    with altair_card(
        f"Size of the states, layer {layer}",
        f"One bar a token; dashed: the median; ink: the chosen token. {_emergence(trace) if trace.spec.n_layers else ''}",
        lambda: state_sizes(trace, layer, position, theme_name=state.theme_name()),
        alt=f"Norm of every token's state at layer {layer}",
        name="state_sizes",
        phrase="massive activations stand out",
        table=lambda: state_size_frame(trace, layer),
        code=notebook_code(trace, f"an.figures.state_sizes(trace, {layer})"),
        more=explained.MASSIVE,
    ) as draw:
        draw()


def _triad(trace: Trace) -> None:
    """Sink, value drain and state peak of one token over layers."""
    attention = figures.need_attention(trace)
    of = st.session_state.get(state.TRIAD_OF, st.query_params.get(state.TRIAD_OF))
    position = one_choice.chosen_token(trace.tokens) if of == _OF[1] else 0
    values = measures.triad(attention, trace.layers.residual_norm, position)
    peak, layer = values.state_peak
    said = (
        f"Smallest value: {significant(values.smallest_value)} times the others' median."
        if math.isfinite(values.smallest_value)
        else f"Values: not available. {plain(trace.unavailable.get('keys and values', ''))}"
    )
    with altair_card(
        "The extreme-token triad",
        f"Token {count(position)} against the others. Largest state: {significant(peak)} times the others' median, "
        f"at layer {layer}. {said}",
        lambda: triad_chart(trace, position, theme_name=state.theme_name()),
        name="triad",
        phrase="attention it gets, size of its values, size of its state",
        table=lambda: triad_frame(attention, trace.layers.residual_norm, position),
        code=notebook_code(trace, f"an.figures.triad_chart(trace, {position})"),
        more=explained.TRIAD,
    ) as draw:
        choose("Of", _OF, key=state.TRIAD_OF, titled=False)
        panels = triad_panels(trace, position, theme_name=state.theme_name())
        for name, panel in zip(("sink", "value drain", "state peak"), panels, strict=True):
            chart = styled(panel, state.theme_name())
            draw(chart, alt=f"The {name} over layers", key=f"triad_{name}")


def _dilution(trace: Trace) -> None:
    """Row entropy against position."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = measures.entropy_by_position(figures.need_attention(trace))
        return table_in(frame, ("entropy", "uniform", "below_uniform"), unit)

    with altair_card(
        "Does attention dilute?",
        "Mean row entropy against position. The dashed line is uniform attention, ln N.",
        lambda: entropy_against_position(trace, unit=unit, theme_name=state.theme_name()),
        name="dilution",
        alt="Row entropy against position",
        phrase="spread of attention as the text grows",
        table=table,
        code=notebook_code(trace, f"an.figures.entropy_against_position(trace, unit={unit!r})"),
        more=explained.DILUTION,
    ) as draw:
        draw()


def _scatter(trace: Trace) -> None:
    """Attention entropy against token entropy."""
    unit, position = state.unit(), one_choice.chosen_token(trace.tokens)
    frame = entropy_scatter_frame(trace, unit)
    if not len(frame):
        return
    with altair_card(
        "Spread attention, unsure model?",
        f"One point a token, from token {measures.FIRST_ROW + 1} on; ring: the chosen token. Rank correlation "
        f"{significant(rank_correlation(frame), signed=True)} over {count(len(frame))} tokens of one text.",
        lambda: attention_scatter(trace, position, unit=unit, theme_name=state.theme_name()),
        name="attention_scatter",
        alt="Token entropy against attention entropy",
        phrase="attention entropy against token entropy",
        table=lambda: frame,
        code=notebook_code(trace, f"an.figures.attention_scatter(trace, unit={unit!r})"),
        more=explained.ENTROPIES,
    ) as draw:
        draw()
