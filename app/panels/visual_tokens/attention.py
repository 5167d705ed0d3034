"""The answer and where it looked: on the picture, over the layers, in every head. A click anywhere chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import significant
from analysis.visual_tokens.findings import attention_finding
from analysis.visual_tokens.looking_figures import attention_frame, picture_heads_frame, shares_frame
from analysis.visual_tokens.patch_figures import picture_map
from analysis.visual_tokens.strips import answer_strip
from app import state
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.code import answer_code
from app.panels.visual_tokens.part import part_control, shows_whole
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card, show_chart
from app.widgets.layout import side_by_side
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

PICK = {"on_select": "rerun", "selection_mode": "pick"}
_STRIP_HEIGHT = 84


def take_clicks() -> None:
    """Let the newest click in a picture of this view choose, before anything is drawn."""
    for chart in (state.LOOK_PLAIN, state.LOOK_MAP):
        take_click(chart, running.choose_patch)
    take_click(state.LOOK_SHARES, running.choose_layer)
    take_click(state.LOOK_HEADS, running.choose_head)


def attention_cards(a: VisualAnswer) -> None:
    """Draw the three cards."""
    map_card(a)
    shares, heads = side_by_side("look", 2)
    with shares:
        _shares_card(a)
    with heads:
        _heads_card(a)


def chosen_parts(a: VisualAnswer) -> tuple[int, int | None, int | None]:
    """Chosen written token, layer and head."""
    return running.chosen_token(a), running.chosen_layer(a), running.chosen_head(a)


def map_card(a: VisualAnswer) -> None:
    """Draw the answer, and the picture with the chosen token's attention on it."""
    token, layer, head = chosen_parts(a)
    patch, theme_name = running.chosen_patch(a), state.theme_name()
    without = bool(st.session_state.get(state.LOOK_SINKS, st.query_params.get(state.LOOK_SINKS) == "true"))
    whole = shows_whole(a.picture)
    where = f"{token}, {layer}, {head}, without_sinks={without}" + ", whole=True" * whole
    with altair_card(
        "The answer and its attention",
        _said(a),
        lambda: figures.attention_on_picture(
            a, token, layer, head, theme_name=theme_name, patch=patch, without_sinks=without, whole=whole
        ),
        name="attention_on_picture",
        alt="The picture with the chosen written token's attention on it",
        key=state.LOOK_MAP,
        phrase="amber: entropy before each token; indigo: attention of the chosen one",
        table=lambda: attention_frame(a, token, layer, head),
        code=answer_code(f"an.figures.attention_on_picture(a, {where})"),
        spec=a.spec.subtitle,
        more=explained.LOOK,
    ) as draw:
        picked = token_strip(
            answer_strip(a, unit=state.unit()), key="look_strip", selected=token, height=_STRIP_HEIGHT
        )
        if picked is not None and picked != token and picked < len(a.tokens):
            running.choose_token(picked)
            token = picked
        map_controls(a)
        with st.container(key="look_pictures", horizontal=True, gap="medium"):
            shown = figures.attention_on_picture(
                a,
                token,
                layer,
                head,
                theme_name=theme_name,
                patch=patch,
                without_sinks=without,
                whole=whole,
                pick=True,
            )
            draw(shown, width="content", **PICK)
            show_chart(
                picture_map(a.picture, theme_name=theme_name, patch=patch, whole=whole, pick=True),
                alt="The picture, the chosen patch outlined",
                key=state.LOOK_PLAIN,
                width="content",
                **PICK,
            )


def map_controls(a: VisualAnswer) -> None:
    """Layer, head, and whether sinks are in the scale."""
    with st.container(key="look_controls", horizontal=True, vertical_alignment="center", gap="small"):
        _select("Layer", running.layer_names(a), state.LOOK_LAYER)
        _select("Head", running.head_names(a), state.LOOK_HEAD)
        part_control(a.picture)
        st.toggle(
            "Without sinks",
            key=state.LOOK_SINKS,
            bind="query-params",
            persist_state="session",
            help="Dashed: visual sinks, which get far more than an even share from whatever is read after the picture. "
            "Left out, the rest has the whole scale.",
        )


def _select(label: str, names: list[str], key: str) -> None:
    if st.session_state.get(key, names[0]) not in names:
        st.session_state.pop(key)  # of an answer by another model
    st.selectbox(
        label,
        names,
        key=key,
        bind="query-params",
        persist_state="session",
        label_visibility="collapsed",
        width=130,
    )


def _said(a: VisualAnswer) -> str:
    token, layer, head = chosen_parts(a)
    found = attention_finding(a, token, layer, head)
    sinks = f", {significant(100 * found.sinks)} % on sinks (dashed)" if found.sinks else ""
    return (
        f"{significant(100 * found.picture)} % of its attention is on the picture{sinks}; {found.n_half} of "
        f"{len(a.picture)} patches get half of that. An even share is {significant(100 * found.even)} %."
    )


def _shares_card(a: VisualAnswer) -> None:
    token, layer, _ = chosen_parts(a)
    with altair_card(
        "Picture or text",
        "Mean over heads. Click a layer to see it on the picture, click it again for all.",
        lambda: figures.attention_shares(a, token, theme_name=state.theme_name(), layer=layer),
        name="attention_shares",
        alt="Share of attention on picture, text and first position in every layer",
        key=state.LOOK_SHARES,
        phrase="layer by layer",
        table=lambda: shares_frame(a, token),
        code=answer_code(f"an.figures.attention_shares(a, {token})"),
        spec=a.spec.subtitle,
        more=explained.SHARES,
    ) as draw:
        draw(
            figures.attention_shares(a, token, theme_name=state.theme_name(), layer=layer, pick=True), **PICK
        )


def _heads_card(a: VisualAnswer) -> None:
    token, layer, head = chosen_parts(a)
    with altair_card(
        "Every head on the picture",
        "Share of each head's attention that falls on the picture. A click chooses layer and head.",
        lambda: figures.picture_heads(a, token, theme_name=state.theme_name(), layer=layer, head=head),
        name="picture_heads",
        alt="Share of attention on the picture in every layer and head",
        key=state.LOOK_HEADS,
        phrase="layer by head",
        table=lambda: picture_heads_frame(a, token),
        code=answer_code(f"an.figures.picture_heads(a, {token})"),
        spec=a.spec.subtitle,
        more=explained.HEADS,
    ) as draw:
        draw(
            figures.picture_heads(a, token, theme_name=state.theme_name(), layer=layer, head=head, pick=True),
            **PICK,
        )
