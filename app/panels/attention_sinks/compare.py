"""Attention sinks: the same heads on two texts, the ones that switch first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures
from analysis.attention_sinks.cells import difference_cells
from analysis.attention_sinks.summary import switching_heads
from analysis.models.spec import EMBEDDED
from app import state
from app.compute import requests as runs
from app.examples import EXAMPLES, example_of
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import head_cell_map
from app.widgets.figure_card import altair_card, notebook_code, trace_code
from app.widgets.layout import table_height
from app.widgets.messages import unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import model_run_or_none, other_run

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def active_or_dormant(trace: Trace) -> None:
    """Difference of sink strength between the run on screen and an example text."""
    request = model_run_or_none(
        "Two texts side by side", "An opened file has no model to read a second text with."
    )
    if request is None:
        return
    example = example_of(trace.text)
    here = "this text" if example is None else example.slug
    others = [slug for slug in EXAMPLES if slug != here]
    with st.container(border=True, key="panel_compare"):
        with st.container(horizontal=True, vertical_alignment="bottom", key="line_compare"):
            default = others.index("code") if "code" in others else 0
            slug = st.selectbox("Compare with", others, default, key=state.OTHER_EXAMPLE, width=220)
            other = replace(request, text=EXAMPLES[slug].text, lens_step=0)
            asked = runs.find(other) is None and pressed("Compare", key="compare_button")
        st.caption(
            "A head can give its attention to token 0 in one kind of text and to other tokens in another: dormant or active."
        )
        if not (
            asked or runs.find(other) is not None or (request.model.kind == EMBEDDED and _was_compared(slug))
        ):
            return
        st.session_state[state.COMPARED] = slug
        second = other_run(other)
    if second is None:
        return
    if second.attention is None:
        unavailable("Two texts side by side", second.unavailable.get("attention", ""))
        return
    _draw(trace, second, (here, slug))


def _was_compared(slug: str) -> bool:
    return bool(st.session_state.get(state.COMPARED) == slug)


def _draw(first: Trace, second: Trace, names: tuple[str, str]) -> None:
    frame = figures.difference_frame(first, second, names)
    call = f"other = {trace_code(second, 'other.txt')}\nan.figures.head_difference(trace, other, {names})"
    with altair_card(
        "Active or dormant",
        f"Orange: the head attends more to token 0 in “{names[0]}”. Blue: more in “{names[1]}”.",
        lambda: figures.head_difference(first, second, names, theme_name=state.theme_name()),
        name="difference",
        phrase="the same heads on two texts",
        table=lambda: frame,
        code=notebook_code(first, call),
        spec=f"{first.spec.subtitle} · against {second.spec.n_tokens} tokens",
        more=explained.ACTIVE,
    ):
        head_cell_map(
            figures.need_attention(first), difference_cells(first, second, names), "difference_cells"
        )
        st.caption("The heads that differ most:")
        st.dataframe(
            switching_heads(frame),
            hide_index=True,
            key="switching",
            height=table_height(5),
            column_config={
                name: st.column_config.NumberColumn(format="%.3f")
                for name in frame.columns
                if name not in ("layer", "head")
            },
        )
