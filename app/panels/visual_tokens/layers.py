"""What the layers do to the visual tokens: matrix entropy against the text's, and every patch on the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.visual_tokens.layer_figures import PATCH_QUANTITIES, layers_frame, patch_quantity_frame
from analysis.visual_tokens.patch_figures import SMALL
from app import state
from app.choice import chosen
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.attention import PICK
from app.panels.visual_tokens.code import answer_code
from app.panels.visual_tokens.collapse import collapse_panel
from app.panels.visual_tokens.part import part_control, shows_whole
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card
from app.widgets.layout import side_by_side

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer


def layers_cards(a: VisualAnswer) -> None:
    """Draw both cards of this answer, and the panel of many pictures."""
    take_click(state.VISUAL_LAYERS, running.choose_layer)
    take_click(state.PATCH_MAP, running.choose_patch)
    left, right = side_by_side("maps_layers", 2)
    with left:
        _curves(a)
    with right:
        patches_card(a)
    collapse_panel()


def _curves(a: VisualAnswer) -> None:
    unit, theme_name, layer = state.unit(), state.theme_name(), running.chosen_layer(a)
    with altair_card(
        "Matrix entropy",
        "How many directions the states spread over. Click a layer to see its patches.",
        lambda: figures.visual_layers(a, unit=unit, theme_name=theme_name, layer=layer),
        name="visual_layers",
        alt="Matrix entropy of visual tokens and of text in every layer",
        key=state.VISUAL_LAYERS,
        phrase="layer by layer",
        table=lambda: layers_frame(a, unit),
        code=answer_code(f"an.figures.visual_layers(a, unit={unit!r})"),
        spec=a.spec.subtitle,
        more=explained.LAYERS,
    ) as draw:
        draw(figures.visual_layers(a, unit=unit, theme_name=theme_name, layer=layer, pick=True), **PICK)


def patches_card(a: VisualAnswer) -> None:
    """Draw a quantity of every visual token on the picture."""
    names = list(PATCH_QUANTITIES)
    quantity, theme_name = chosen(names, state.PATCH_QUANTITY), state.theme_name()
    layer, patch, whole = running.chosen_layer(a), running.chosen_patch(a), shows_whole(a.picture)
    with altair_card(
        "Every patch",
        "Of the states that enter the chosen layer, or mean over layers. Sinks, where there are any, are dashed.",
        lambda: figures.patch_quantity(a, quantity, layer, theme_name=theme_name, patch=patch, whole=whole),
        name="patch_quantity",
        alt=f"{PATCH_QUANTITIES[quantity].label} of every visual token on the picture",
        key=state.PATCH_MAP,
        phrase=f"{PATCH_QUANTITIES[quantity].label}, {'all layers' if layer is None else f'layer {layer}'}",
        table=lambda: patch_quantity_frame(a, quantity, layer),
        code=answer_code(f"an.figures.patch_quantity(a, {quantity!r}, {layer}{', whole=True' * whole})"),
        spec=a.spec.subtitle,
        more=explained.PATCHES,
    ) as draw:
        with st.container(key="patch_controls", horizontal=True, vertical_alignment="center", gap="small"):
            st.selectbox(
                "Quantity",
                names,
                key=state.PATCH_QUANTITY,
                format_func=lambda name: PATCH_QUANTITIES[name].label,
                persist_state="session",
                label_visibility="collapsed",
                width=230,
            )
            part_control(a.picture)
        draw(
            figures.patch_quantity(
                a, quantity, layer, theme_name=theme_name, patch=patch, whole=whole, side=SMALL, pick=True
            ),
            width="content",
            **PICK,
        )
