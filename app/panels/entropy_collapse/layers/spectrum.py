"""Entropy collapse over layers: the spectrum of one layer, and which layer that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import one_choice, state
from app.panels.entropy_collapse.layers import help as explained

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def take_click() -> None:
    """Choose the layer that was clicked in the chart, once."""
    picked = st.session_state.get(state.LAYERS_CHART, {}).get("selection", {}).get("pick", [])
    if picked and int(picked[0]["layer"]) != st.session_state.get(state.LAYER_PICKED):
        st.session_state[state.LAYER_PICKED] = int(picked[0]["layer"])
        one_choice.choose_layer(int(picked[0]["layer"]))


def chosen_layer(trace: Trace, kind: str = "states") -> int:
    """Layer a person chose, else the one with the largest drop."""
    from analysis.entropy_collapse.layers.curves import collapse_layer

    layer = one_choice.layer_or_none()
    if layer is None or not (kind != "states") <= layer <= trace.spec.n_layers:
        layer = collapse_layer([trace], kind=kind).candidate
    return int(layer)


def spectrum(trace: Trace, kind: str) -> None:
    """Draw the chosen layer's eigenvalues, and the way to the layers beside it."""
    from analysis.drawing.numbers import significant
    from analysis.entropy_collapse.layers import figures
    from analysis.entropy_collapse.layers.curves import spectra_of
    from analysis.results.spectra import alpha_req
    from app.widgets.figure_card import altair_card, notebook_code
    from app.widgets.stepper import stepper

    first, last = int(kind != "states"), trace.spec.n_layers
    layer = chosen_layer(trace, kind)
    with altair_card(
        f"Spectrum of layer {layer}",
        "One direction far above the rest: the tokens differ mostly along it.",
        lambda: figures.spectrum(trace, layer, kind=kind, theme_name=state.theme_name()),
        alt=f"Eigenvalue spectrum of layer {layer}",
        name="spectrum",
        table=lambda: figures.spectrum_frame(trace, layer, kind=kind),
        code=notebook_code(trace, f"an.figures.spectrum(trace, {layer}, kind={kind!r})"),
        more=explained.SPECTRUM,
    ) as draw:
        stepper(
            "layer",
            f"Layer {layer}",
            "layer",
            layer - first,
            last - first + 1,
            lambda at: one_choice.choose_layer(first + at),
        )
        draw()
        shares = spectra_of(trace, kind)[0, layer - first]
        fit = alpha_req(shares)
        line = f"Largest direction **{significant(100 * float(shares[0]))} %**"
        if fit is None:
            st.caption(
                f"{line} · alpha-ReQ not available: it needs 100 eigenvalues, a text of this length has fewer."
            )
        else:
            st.caption(f"{line} · alpha-ReQ **{significant(fit.alpha)}**, R² **{fit.r_squared:.3f}**")
