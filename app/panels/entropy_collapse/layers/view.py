"""Entropy collapse over layers: numbers, curves, and the spectrum of the chosen layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.choice import choose, chosen
from app.compute import requests as runs
from app.panels.entropy_collapse.layers import help as explained
from app.panels.entropy_collapse.layers.spectrum import chosen_layer, spectrum, take_click
from app.widgets.messages import show_error, unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import model_run, model_run_or_none, other_run, shown_run, try_submit

if TYPE_CHECKING:
    from analysis.results.trace import Trace

OF = ("this text", "many texts", "other models")
KINDS = ("states", "query", "key", "value")
_OF_STATES = ("lens entropy", "curvature")
_ORDERS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)


def over_layers(line: Any) -> None:
    """Draw the view for the run on screen.

    Parameters
    ----------
    line : container
        Of the heading: the choice of what the curves are of stands at its end.
    """
    of = choose("Curves of", OF, key=state.COLLAPSE_OF, place=line, titled=False)
    trace = shown_run()
    if trace.layers.spectrum is None:
        unavailable(
            "Spectra of the layers",
            trace.unavailable.get("spectra", "The opened file was made without them."),
        )
        if trace.spec.window is None:  # over windows there are none, whatever they may cost
            _offer_all("Measure spectra")
    elif of == OF[1]:
        from app.panels.entropy_collapse.layers.texts import texts

        texts(trace)
    elif of == OF[2]:
        from app.panels.entropy_collapse.layers.models import models

        models(trace)
    else:
        _curves(trace)
        _numbers(trace)


def _numbers(trace: Trace) -> None:
    from analysis.drawing.numbers import significant
    from analysis.entropy_collapse.layers.curves import collapse_layer
    from analysis.results.spectra import effective_rank, renyi_entropy
    from analysis.units import from_nats
    from app.widgets.layout import number_line

    shares, unit = trace.layers.spectrum, state.unit()
    assert shares is not None
    found, without = collapse_layer([trace]), collapse_layer([trace], first_token=False)
    at, entropy = found.candidate, from_nats(renyi_entropy(shares), unit)
    most = min(trace.spec.n_tokens - 1, trace.spec.hidden_size or trace.spec.n_tokens)
    cells = [
        ("largest drop", f"layer {at}", "Layer into which the matrix entropy of this text falls most, all tokens counted."),
        (f"entropy there, {unit}", f"{significant(float(entropy[0, at - 1]))} → {significant(float(entropy[0, at]))}",
         "Matrix entropy of order 1 before and after that layer."),
        ("without token 0", f"{significant(float(entropy[1, at - 1]))} → {significant(float(entropy[1, at]))}",
         "The same layer with token 0 left out before centring."),
        ("largest without it", f"layer {without.candidate}",
         f"Largest drop that is left when token 0 is not counted: {significant(100 * without.largest_drop)} % of the entropy before it."),
        ("rank at the end", f"{significant(float(effective_rank(shares[0, -1])))} of {most}",
         "Effective rank of the last layer's states (from eigenvalues), and the most that this text allows."),
    ]  # fmt: skip
    number_line("layers", cells)


@st.fragment
def _curves(trace: Trace) -> None:
    from app.widgets.layout import picture_and_choice

    take_click()
    quantity, kind, order, scale = _chosen()
    left, right = picture_and_choice("layers", follows=False)
    with left:
        found = _with_kind(trace, kind)
        if found is not None and quantity == "lens entropy":
            found = _with_lens(trace)
        if found is None:
            with st.container(border=True, key="panel_layers_controls"):
                _controls(quantity, kind)
        else:
            _main(found, quantity, kind, order, scale)
    with right:
        if found is None or quantity == "lens entropy":
            spectrum(trace, "states")
        else:
            spectrum(found, kind)


def _chosen() -> tuple[Any, str, float, Any]:
    """Quantity, kind of states, order and scale, as the controls that are drawn in the card have them."""
    from analysis.entropy_collapse.layers.curves import QUANTITIES, SCALES

    quantity = chosen(QUANTITIES, state.LAYER_QUANTITY)
    kind = "states" if quantity in _OF_STATES else chosen(KINDS, state.STATES)
    scale = chosen(SCALES if kind == "states" else SCALES[:2], state.SCALE)
    return quantity, kind, float(st.session_state.get(state.RENYI_ORDER, 1.0)), scale


def _controls(quantity: str, kind: str) -> None:
    from analysis.entropy_collapse.layers.curves import QUANTITIES, SCALES

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="line_quantity"):
        st.selectbox(
            "Quantity",
            QUANTITIES,
            key=state.LAYER_QUANTITY,
            bind="query-params",
            label_visibility="collapsed",
            width=210,
        )
        st.selectbox(
            "Of the",
            KINDS,
            key=state.STATES,
            bind="query-params",
            disabled=quantity in _OF_STATES,
            label_visibility="collapsed",
            width=130,
            help="States between the blocks, or what each block's attention compares (queries and keys, after positions) and mixes (values).",
        )
        with st.popover("Order and scale", key="order_and_scale"):
            is_entropy = quantity == "matrix entropy"
            st.select_slider(
                "Renyi order",
                _ORDERS,
                1.0,
                key=state.RENYI_ORDER,
                disabled=not is_entropy,
                help="1 is the usual entropy. Larger orders give more weight to the largest directions, smaller ones equal weight to all.",
            )
            st.selectbox(
                "Scale",
                SCALES if kind == "states" else SCALES[:2],
                key=state.SCALE,
                bind="query-params",
                disabled=not is_entropy,
            )


def _with_kind(trace: Trace, kind: str) -> Trace | None:
    """The run with spectra of this kind: the one on screen, or one that took them too."""
    if kind in trace.spec.spectra:
        return trace
    if trace.attention is None:
        unavailable(f"Spectra of the {kind} states", trace.unavailable.get("attention", ""))
        return None
    request = model_run_or_none(f"Spectra of the {kind} states", "The opened file was made without them.")
    if request is None:
        return None
    wanted = replace(request, all_spectra=True)
    if not _is_under_way(wanted):
        _offer_all(
            "Measure queries, keys and values", "Reads the text once more and takes four spectra per layer."
        )
        return None
    return other_run(wanted)


def _with_lens(trace: Trace) -> Trace | None:
    """The run with the logit lens."""
    if trace.layers.lens_layers is not None:
        return trace
    request = model_run_or_none("Logit-lens entropy", "The opened file was made without the lens.")
    if request is None:
        return None
    wanted = replace(request, lens_step=int(st.session_state.get(state.LENS_STEP, 2)))
    if not _is_under_way(wanted):
        with st.container(border=True):
            st.caption("The logit lens costs one vocabulary head per layer, so it runs only when asked.")
            if pressed("Compute the lens", key="collapse_lens_button") and try_submit(runs.submit, wanted):
                st.rerun()
        return None
    return other_run(wanted)


def _is_under_way(wanted: runs.RunRequest) -> bool:
    """Whether a run was asked for and did not end without a result; says why if it failed."""
    job = runs.find(wanted)
    if job is not None and job.error is not None:
        show_error(job.error)
    return job is not None and job.state not in ("failed", "cancelled")


def _offer_all(label: str, what: str = "") -> None:
    request = model_run()
    if request is None:
        return
    with st.container(border=True):
        if what:
            st.caption(what)
        wanted = replace(request, all_spectra=True)
        if pressed(label, key="all_spectra_button") and try_submit(runs.submit, wanted):
            if not what:
                st.session_state[state.RUN] = wanted
            st.rerun()


def _main(trace: Trace, quantity: Any, kind: str, order: float, scale: Any) -> None:
    from analysis.entropy_collapse.layers import figures
    from analysis.entropy_collapse.layers.curves import collapse_layer
    from app.widgets.figure_card import altair_card, notebook_code

    unit = state.unit()
    found = collapse_layer([trace], kind=kind) if kind in trace.spec.spectra else None
    layer = chosen_layer(trace, kind) if found is not None else None

    def chart(**more: Any) -> Any:
        return figures.matrix_entropy(
            trace,
            quantity,
            kind=kind,
            order=order,
            scale=scale,
            unit=unit,
            theme_name=state.theme_name(),
            **more,
        )

    what = {"states": "the token states", "query": "the queries", "key": "the keys", "value": "the values"}[
        kind
    ]
    if quantity == "lens entropy":
        title, caption = (
            "Logit-lens entropy over layers",
            "Mean entropy of what each layer would predict. Dashed: without what token 0 predicted.",
        )
    else:
        title = f"{quantity[:1].upper()}{quantity[1:]} of {what} over layers"
        caption = "How many ways the tokens differ, layer by layer. Dashed: token 0 left out."
    call = f"an.figures.matrix_entropy(trace, {quantity!r}, kind={kind!r}, order={order:g}, scale={scale!r}, unit={unit!r})"
    with altair_card(
        title,
        caption,
        chart,
        phrase="click a layer for its spectrum" if found is not None else "",
        name="layers",
        alt=f"{title}, with and without token 0",
        key=state.LAYERS_CHART,
        table=lambda: figures.curves_frame(
            {"this text": trace}, quantity, kind=kind, order=order, scale=scale, unit=unit
        ),
        code=notebook_code(trace, call),
        more=explained.CURVES,
    ) as draw:
        _controls(quantity, kind)
        draw(chart(selected=layer, pick=True), on_select="rerun", selection_mode="pick")
        if found is not None and quantity == "matrix entropy":
            st.caption(_sentence(found))


def _sentence(found: Any) -> str:
    from analysis.drawing.numbers import significant

    if found.layer is None:
        return f"For this text there is no collapse layer: {found.reason}."
    return (
        f"Block {found.layer} removes {significant(100 * float(found.median_drop[found.layer - 1]))} % of this text's matrix entropy. "
        "Whether it does so to every text is seen under many texts."
    )
