"""Attention sinks, heads: the chosen head's map, query by key, and what the chosen query attends to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks.cells import attended_keys, cell_of, map_cells
from analysis.attention_sinks.figures import need_attention
from analysis.attention_sinks.map_figures import head_map_figure
from analysis.attention_sinks.summary import map_seconds, most_rows
from analysis.drawing.cells import CELL_SCALES
from analysis.drawing.numbers import estimate, significant
from app import one_choice, state
from app.choice import choose
from app.compute import requests as runs
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import chosen_head, token_line
from app.widgets.cell_map import cell_map
from app.widgets.figure_card import notebook_code, plotly_card
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import finished_run, model_run, outcome, try_submit

if TYPE_CHECKING:
    from analysis.attention_sinks.maps import HeadMap
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job

AT_ONCE_SECONDS = 15
"""What is expected to take longer is computed only when a person asks for it."""
_WHY = "It is computed from the model's queries and keys; a file holds none."
_POOLS = ("max", "mean")
_SHOWS = ("weight", "weight × value")


def start_maps(trace: Trace) -> None:
    """Compute the maps of the chosen layer with the run, whatever view is open, where that is cheap."""
    wanted = _wanted(trace)
    if (
        wanted is not None
        and runs.find(wanted[0]) is None
        and map_seconds(trace, wanted[1]) <= AT_ONCE_SECONDS
    ):
        _submit(trace, *wanted)


def one_head(trace: Trace) -> None:
    """Query by key map of the chosen head."""
    layer, head = chosen_head(need_attention(trace))
    wanted = _wanted(trace)
    if wanted is None:
        unavailable(
            f"The map of layer {layer}, head {head}",
            "It comes with the first run." if finished_run() is None else _WHY,
        )
        return
    if len(trace.tokens) > most_rows(need_attention(trace).n_heads):
        _part(len(trace.tokens))
    job = runs.find(wanted[0])
    if job is None and not map_seconds(trace, layer) <= AT_ONCE_SECONDS:
        with st.container(border=True, key="panel_one_head", horizontal=True, vertical_alignment="center"):
            st.caption(f"{estimate(map_seconds(trace, layer)).capitalize()}: one pass up to layer {layer}.")
            if not pressed(f"Draw layer {layer}, head {head}", key="map_button"):
                return
    if job is None:
        job = _submit(trace, *wanted)
    maps = None if job is None else outcome(job, (420,))
    if maps is not None:
        _draw(trace, maps[head])


def chosen_query(trace: Trace) -> None:
    """What the chosen token attends to, with the head on screen."""
    wanted = _wanted(trace)
    job = runs.find(wanted[0]) if wanted else None
    if job is None or job.state != "done":
        return
    drawn: HeadMap = job.result[chosen_head(need_attention(trace))[1]]
    position = token_line(trace)
    row = cell_of(drawn.row_edges, position)
    if row is None or drawn.pooled:
        st.caption(
            "Its row is drawn with others in one cell: choose fewer tokens."
            if row is not None
            else "Not drawn."
        )
        return
    st.caption("attends to, with this head:")
    frame = attended_keys(drawn, trace, position)
    percent = frame.assign(weight=100 * frame["weight"], contribution=100 * frame["contribution"])
    share = st.column_config.NumberColumn(format="%.2f %%")
    st.dataframe(
        percent,
        hide_index=True,
        key="attended_keys",
        height="content",
        column_config={"weight": share, "contribution": share},
    )
    st.caption(
        "Contribution: weight × norm of the value, as a share of the row. A drained value adds little."
    )


def _wanted(trace: Trace) -> tuple[runs.Experiment, int, str, range] | None:
    """The maps that the controls ask for: as an experiment, and its layer, pool and part of the text."""
    request, n = model_run(), len(trace.tokens)
    if request is None or trace.attention is None:
        return None
    layer, _ = chosen_head(trace.attention)
    pool = st.session_state.get(state.POOL, st.query_params.get(state.POOL))
    pool = pool if pool in _POOLS else _POOLS[0]
    low, high = st.session_state.get(state.map_part(n), (0, n))
    part = range(min(low, n - 1), max(high, min(low, n - 1) + 1))
    options = (("layer", layer), ("pool", pool), ("part", [part.start, part.stop]))
    return runs.Experiment(request, "maps", options), layer, pool, part


def _submit(trace: Trace, experiment: runs.Experiment, layer: int, pool: str, part: range) -> Job | None:
    def compute(model: LanguageModel, job: Job) -> tuple[HeadMap, ...]:
        from analysis.attention_sinks.maps import layer_maps

        return layer_maps(model, trace, layer, part=part, pool=pool, on_progress=job.report)  # type: ignore[arg-type]

    return try_submit(runs.submit_experiment, experiment, compute)


def _draw(trace: Trace, drawn: HeadMap) -> None:
    layer, head = drawn.layer, drawn.head
    attention = need_attention(trace)
    on_first = 100 * float(attention.sink_mass[attention.row_of(layer), head])
    call = f"an.figures.head_map_figure(an.head_map_block(model, trace, {layer}, {head}), trace)"
    with plotly_card(
        f"Layer {layer}, head {head}",
        f"Row: the token that attends; column: the token attended to. Token 0 gets {significant(on_first)} % of this "
        f"head. {plain(drawn.note)}",
        lambda: head_map_figure(drawn, trace, state.theme_name()),
        name="one_head",
        alt="Attention of one head, query by key",
        phrase="which token attends to which",
        table=drawn.to_frame,
        code=notebook_code(trace, call),
        spec=f"layer {layer}, head {head}, {drawn.pool} of each cell; rows sum to 1 within {significant(drawn.row_sum_error)}",
        more=explained.HEAD_MAP,
    ):
        with st.container(horizontal=True, vertical_alignment="center", key="line_one_head"):
            scale = choose(
                "Scale",
                CELL_SCALES,
                key=state.MAP_SCALE,
                titled=False,
                default="square root",
                width="content",
            )
            shows = (
                _SHOWS[0]
                if drawn.pooled
                else choose("Colour by", _SHOWS, key=state.MAP_SHOWS, titled=False, width="content")
            )
            without = st.toggle(
                "without token 0", key=state.MAP_WITHOUT_FIRST, bind="query-params", width="content"
            )
        position = one_choice.chosen_token(trace.tokens)
        row = cell_of(drawn.row_edges, position)
        picked = cell_map(
            map_cells(drawn, trace, scale=scale, without_first=without, contribution=shows == _SHOWS[1]),
            key="one_head_cells",
            selected=None if row is None else (row, None),
            outline="row",
            height=460,
            row_height=18,
            aspect=1.6,
        )
        if picked is not None and picked[0] != row:
            one_choice.choose_token(int(drawn.row_edges[picked[0]]))


def _part(n: int) -> None:
    """Which part of a long text is drawn, and what a cell of several pairs shows."""
    with st.container(border=True, key="panel_map_part", horizontal=True, vertical_alignment="bottom"):
        choose("Cell shows", _POOLS, key=state.POOL, width="content")
        st.slider("Tokens", 0, n, (0, n), key=state.map_part(n))
