"""KV-cache eviction: what survived, on the text and token by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.pruning_effects.eviction.figures import kept_tokens
from analysis.pruning_effects.eviction.map_figures import kept_heatmap
from analysis.pruning_effects.eviction.overlap import survival_frame
from analysis.pruning_effects.eviction.strips import kept_strip
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import figure_card, notebook_code, plotly_card
from app.widgets.layout import side_by_side
from app.widgets.plain import visible
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_ALL = "all"


def named(sweep: Sweep, setting: int) -> str:
    """Method and share of a setting, for titles."""
    chosen = sweep.settings[setting]
    return f"{chosen.label}, {chosen.kept:.0%} kept"


def kept_frame(sweep: Sweep, setting: int) -> pd.DataFrame:
    """One row per token of the context: in how many (layer, KV head) pairs it survived."""
    kept = sweep.kept(setting)
    return pd.DataFrame(
        {
            "position": np.arange(sweep.spec.n_context),
            "token": [visible(token) for token in sweep.context_tokens],
            "survived": kept.sum((0, 1)),
            "pairs": kept.shape[0] * kept.shape[1],
            "share": kept.mean((0, 1)),
            "future_attention": sweep.future.astype(np.float64).mean((0, 1)),
        }
    )


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
    with figure_card(
        f"Kept tokens: {named(sweep, setting)}",
        "Stronger colour: kept in more layers and KV heads. Click a token to see which methods keep it.",
        name="kept_strip",
        table=lambda: kept_frame(sweep, setting),
        figure=lambda: (
            kept_tokens(sweep, setting, theme_name=state.theme_name()).document(title=strip.title).encode()
        ),
        figure_ending="html",
        code=notebook_code(trace, f"{code}an.figures.kept_tokens(sweep, {setting})"),
        spec=f"{sweep.spec.subtitle} · {named(sweep, setting)}",
        more=explained.KEPT,
    ):
        lost = sweep.future.mean((0, 1)) * (1 - strip.values)
        return token_strip(strip, key="kept_strip_canvas", selected=int(np.argmax(lost)), height=300)


def _fate(sweep: Sweep, setting: int, position: int | None) -> None:
    with st.container(border=True, height="stretch"):
        if position is None or position >= sweep.spec.n_context:
            st.markdown("**One token**")
            st.caption("Click a token to see which methods keep it.")
            return
        st.markdown(f"**Token {count(position)}**")
        st.code(visible(sweep.context_tokens[position]), language=None)
        future = sweep.future[:, :, position].astype(np.float64).mean()
        rank = int((sweep.future.mean((0, 1)) > sweep.future[:, :, position].mean()).sum()) + 1
        st.caption(
            f"The continuation pays it **{significant(100 * float(future))} %** of its attention under the full cache, "
            f"rank **{count(rank)}** of {count(sweep.spec.n_context)}. Kept in this share of layers and KV heads:"
        )
        frame = survival_frame(sweep, np.array([position]), sweep.settings[setting].kept)
        frame["survived"] *= 100
        st.dataframe(
            frame[["method", "survived"]],
            hide_index=True,
            key="kept_fate",
            height=35 * min(len(frame), 9) + 38,
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
        table=lambda: _layers_frame(sweep, setting),
        code=notebook_code(trace, call),
        spec=f"{sweep.spec.subtitle} · {named(sweep, setting)}",
        more=explained.KEPT,
    ) as draw:
        st.selectbox("KV head", heads, key=state.KV_HEAD, bind="query-params", width=140)
        draw()


def _layers_frame(sweep: Sweep, setting: int) -> pd.DataFrame:
    """One row per layer, KV head and kept token."""
    row, head, token = np.nonzero(sweep.kept(setting))
    return pd.DataFrame({"layer": np.array(sweep.spec.layers)[row], "kv_head": head, "position": token})
