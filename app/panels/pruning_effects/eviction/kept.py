"""KV-cache eviction: what survived, on the text and token by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.pruning_effects.eviction.figures import kept_tokens
from analysis.pruning_effects.eviction.map_figures import kept_heatmap
from analysis.pruning_effects.eviction.overlap import survival_frame
from analysis.pruning_effects.eviction.strips import kept_strip
from analysis.pruning_effects.eviction.summary import future_attention, kept_frame, most_missed, pairs_frame
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import html_card, notebook_code, plotly_card
from app.widgets.layout import side_by_side, table_height
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    import pandas as pd

    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_ALL = "all"


def named(sweep: Sweep, setting: int) -> str:
    """Method and share of a setting, for titles."""
    chosen = sweep.settings[setting]
    return f"{chosen.label}, {chosen.kept:.0%} kept"


@st.fragment
def kept_map(trace: Trace, sweep: Sweep, setting: int, code: str) -> None:
    """The context as a strip, a clicked token's fate, and token by layer."""
    left, right = side_by_side("kept", [1.5, 1])
    with left:
        chosen = _strip(trace, sweep, setting, code)
    with right:
        _fate(sweep, setting, chosen)
    _by_layer(trace, sweep, setting, code)


def _strip(trace: Trace, sweep: Sweep, setting: int, code: str) -> int | None:
    strip = kept_strip(sweep, setting)

    def table() -> pd.DataFrame:
        frame = kept_frame(sweep, setting)
        return frame.assign(token=frame["token"].map(visible))

    with html_card(
        f"Kept tokens: {named(sweep, setting)}",
        "Stronger colour: kept in more layers and KV heads. Click a token to see which methods keep it.",
        lambda: kept_tokens(sweep, setting, theme_name=state.theme_name()),
        name="kept_strip",
        table=table,
        code=notebook_code(trace, f"{code}an.figures.kept_tokens(sweep, {setting})"),
        spec=f"{sweep.spec.subtitle} · {named(sweep, setting)}",
        more=explained.KEPT,
    ):
        first = most_missed(sweep, setting)
        return token_strip(strip, key="kept_strip_canvas", selected=first, height=300)


def _fate(sweep: Sweep, setting: int, position: int | None) -> None:
    with st.container(border=True, height="stretch"):
        if position is None or position >= sweep.spec.n_context:
            st.markdown("**One token**")
            st.caption("Click a token to see which methods keep it.")
            return
        st.markdown(f"**Token {count(position)}**")
        st.code(visible(sweep.context_tokens[position]), language=None)
        future, rank = future_attention(sweep, position)
        st.caption(
            f"The continuation pays it **{significant(100 * future)} %** of its attention under the full cache, "
            f"rank **{count(rank)}** of {count(sweep.spec.n_context)}. Kept in this share of layers and KV heads:"
        )
        frame = survival_frame(sweep, [position], sweep.settings[setting].kept)
        frame["survived"] *= 100
        st.dataframe(
            frame[["method", "survived"]],
            hide_index=True,
            key="kept_fate",
            height=table_height(len(frame), 9),
            column_config={
                "method": st.column_config.TextColumn(width=150),
                "survived": st.column_config.ProgressColumn(
                    "kept in", format="%.0f %%", min_value=0.0, max_value=100.0
                ),
            },
        )


def _by_layer(trace: Trace, sweep: Sweep, setting: int, code: str) -> None:
    heads = [_ALL, *(str(head) for head in range(sweep.spec.n_kv_heads))]
    if st.session_state.get(state.KV_HEAD, _ALL) not in heads:
        del st.session_state[state.KV_HEAD]
    chosen = st.session_state.get(state.KV_HEAD, _ALL)
    head = None if chosen == _ALL else int(chosen)

    call = f"{code}an.figures.kept_heatmap(sweep, {setting}{'' if head is None else f', kv_head={head}'})"
    with plotly_card(
        f"Kept tokens by layer: {named(sweep, setting)}",
        "Each column is a token of the context, each row a layer. Full colour: every KV head keeps it."
        if head is None
        else "Each column is a token of the context, each row a layer. Coloured: this KV head keeps it.",
        lambda: kept_heatmap(sweep, setting, kv_head=head, theme_name=state.theme_name()),
        name="kept_layers",
        alt="Which tokens of the context are kept, by layer",
        table=lambda: pairs_frame(sweep, setting),
        code=notebook_code(trace, call),
        spec=f"{sweep.spec.subtitle} · {named(sweep, setting)}",
        more=explained.KEPT,
    ) as draw:
        st.selectbox("KV head", heads, key=state.KV_HEAD, bind="query-params", width=140)
        draw()
