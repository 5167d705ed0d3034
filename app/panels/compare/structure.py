"""What differs inside: sinks per head, and the states of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.comparison.structure import structure_of
from analysis.comparison.structure_figures import (
    HEAD_CHANGES,
    LAYER_CURVES,
    head_changes_frame,
    layer_changes_frame,
    layer_panels,
)
from analysis.drawing.charts import styled
from app import state
from app.choice import choose
from app.panels.compare import help as explained
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import altair_card
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from analysis.comparison.structure import Structure
    from app.panels.compare.running import Shown


def structure_cards(on_screen: Shown) -> None:
    """Draw both cards, or say why there are none."""
    c = on_screen.c
    found = structure_of(c)
    if found is None:
        unavailable("Heads and layers", c.unavailable.get("structure", "A side has no attention."))
        return
    if found.same_shape:
        _heads(found)
    else:
        unavailable(
            "Heads side by side", "The models have other layers or heads, so none is the same as another."
        )
    _layers(found)


def _heads(found: Structure) -> None:
    quantity = st.session_state.get(state.COMPARED_HEADS) or "sink"
    with altair_card(
        "Heads, B less A",
        f"Orange: more on side B. {HEAD_CHANGES[quantity].help[:1].upper()}{HEAD_CHANGES[quantity].help[1:]}.",
        lambda: figures.head_changes(found, quantity, theme_name=state.theme_name()),
        alt="Difference of every layer and head, B less A",
        name="head_changes",
        phrase="sink to sink, each side's own",
        table=lambda: head_changes_frame(found, quantity),
        code=comparison_code(f"an.figures.head_changes(c.structure(), {quantity!r})"),
        more=explained.HEADS,
    ) as draw:
        choose(
            "Heads",
            list(HEAD_CHANGES),
            key=state.COMPARED_HEADS,
            titled=False,
            format_func=lambda name: HEAD_CHANGES[name].label,
        )
        if st.session_state[state.COMPARED_HEADS] != quantity:
            st.rerun()  # first said by the address
        draw()


def _layers(found: Structure) -> None:
    unit, theme_name = state.unit(), state.theme_name()
    there = [name for name in LAYER_CURVES if name == "norm" or _has_spectra(found)]
    held = st.session_state.get(state.COMPARED_LAYERS)
    quantity = held if held in there else there[0]
    with altair_card(
        "Layer by layer",
        "Lines: A and B. Bars: B less A."
        if found.same_shape
        else "Both over their relative depth: other numbers of layers.",
        lambda: figures.layer_changes(found, quantity, unit=unit, theme_name=theme_name),
        alt="A and B over the layers, and their difference",
        name="layer_changes",
        phrase=LAYER_CURVES[quantity],
        table=lambda: layer_changes_frame(found, quantity, unit),
        code=comparison_code(f"an.figures.layer_changes(c.structure(), {quantity!r}, unit={unit!r})"),
        more=explained.LAYERS,
    ) as draw:
        choose(
            "Layers",
            there,
            key=state.COMPARED_LAYERS,
            titled=False,
            format_func=lambda name: LAYER_CURVES[name],
        )
        if st.session_state[state.COMPARED_LAYERS] != quantity:
            st.rerun()  # first said by the address
        for k, panel in enumerate(layer_panels(found, quantity, unit=unit, theme_name=theme_name)):
            draw(styled(panel, theme_name), key=f"layer_changes_{k}")


def _has_spectra(found: Structure) -> bool:
    return found.a.matrix_entropy is not None and found.b.matrix_entropy is not None
