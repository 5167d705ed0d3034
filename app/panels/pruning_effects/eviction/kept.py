"""KV-cache eviction: what survived, on the text and token by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from app.widgets.layout import table_height
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


def kept_map(trace: Trace, sweep: Sweep, setting: int, code: str, left: Any, panel: Any) -> None:
    """The context as a strip, token by layer, and in the panel a clicked token's fate."""
    with left:
        chosen = _strip(trace, sweep, setting, code)
        _by_layer(trace, sweep, setting, code)
    with panel:
        _fate(sweep, setting, chosen)


def _strip(trace: Trace, sweep: Sweep, setting: int, code: str) -> int | None:
    strip = kept_strip(sweep, setting)

    def table() -> pd.DataFrame:
        frame = kept_frame(sweep, setting)
        return frame.assign(token=frame["token"].map(visible))

    with html_card(
        "Kept tokens",
        "Stronger colour: kept in more layers and KV heads. Click a token to see which methods keep it.",
        lambda: kept_tokens(sweep, setting, theme_name=state.theme_name()),
        phrase=named(sweep, setting),
        name="kept_strip",
        table=table,
        code=notebook_code(trace, f"{code}an.figures.kept_tokens(sweep, {setting})"),
        more=explained.KEPT,
    ):
        first = most_missed(sweep, setting)
        return token_strip(strip, key="kept_strip_canvas", selected=first, height=240)


def _fate(sweep: Sweep, setting: int, position: int | None) -> None:
    with st.container(key="eviction_fate"):
        if position is None or position >= sweep.spec.n_context:
            return
        named_token(count(position), sweep.context_tokens[position])
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


def named_token(position: str, text: str) -> None:
    """Number and text of the chosen token, at the head of what is said about it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**Token {position}**", width="content")
        st.code(visible(text), language=None, width="content")


def _by_layer(trace: Trace, sweep: Sweep, setting: int, code: str) -> None:
    heads = [_ALL, *(str(head) for head in range(sweep.spec.n_kv_heads))]
    if st.session_state.get(state.KV_HEAD, _ALL) not in heads:
        del st.session_state[state.KV_HEAD]
    chosen = st.session_state.get(state.KV_HEAD, _ALL)
    head = None if chosen == _ALL else int(chosen)

    call = f"{code}an.figures.kept_heatmap(sweep, {setting}{'' if head is None else f', kv_head={head}'})"
    with plotly_card(
        "Kept tokens by layer",
        "Each column is a token of the context, each row a layer. Full colour: every KV head keeps it."
        if head is None
        else "Each column is a token of the context, each row a layer. Coloured: this KV head keeps it.",
        lambda: kept_heatmap(sweep, setting, kv_head=head, theme_name=state.theme_name()),
        phrase=named(sweep, setting),
        name="kept_layers",
        alt="Which tokens of the context are kept, by layer",
        table=lambda: pairs_frame(sweep, setting),
        code=notebook_code(trace, call),
        more=explained.KEPT,
    ) as draw:
        st.selectbox("KV head", heads, key=state.KV_HEAD, bind="query-params", width=140)
        draw()
