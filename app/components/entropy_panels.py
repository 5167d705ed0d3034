"""The panels of the token entropy page, top to bottom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import streamlit as st

from analysis import figures
from analysis.drawing.charts import chart_svg, plotly_html
from analysis.drawing.numbers import count, duration, significant, size
from analysis.errors import AnalysisError
from analysis.token_entropy import measures
from analysis.token_entropy.strips import QUANTITIES, TEXTS, Quantity, entropy_strip
from analysis.units import from_nats, unit_label
from app import runs, state
from app.components.errors import show_unavailable
from app.components.figure_card import figure_card, notebook_code
from app.components.layout import side_by_side
from app.components.plain import plain
from app.components.run_status import current_run
from app.components.token_detail import token_detail
from app.components.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.drawing.strip import Strip
    from analysis.forward.results import Trace

_STEPS = {1: "every layer", 2: "every 2nd layer", 4: "every 4th layer", 8: "every 8th layer"}


def _run_key(trace: Trace) -> str:
    """Id of the run on screen, for caches of small questions about it."""
    request = st.session_state.get(state.RUN)
    if request is not None and state.OPENED not in st.session_state:
        return str(request.key)
    return f"file/{trace.spec.text_sha256}/{trace.spec.revision}"


def numbers(trace: Trace) -> None:
    """The five numbers at the head of the page."""
    unit, values = state.unit(), measures.summary(trace.tokens)
    excess = from_nats(values.excess, unit)
    cells = [
        ("tokens", count(values.n_tokens), f"{count(values.n_predicted)} of them had something before them."),
        (
            "mean entropy",
            f"{significant(from_nats(values.mean_entropy, unit))} {unit}",
            "Mean over tokens of the entropy of the prediction, -Σ p ln p.",
        ),
        (
            "perplexity",
            significant(values.perplexity),
            "exp(mean surprisal in nats): 1 is certain, V is clueless.",
        ),
        (
            "bits per byte",
            significant(values.bits_per_byte),
            "Total surprisal in bits over the UTF-8 bytes of the text: compares models with different tokenizers.",
        ),
        (
            "surprise gap",
            f"{significant(excess, signed=True)} {unit}",
            "Mean surprisal minus mean entropy (log-perplexity minus entropy). Above 0: the text surprised the model more than it expected. "
            "About 0 for text sampled from the model itself.",
        ),
    ]
    for column, (label, value, explanation) in zip(side_by_side("numbers", 5), cells, strict=True):
        column.metric(label, value, help=explanation, border=True)


@st.fragment
def strip_and_detail(trace: Trace) -> None:
    """The text as coloured tokens, and the chosen token beside it."""
    left, right = side_by_side("strip", [1.7, 1])
    with left:
        quantity, strip = _strip_controls(trace)
        with figure_card(
            "The text, token by token",
            f"{TEXTS[quantity].reading} Click a token, or focus the strip and use the arrow keys.",
            name="token_strip",
            table=lambda: trace.tokens.to_frame(state.unit()),
            figure=lambda: figures.token_strip(
                trace, quantity, unit=state.unit(), theme_name=state.theme_name()
            ).html.encode(),
            figure_ending="html",
            code=notebook_code(trace, f"an.figures.token_strip(trace, {quantity!r}, unit={state.unit()!r})"),
            spec=trace.spec.subtitle,
            more=_READING,
        ):
            chosen = token_strip(strip, key="entropy_strip", selected=state.chosen_token(trace.tokens))
    if chosen is not None and chosen < len(trace.tokens):
        state.choose_token(chosen)
    with right:
        token_detail(trace, _run_key(trace), state.chosen_token(trace.tokens))


def _strip_controls(trace: Trace) -> tuple[Quantity, Strip]:
    left, right = st.columns([4, 1.1], vertical_alignment="center")
    quantity: Quantity = left.segmented_control(
        "Colour by",
        QUANTITIES,
        default=QUANTITIES[0],
        required=True,
        format_func=lambda q: TEXTS[q].label,
        key=state.QUANTITY,
        label_visibility="collapsed",
        bind="query-params",
        wrap=True,
    )
    with right.popover("Marks", width="stretch"):
        share = st.slider(
            "Forking tokens: share with the highest entropy",
            0.05,
            0.5,
            measures.FORKING_SHARE,
            0.05,
            key=state.FORKING_SHARE,
            bind="query-params",
        )
        show = st.toggle("Underline high-entropy windows", key=state.SHOW_WINDOWS, bind="query-params")
        width = st.number_input("Window, tokens", 1, 64, 4, key=state.WINDOW_WIDTH, bind="query-params")
        percentile = st.slider(
            "Percentile of all windows", 50, 99, 95, key=state.WINDOW_PERCENTILE, bind="query-params"
        )
    span, name = None, ""
    if show:
        span, limit = measures.high_entropy_windows(trace.tokens.entropy, int(width), percentile)
        limit = from_nats(limit, state.unit())
        name = f"mean of {width} tokens at or above {significant(limit)} {state.unit()}"
    return quantity, entropy_strip(
        trace.tokens,
        quantity,
        unit=state.unit(),
        vocab_size=trace.spec.vocab_size,
        marked=measures.forking_tokens(trace.tokens.entropy, share),
        marked_name=f"forking token: top {share:.0%} entropy",
        span=span,
        span_name=name,
    )


@st.fragment
def along_the_text(trace: Trace) -> None:
    """Entropy and surprisal as curves."""
    unit, share = state.unit(), st.session_state.get(state.FORKING_SHARE, measures.FORKING_SHARE)

    def chart() -> Any:
        return figures.along_text(
            trace,
            unit=unit,
            theme_name=state.theme_name(),
            share=share,
            show_threshold=st.session_state.get(state.THRESHOLD, True),
        )

    with figure_card(
        "Along the text",
        f"Thick: entropy before each token. Thin: surprisal of the token that came. Dots: the top {share:.0%} entropy.",
        name="along_text",
        table=lambda: _curve_table(trace),
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=notebook_code(trace, f"an.figures.along_text(trace, unit={unit!r})"),
        spec=trace.spec.subtitle,
        more=_THRESHOLD_READING,
    ):
        st.toggle(
            "Moving threshold",
            True,
            key=state.THRESHOLD,
            bind="query-params",
            help="Mean of the last 25 entropies plus 4 standard deviations, at least 1.8 nats.",
        )
        st.altair_chart(chart(), theme=None, alt="Entropy and surprisal along the text", key="along_chart")


def _curve_table(trace: Trace) -> pd.DataFrame:
    frame = trace.tokens.to_frame(state.unit())
    share = st.session_state.get(state.FORKING_SHARE, measures.FORKING_SHARE)
    frame["is_forking"] = measures.forking_tokens(trace.tokens.entropy, share)
    threshold = measures.moving_threshold(trace.tokens.entropy)
    frame[f"threshold_{state.unit()}"] = from_nats(threshold, state.unit())
    return frame


@st.fragment
def scatter(trace: Trace) -> None:
    """Entropy against surprisal; a click chooses the token."""
    unit = state.unit()

    def chart() -> Any:
        return figures.surprisal_scatter(trace, unit=unit, theme_name=state.theme_name())

    def table() -> pd.DataFrame:
        frame = trace.tokens.to_frame(unit)
        frame["class"] = measures.quadrants(trace.tokens.entropy, trace.tokens.varentropy)
        return frame

    with figure_card(
        "Expected against met",
        "Each mark is a token. Above the dashed line it surprised the model more than the model expected.",
        name="surprisal_scatter",
        table=table,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=notebook_code(trace, f"an.figures.surprisal_scatter(trace, unit={unit!r})"),
        spec=trace.spec.subtitle,
        more=_QUADRANT_READING,
    ):
        event = st.altair_chart(
            chart(),
            theme=None,
            alt="Entropy against surprisal, one mark per token",
            key="scatter_chart",
            on_select="rerun",
            selection_mode="pick",
        )
        picked = event.get("selection", {}).get("pick", []) if event else []
        if picked and int(picked[0]["position"]) != st.session_state.get("scatter_picked"):
            st.session_state["scatter_picked"] = int(picked[0]["position"])
            state.choose_token(int(picked[0]["position"]))
            st.rerun()


@st.fragment
def token_table(trace: Trace) -> None:
    """Which token strings the model is unsure before."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = measures.by_token(trace.tokens)
        for column in ("mean_entropy", "mean_surprisal"):
            frame[column] = from_nats(frame[column], unit)
        return frame.rename(
            columns={"mean_entropy": f"mean_entropy_{unit}", "mean_surprisal": f"mean_surprisal_{unit}"}
        )

    with figure_card(
        "Mean entropy by token",
        "The strings before which the model was least sure, over this text.",
        name="by_token",
        table=table,
        figure=lambda: table().to_html(index=False, escape=True).encode(),
        figure_ending="html",
        code=notebook_code(
            trace, "from analysis.token_entropy.measures import by_token\nby_token(trace.tokens)"
        ),
        spec=trace.spec.subtitle,
    ):
        least = st.number_input("Seen at least this often", 1, 1000, 1, key="by_token_least")
        frame = table()
        frame = frame[frame["count"] >= least]
        frame["token"] = frame["token"].str.replace(" ", "·").str.replace("\n", "↵")
        st.dataframe(
            frame,
            hide_index=True,
            height=286,
            key="by_token_table",
            column_config={
                f"mean_{name}_{unit}": st.column_config.NumberColumn(f"{name}, {unit}", format="%.3f")
                for name in ("entropy", "surprisal")
            },
        )


