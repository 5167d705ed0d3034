"""The logit lens: a window of tokens with each layer's first choice in its cell; offered with its price where a run has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, duration, size
from analysis.errors import AnalysisError
from analysis.token_entropy.lens_window import (
    LENS_QUANTITIES,
    LensQuantityName,
    lens_cells,
    lens_quantities_of,
    settled_layer,
    window_start,
)
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.panels.token_entropy import help as explained
from app.widgets.checks import check_line
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import side_by_side
from app.widgets.messages import show_error, show_unavailable
from app.widgets.plain import plain
from app.widgets.run_status import model_run, other_run, try_submit

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_STEPS = {1: "every layer", 2: "every 2nd layer", 4: "every 4th layer", 8: "every 8th layer"}
LENS_CHART, LENS_BAR = "lens_chart", "lens_bar"
"""Their clicks choose the token, and the layer."""


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
        left, middle, right = side_by_side("controls_lens", [1.4, 1.2, 3], "bottom")
        step = left.selectbox(
            "Layers",
            list(_STEPS),
            index=1,
            format_func=_STEPS.__getitem__,
            key=state.LENS_STEP,
            bind="query-params",
            persist_state="session",
        )
        wanted = replace(wanted, lens_step=step)
        n_lens = -(-(trace.spec.n_layers + 1) // step)
        try:
            plan = runs.estimate(wanted.key, n_lens, wanted)
            right.caption(
                f"{n_lens} layers · about {duration(plan.seconds)} · {size(plan.bytes_needed)} beside the weights"
            )
        except AnalysisError as reason:
            right.caption(plain(str(reason)))
        if middle.button("Compute the lens", key="lens_button", width="stretch"):
            if try_submit(runs.submit, wanted):
                st.rerun()
        elif error is not None:
            show_error(error)


def _draw_lens(trace: Trace) -> None:
    unit, position, layer = state.unit(), state.chosen_token(trace.tokens), st.session_state.get(state.LAYER)
    quantities = lens_quantities_of(trace)
    named = st.session_state.get(state.LENS_QUANTITY)
    kind: LensQuantityName = named if named in quantities else "entropy"
    first = window_start(position, len(trace.tokens), shown=st.session_state.get(state.LENS_FIRST))
    st.session_state[state.LENS_FIRST] = first
    shown: dict[str, Any] = {"unit": unit, "theme_name": state.theme_name(), "first": first}

    def window(pick: bool = False) -> Any:
        return figures.lens_window(trace, kind, token=position, layer=layer, pick=pick, **shown)

    with altair_card(
        "Token by layer: the logit lens",
        f"{LENS_QUANTITIES[kind].faint} Read a column upwards: a cell says what the model would answer if it stopped there. "
        f"{_settles(trace, position)}",
        window,
        name="lens",
        key=LENS_CHART,
        alt=f"Logit lens: first choice of every layer before tokens {first} and after, by {LENS_QUANTITIES[kind].label}",
        table=lambda: trace.layers.lens_frame(unit),
        code=notebook_code(trace, f"an.figures.lens_window(trace, {kind!r}, unit={unit!r}, first={first})"),
        phrase="each layer's first choice, in its cell",
        more=explained.LENS,
    ) as draw:
        with st.container(key="lens_controls", horizontal=True, vertical_alignment="center", gap="small"):
            chosen = choose(
                "Colour",
                list(quantities),
                key=state.LENS_QUANTITY,
                titled=False,
                persist_state="session",
                format_func=lambda name: LENS_QUANTITIES[name].label,
            )
            low, high = lens_cells(trace, kind, unit=unit, first=first).ends
            st.caption(
                f"{low} to {high} · framed: same as the output", width="stretch", text_alignment="right"
            )
        if chosen != kind:  # first said by the address
            st.rerun()
        draw(
            figures.lens_overview(trace, kind, pick=True, **shown),
            key=LENS_BAR,
            alt=f"The lens over the whole text, the window at token {first}",
            on_select="rerun",
            selection_mode="pick",
        )
        draw(window(pick=True), on_select="rerun", selection_mode="pick")


def _settles(trace: Trace, position: int) -> str:
    """From which layer on the chosen token's column says what the output says."""
    layer = settled_layer(trace, position)
    if layer is None:
        return ""
    said = plain(visible(trace.tokens.names[int(trace.tokens.top_ids[position, 0])]))
    return f"Before token {count(position)} it says **{said}** from layer {layer} on."
