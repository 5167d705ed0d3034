"""The logit lens: offered with its price, computed when asked, drawn token by layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import duration, size
from analysis.errors import AnalysisError
from analysis.units import unit_label
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.panels.token_entropy import help as explained
from app.widgets.checks import check_line
from app.widgets.figure_card import notebook_code, plotly_card
from app.widgets.messages import show_error, show_unavailable
from app.widgets.plain import plain
from app.widgets.run_status import model_run, other_run, try_submit

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_STEPS = {1: "every layer", 2: "every 2nd layer", 4: "every 4th layer", 8: "every 8th layer"}


@st.fragment
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
        trace = found
    _draw_lens(trace)


def _offer_lens(trace: Trace, wanted: runs.RunRequest, error: AnalysisError | None) -> None:
    with st.container(border=True):
        st.markdown("**Token by layer: the logit lens**")
        st.caption(
            "Reads the state after each layer as if it were the last one: where does the prediction settle? "
            "It costs one vocabulary head per layer, so it runs only when asked."
        )
        left, middle, right = st.columns([1.4, 1.2, 3], vertical_alignment="bottom")
        step = left.selectbox(
            "Layers",
            list(_STEPS),
            index=1,
            format_func=_STEPS.__getitem__,
            key=state.LENS_STEP,
            bind="query-params",
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
    unit, n = state.unit(), len(trace.tokens)
    assert trace.layers.lens_layers is not None
    kind = st.session_state.get(state.LENS_QUANTITY, "entropy")

    def figure(first: int, last: int) -> Any:
        return figures.lens_heatmap(
            trace, kind, unit=unit, theme_name=state.theme_name(), first=first, last=last
        )

    with plotly_card(
        "Token by layer: the logit lens",
        "Each column is a token, each row the state after a layer read as if it were the last one. "
        + ("Faint: already sure." if kind == "entropy" else "Faint: already what the output says."),
        lambda: figure(0, n),
        name="lens",
        alt=f"Logit lens, {unit_label(unit)} by token and layer",
        table=lambda: trace.layers.lens_frame(unit),
        code=notebook_code(trace, f"an.figures.lens_heatmap(trace, {kind!r}, unit={unit!r})"),
        spec=f"{trace.spec.subtitle} · {len(trace.layers.lens_layers)} layers",
        more=explained.LENS,
    ) as draw:
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        kind = choose(
            "Colour",
            ["entropy", "kl"],
            key=state.LENS_QUANTITY,
            place=left,
            format_func=lambda k: {"entropy": "entropy", "kl": "KL to the output"}[k],
        )
        first, last = 0, n
        if n > 2:
            first, last = right.slider("Tokens", 0, n, (0, min(n, 256)), key="lens_range")
        draw(figure(min(first, n - 1), min(max(last, first + 1), n)))
        check_line(trace.checks[-1])