@st.fragment
def lens(trace: Trace) -> None:
    """The logit lens, computed when asked for."""
    request = st.session_state.get(state.RUN)
    if trace.layers.lens_layers is None and (request is None or state.OPENED in st.session_state):
        show_unavailable(AnalysisError("Logit lens: not available.", "The opened file was made without it."))
        return
    if trace.layers.lens_layers is None:
        step = st.session_state.get(state.LENS_STEP, 2)
        wanted = replace(cast(runs.RunRequest, request), lens_step=int(step))
        if runs.find(wanted) is None:
            _offer_lens(trace, wanted)
            return
        found = current_run(wanted)
        if found is None:
            return
        trace = found
    _draw_lens(trace)


def _offer_lens(trace: Trace, wanted: runs.RunRequest) -> None:
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
        except AnalysisError as error:
            right.caption(plain(str(error)))
        if middle.button("Compute", key="lens_button", width="stretch"):
            runs.submit(wanted)
            st.rerun()


def _draw_lens(trace: Trace) -> None:
    unit, n = state.unit(), len(trace.tokens)
    assert trace.layers.lens_layers is not None
    kind = st.session_state.get(state.LENS_QUANTITY, "entropy")

    def figure(first: int, last: int) -> Any:
        return figures.lens_heatmap(
            trace, kind, unit=unit, theme_name=state.theme_name(), first=first, last=last
        )

    with figure_card(
        "Token by layer: the logit lens",
        "Each column is a token, each row the state after a layer read as if it were the last one. "
        + ("Pale: already sure." if kind == "entropy" else "Pale: already what the output says."),
        name="lens",
        table=lambda: trace.layers.lens_frame(unit),
        figure=lambda: plotly_html(figure(0, n)),
        figure_ending="html",
        code=notebook_code(trace, f"an.figures.lens_heatmap(trace, {kind!r}, unit={unit!r})"),
        spec=f"{trace.spec.subtitle} · {len(trace.layers.lens_layers)} layers",
        more=_LENS_READING,
    ):
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        kind = left.segmented_control(
            "Colour",
            ["entropy", "kl"],
            default="entropy",
            required=True,
            format_func=lambda k: {"entropy": "entropy", "kl": "KL to the output"}[k],
            key=state.LENS_QUANTITY,
            bind="query-params",
        )
        first, last = 0, n
        if n > 2:
            first, last = right.slider("Tokens", 0, n, (0, min(n, 256)), key="lens_range")
        st.plotly_chart(
            figure(first, max(last, first + 1)),
            theme=None,
            key="lens_chart",
            config={"displaylogo": False, "showSendToCloud": False},
            alt=f"Logit lens, {unit_label(unit)} by token and layer",
        )


