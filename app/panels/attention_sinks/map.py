"""Attention sinks: one head's map, computed on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.attention_sinks.figures import need_attention
from analysis.attention_sinks.map_figures import head_map_figure
from analysis.drawing.numbers import significant
from app import state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.heads import chosen_head
from app.widgets.figure_card import notebook_code, plotly_card
from app.widgets.on_demand import Wanted, on_demand
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.attention_sinks.maps import HeadMap
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest

_SIZE = 384
"""Cells per side on a screen."""


@st.fragment
def one_head(trace: Trace) -> None:
    """Query by key map of the chosen head, pooled to the screen, with zoom."""
    layer, head = chosen_head(need_attention(trace))
    n = len(trace.tokens)

    def controls(_request: RunRequest, left: Any, middle: Any) -> Wanted:
        pool = choose("Cell shows", ["max", "mean"], key=state.POOL, place=left)
        low, high = middle.slider("Tokens", 0, n, (0, n), key=f"zoom_{n}") if n > 2 else (0, n)
        part = range(min(low, n - 1), max(high, min(low, n - 1) + 1))

        def compute(model: LanguageModel, job: Job) -> HeadMap:
            from analysis.attention_sinks.maps import head_map_block

            return head_map_block(
                model, trace, layer, head, rows=part, keys=part, size=_SIZE, pool=pool, on_progress=job.report
            )

        options = (("layer", layer), ("head", head), ("pool", pool), ("part", [part.start, part.stop]))
        return Wanted(compute, lambda drawn: _draw(trace, drawn), options)

    on_demand(
        "map",
        "One head's map",
        "Computed now, from this layer's queries and keys only. Choose the head in the map above.",
        f"Draw layer {layer}, head {head}",
        controls,
        why="It is computed from the model's queries and keys; a file holds none.",
        widths=[1, 2, 1],
        height=420,
    )


def _draw(trace: Trace, drawn: HeadMap) -> None:
    call = f"an.figures.head_map_figure(an.head_map_block(model, trace, {drawn.layer}, {drawn.head}), trace)"
    with plotly_card(
        f"Layer {drawn.layer}, head {drawn.head}",
        "Rows are queries, columns the keys they attend to. Stronger colour: more attention.",
        lambda: head_map_figure(drawn, trace, state.theme_name()),
        name="one_head",
        alt="Attention of one head, query by key",
        table=drawn.to_frame,
        code=notebook_code(trace, call),
        spec=f"{trace.spec.subtitle} · layer {drawn.layer}, head {drawn.head}, {drawn.pool} of each cell",
        more=explained.HEAD_MAP,
    ) as draw:
        draw()
        st.caption(
            f"Rows sum to 1 within {plain(f'{drawn.row_sum_error:.0e}')}. {plain(drawn.note)} "
            f"Largest weight drawn: {significant(drawn.largest)}."
        )
