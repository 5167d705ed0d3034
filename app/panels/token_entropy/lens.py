"""The logit lens: a window of tokens with each layer's first choice in its cell; offered with its price where a run has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, estimate, size
from analysis.errors import AnalysisError
from analysis.token_entropy.lens_window import (
    LENS_QUANTITIES,
    LensQuantityName,
    lens_bar,
    lens_cells,
    lens_quantities_of,
    settled_layer,
    window_at,
    window_start,
)
from app import one_choice, state
from app.choice import choose
from app.compute import requests as runs
from app.panels.token_entropy import help as explained
from app.widgets.cell_map import cell_map, picked_cell
from app.widgets.checks import check_line
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.messages import show_error, show_unavailable
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import model_run, other_run, try_submit

if TYPE_CHECKING:
    from analysis.drawing.cells import Cells
    from analysis.results.trace import Trace

_OLD_DISTANCE = "KL to the output"
"""What addresses of earlier versions call the distance to the output."""
_STEPS = {1: "every layer", 2: "every 2nd layer", 4: "every 4th layer", 8: "every 8th layer"}


def lens(trace: Trace) -> None:
    """The logit lens, computed when asked for."""
    if trace.layers.lens_layers is None:
        request = model_run()
        if request is None:
            show_unavailable(
                AnalysisError("Logit lens: not available.", "The opened file was made without it.")
            )
            return
        wanted = replace(request, lens_step=int(st.session_state.get(state.LENS_STEP, 2)))
        job = runs.find(wanted)
        if job is None or job.state in ("failed", "cancelled"):
            _offer_lens(trace, wanted, job.error if job else None)
            return
        found = other_run(wanted)
        if found is None:
            return
        _draw_lens(found)
        check_line(found.checks[-1])
        return
    _draw_lens(trace)


def _offer_lens(trace: Trace, wanted: runs.RunRequest, error: AnalysisError | None) -> None:
    with st.container(border=True, key="panel_lens"):
        st.markdown("**Token by layer: the logit lens**")
        st.caption(
            "Reads the state after each layer as if it were the last one: where does the prediction settle? "
            "It costs one vocabulary head per layer, so it runs only when asked."
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            step = st.selectbox(
                "Layers",
                list(_STEPS),
                index=1,
                format_func=_STEPS.__getitem__,
                key=state.LENS_STEP,
                bind="query-params",
                persist_state="session",
                width=160,
            )
            wanted = replace(wanted, lens_step=step)
            asked = pressed("Compute the lens", key="lens_button")
        n_lens = -(-(trace.spec.n_layers + 1) // step)
        try:
            plan = runs.estimate(wanted.key, n_lens, wanted)
            st.caption(
                f"{n_lens} layers · {estimate(plan.seconds)} · {size(plan.bytes_needed)} beside the weights"
            )
        except AnalysisError as reason:
            st.caption(plain(str(reason)))
        if asked:
            if try_submit(runs.submit, wanted):
                st.rerun()
        elif error is not None:
            show_error(error)


def _draw_lens(trace: Trace) -> None:
    unit, n, quantities = state.unit(), len(trace.tokens), lens_quantities_of(trace)
    if st.query_params.get(state.LENS_QUANTITY) == _OLD_DISTANCE:
        st.session_state[state.LENS_QUANTITY] = "kl"
    named = st.session_state.get(state.LENS_QUANTITY)
    kind: LensQuantityName = named if named in quantities else "entropy"
    bar, step = lens_bar(trace, kind, unit=unit)
    _take_picks(trace, bar, step)
    position, layer = one_choice.chosen_token(trace.tokens), state.number_of(state.LAYER)
    first = window_start(position, n, shown=st.session_state.get(state.LENS_FIRST))
    st.session_state[state.LENS_FIRST] = first
    cells = lens_cells(trace, kind, unit=unit, first=first)
    with altair_card(
        "Token by layer: the logit lens",
        f"{LENS_QUANTITIES[kind].faint} Read a column upwards: a cell says what the model would answer if it stopped there. "
        f"{_settles(trace, position)}",
        lambda: figures.lens_window(
            trace, kind, unit=unit, theme_name=state.theme_name(), first=first, token=position, layer=layer
        ),
        name="lens",
        table=lambda: trace.layers.lens_frame(unit),
        code=notebook_code(trace, f"an.figures.lens_window(trace, {kind!r}, unit={unit!r}, first={first})"),
        phrase="each layer's first choice, in its cell",
        more=explained.LENS,
    ):
        shown = window_at(first, n)
        bar_window = (shown[0] // step, shown[-1] // step + 1)
        cell_map(bar, key=state.LENS_BAR, selected=(None, position // step), row_height=1, window=bar_window)
        with st.container(key="lens_controls"):
            chosen = choose(
                "Colour",
                list(quantities),
                key=state.LENS_QUANTITY,
                titled=False,
                persist_state="session",
                format_func=lambda name: LENS_QUANTITIES[name].label,
            )
        if chosen != kind:  # first said by the address
            st.rerun()
        rows = cells.rows.labels
        row = rows.index(str(layer)) if str(layer) in rows else None
        cell_map(
            cells,
            key=state.LENS_WINDOW,
            selected=(row, position - first),
            outline="column",
            height=None,
            row_height=17,
            room=744,
            column_width=46,
        )


def _take_picks(trace: Trace, bar: Cells, step: int) -> None:
    """Let a new pick in one of the two maps choose the token, and in the window the layer too."""
    layers, n = trace.layers.lens_layers, len(trace.tokens)
    assert layers is not None
    n_rows, n_columns = bar.values.shape
    if picked := picked_cell(state.LENS_BAR, n_rows, n_columns):
        one_choice.choose_token(min(picked[1] * step, n - 1))
    window = window_at(st.session_state.get(state.LENS_FIRST, 0), n)
    if picked := picked_cell(state.LENS_WINDOW, n_rows, len(window)):
        row, column = picked
        one_choice.choose_token(window[column])
        if row or state.number_of(state.LAYER) is not None:  # without a choice the last layer is on top
            one_choice.choose_layer(int(layers[len(layers) - 1 - row]))


def _settles(trace: Trace, position: int) -> str:
    """From which layer on the chosen token's column says what the output says."""
    layer = settled_layer(trace, position)
    if layer is None:
        return ""
    said = plain(visible(trace.tokens.names[int(trace.tokens.top_ids[position, 0])]))
    return f"Before token {count(position)} it says **{said}** from layer {layer} on."