def checks(trace: Trace) -> None:
    """What this run checked about itself, and how long it took."""
    with st.expander("Checks of this run"):
        for check in trace.checks:
            mark = ":material/check:" if check.passed else ":material/close:"
            st.caption(
                f"{mark} {plain(check.name)}: largest difference {plain(f'{check.error:.1e}')} {check.unit} "
                f"(allowed {plain(f'{check.tolerance:.0e}')})"
            )
        seconds = trace.seconds
        st.caption(
            f"Model body {significant(seconds['body'])} s · vocabulary head {significant(seconds['head'])} s · "
            + (f"logit lens {significant(seconds['lens'])} s · " if seconds["lens"] else "")
            + plain(", ".join(f"{name} {version}" for name, version in trace.versions.items()))
        )


_READING = r"""
Before every token the model gives each token of its vocabulary a probability $p$.

- **Entropy** $H = -\sum p \ln p$: how many ways to go on it saw. $e^H$ is the number of equally likely tokens
  that would be as uncertain.
- **Surprisal** $-\ln p(\text{token})$: how unexpected the token was that came.
- **Gap** $= $ surprisal $- H$: unexpected, given how uncertain the model was.
- **Varentropy** $\sum p\,(\ln p + H)^2$: high when a few likely ways stand beside many unlikely ones.
- **Rank**: 1 for the model's first choice. The classes are GLTR's (Gehrmann et al. 2019): top 10, 100, 1000.
- **Forking tokens**: the most uncertain positions; in reasoning models they decide where the text goes
  (Wang et al. 2025, arXiv:2506.01939).

A hatched token had nothing before it. A token drawn in parts is one character made of several byte pieces.
"""

_THRESHOLD_READING = r"""
The dashed line follows the text: mean of the last 25 entropies plus 4 standard deviations (at least 0.5 nats each),
never under 1.8 nats. SRGen (2025) intervenes where entropy jumps above it. It starts after 25 tokens.

Texts beyond 4,000 tokens are averaged over equal stretches; the axis says over how many tokens.
"""

_QUADRANT_READING = r"""
Thresholds of entropix, in nats and nats²: *sure* $H<0.3, V<1.2$; *spread* $H>2.5, V<1.2$; *torn* $H<2.5, V>2.5$;
*lost* $H>1.2, V>2.5$ (it wins where both hold); *between* is everything else.
"""

_LENS_READING = r"""
The state after each layer goes through the model's final norm and vocabulary head (the *logit lens*,
nostalgebraist 2020). Early layers were not trained for that, so read their rows as a direction, not as a belief.
**KL** $= \sum p_\text{out} (\ln p_\text{out} - \ln p_\text{layer})$, in nats or bits: 0 where the layer already says
what the output says. The last row always equals the output; the run checks it.
Layer 0 is what enters block 1.
"""
