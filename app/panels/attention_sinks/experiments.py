"""Attention sinks, experiments: two texts, break it, and stream it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.attention_sinks.cells import difference_cells
from analysis.attention_sinks.experiment_figures import streaming_figure, surprisal_change_figure
from analysis.attention_sinks.figures import need_attention
from analysis.attention_sinks.summary import sink_numbers
from analysis.drawing.numbers import significant
from analysis.units import from_nats
from app import state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import about_head, chosen_head, head_cell_map, head_line
from app.panels.attention_sinks.compare import active_or_dormant
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import picture_and_choice
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.attention_sinks.streaming import StreamingResult
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest

_WAYS = ("hide token 0", "with bos", "without bos", "replace token 0", "silence heads")
_MOST_HEADS = 40
_NO_MODEL = "It runs the text again, and an opened file has no model."
_UNSETTLED_TOKENS = 16
"""Left out of the curve: the mean of a few tokens would stretch the axis over a million. The table has them."""


@st.fragment
def experiments(trace: Trace) -> None:
    """Draw the chosen experiment, and the chosen head beside it."""
    left, right = picture_and_choice("experiments")
    with left:
        drawn = {"active or dormant": active_or_dormant, "break it": without_sink, "streaming": streaming}
        chosen = choose("Experiment", list(drawn), key=state.SINKS_EXPERIMENT, titled=False)
        drawn[chosen](trace)
    with right, st.container(border=True, key="panel_head"):
        head_line(need_attention(trace))
        about_head(trace)


def without_sink(trace: Trace) -> None:
    """Take the sink away and see what it was good for."""
    attention = need_attention(trace)
    layer, head = chosen_head(attention)

    def controls(_request: RunRequest, left: Any, middle: Any) -> Wanted:
        how = left.selectbox("How", _WAYS, key=state.BREAK, bind="query-params")
        heads: list[str] = []
        if how == "silence heads":
            options = [f"{at}.{h}" for at in attention.layer_numbers for h in range(attention.n_heads)]
            heads = middle.multiselect(
                "Heads, as layer.head",
                options,
                [f"{layer}.{head}"],
                key=state.SILENCED,
                max_selections=_MOST_HEADS,
            )

        pairs = [(int(at), int(h)) for at, h in (name.split(".") for name in heads)]

        def compute(model: LanguageModel, job: Job) -> Trace:
            from analysis.attention_sinks.experiments import break_sink

            return break_sink(model, trace, how, heads=pairs, on_progress=job.report)

        again = f"an.break_sink(model, trace, {how!r}{f', heads={pairs}' if pairs else ''})"
        return Wanted(
            compute,
            lambda after: _draw_break(trace, after, how, again),
            (("how", how), ("heads", sorted(heads))),
        )

    on_demand(
        "break",
        "Without the sink",
        "Reads the same text again without the sink, and shows how the surprisal of every token changes.",
        "Run again",
        controls,
        why=_NO_MODEL,
        widths=[1.3, 2, 1],
        height=220,
    )


def _draw_break(before: Trace, after: Trace, how: str, again: str) -> None:
    from analysis.attention_sinks.experiments import largest_state, mean_change, surprisal_change

    unit, frame = state.unit(), surprisal_change(before, after)
    call = f"an.figures.surprisal_change_figure(an.surprisal_change(trace, {again}))"
    with altair_card(
        f"Effect on every token: {how}",
        "Orange: the token became more surprising. Blue: less.",
        lambda: surprisal_change_figure(frame, unit=unit, theme_name=state.theme_name()),
        alt="Change in surprisal along the text",
        name="broken",
        table=lambda: frame,
        code=notebook_code(before, call),
        spec=after.spec.subtitle,
        more=explained.BREAK,
    ) as draw:
        change = from_nats(mean_change(frame), unit)
        peaks = [largest_state(run) for run in (before, after)]
        line = f"Mean change **{significant(change, signed=True)} {unit}** per token"
        if after.attention is not None and before.attention is not None:
            shares = [100 * sink_numbers(run.attention).on_first for run in (before, after) if run.attention]
            line += f" · attention on token 0 **{significant(shares[0])} % → {significant(shares[1])} %**"
        draw()
        st.caption(line + f" · largest state norm **{significant(peaks[0])} → {significant(peaks[1])}**")
        if after.attention is not None and before.attention is not None:
            cells = difference_cells(after, before, ("after", "before"))
            head_cell_map(before.attention, cells, "broken_heads")


def streaming(trace: Trace) -> None:
    """Perplexity along the text under full attention, a window, and sinks with a window."""
    n = len(trace.tokens)

    def controls(request: RunRequest, left: Any, middle: Any) -> Wanted | None:
        window = int(left.number_input("Tokens seen", 2.0, 1e6, 64.0, 1.0, "%.0f", key=state.STREAM_WINDOW))
        n_sink = int(
            middle.number_input("First tokens kept", 1.0, 1e5, 4.0, 1.0, "%.0f", key=state.STREAM_SINKS)
        )
        if not n_sink < window < n:
            st.caption(
                f"The tokens seen must be more than the first tokens kept and fewer than the {n} tokens of the text."
            )
            return None

        def compute(model: LanguageModel, job: Job) -> StreamingResult:
            from analysis.attention_sinks.streaming import streaming_curves

            return streaming_curves(
                model,
                request.text,
                window=window,
                n_sink=n_sink,
                bos=request.bos,
                parse_special=request.parse_special,
                on_progress=job.report,
            )

        return Wanted(
            compute, lambda result: _draw_streaming(trace, result), (("window", window), ("sinks", n_sink))
        )

    on_demand(
        "stream",
        "Streaming",
        "Limits what every token may see, and keeps or drops the first tokens: the StreamingLLM picture.",
        "Run streaming test",
        controls,
        why=_NO_MODEL,
        widths=[1, 1, 1],
        height=240,
    )


def _draw_streaming(trace: Trace, result: StreamingResult) -> None:
    frame = result.to_frame()
    settled = frame[frame["position"] >= min(_UNSETTLED_TOKENS, result.window)]
    call = f"an.figures.streaming_figure(an.streaming_curves(model, trace.text, window={result.window}, n_sink={result.n_sink}).to_frame())"
    with altair_card(
        "Perplexity along the text",
        f"Lower is better. Both limited curves see the same number of tokens; only one keeps the first few. "
        f"Drawn from token {_UNSETTLED_TOKENS} on.",
        lambda: streaming_figure(settled, window=result.window, theme_name=state.theme_name()),
        alt="Perplexity along the text, one line per rule of what a token may see",
        name="streaming",
        table=lambda: frame,
        code=notebook_code(trace, call),
        spec=f"{trace.spec.subtitle} · window {result.window}, first {result.n_sink} kept",
        more=explained.STREAMING,
    ) as draw:
        draw()
        st.dataframe(
            result.summary(),
            hide_index=True,
            key="streaming_summary",
            column_config={
                "perplexity": st.column_config.NumberColumn(format="%.2f"),
                "surprisal_after": st.column_config.NumberColumn("surprisal once full, nats", format="%.3f"),
                "perplexity_after": st.column_config.NumberColumn("perplexity once full", format="%.2f"),
            },
        )
