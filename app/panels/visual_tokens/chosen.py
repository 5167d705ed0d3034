"""The chosen written token and the chosen patch: what might have come, where it looked, what is known of the patch."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.token_entropy.expected import likely_tokens
from analysis.units import from_nats
from analysis.visual_tokens.findings import attention_finding, patch_finding
from analysis.visual_tokens.sinks import place_in_words
from app import state
from app.panels.visual_tokens import running
from app.panels.visual_tokens.attention import chosen_parts
from app.widgets.choices_html import choices_html, percent
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

_MOST = 5


def chosen_panel(a: VisualAnswer) -> None:
    """Draw the panel."""
    token, layer, head = chosen_parts(a)
    with st.container(border=True, key="panel_seen"):
        _token(a, token)
        _shares(a)
        _patch(a, token, layer, head)


def _token(a: VisualAnswer, token: int) -> None:
    """The written token, its numbers and what might have come in its place."""
    tokens, unit = a.tokens, state.unit()
    stepper(
        "look_token", f"“{visible(tokens.text[token])}”", "written token", token, len(tokens), running.choose_token
    )  # fmt: skip
    entropy, surprisal = (
        significant(from_nats(float(x[token]), unit)) for x in (tokens.entropy, tokens.surprisal)
    )
    st.caption(
        f"token {count(token)} of {count(len(tokens))} · entropy **{entropy}** · surprisal **{surprisal}** {unit}"
    )
    st.html(f"<div>{''.join(choices_html(likely_tokens(tokens, token, _MOST)))}</div>")


def _shares(a: VisualAnswer) -> None:
    """Where its attention went, as one bar, and the patches that got most."""
    token, layer, head = chosen_parts(a)
    found = attention_finding(a, token, layer, head)
    what = f"{'all layers' if layer is None else f'layer {layer}'}, {'all heads' if head is None else f'head {head}'}"
    parts = tuple(zip(("picture", "text", "first position"), (*found.apart, found.first), strict=True))
    bars = "".join(
        f'<u class="p{k}" style="width:{100 * share:.2f}%" title="{escape(name)}: {percent(share)}"></u>'
        for k, (name, share) in enumerate(parts)
    )
    words = "".join(
        f'<span class="p{k}">{escape(name)} <b>{percent(share)}</b></span>'
        for k, (name, share) in enumerate(parts)
    )
    st.html(
        f'<div class="story-head attention_sinks"><b>Where it looks</b><span>{escape(what)}</span></div>'
        f"<div class=seen-bar>{bars}</div><div class=seen-words>{words}</div>"
    )


def _patch(a: VisualAnswer, token: int, layer: int | None, head: int | None) -> None:
    """The chosen patch: what it gets, where it lies, and what it is."""
    patch = running.chosen_patch(a)
    found = patch_finding(a, patch, token, layer, head)
    with st.container(key="seen_patch", gap="xxsmall"):
        stepper("patch", f"patch {patch}", "patch", patch, len(a.picture), running.choose_patch)
        rows = [
            ("lies at", escape(place_in_words(a.picture, patch))),
            ("gets of its attention", f"{percent(found.weight)} · place {count(found.rank)} of {count(len(a.picture))}"),
            ("most in", f"layer {found.layer}: {percent(found.layer_weight)}"),
            ("sink by attention", _of_layers(found.sink_layers, a.spec.n_layers)),
            ("sink by its state", _of_layers(found.massive_layers, a.spec.n_layers)),
        ]  # fmt: skip
        st.html(
            "<table class=seen-patch>"
            + "".join(f"<tr><th>{escape(name)}</th><td>{said}</td></tr>" for name, said in rows)
            + "</table>"
        )
        strongest = attention_finding(a, token, layer, head).strongest
        with st.container(key="seen_strongest", horizontal=True, vertical_alignment="center", gap="xxsmall"):
            for place, (number, share) in enumerate(strongest):
                st.button(
                    f"Go to {number}: {significant(100 * share)} %",
                    key=f"strongest_{place}",
                    type="tertiary",
                    on_click=running.choose_patch,
                    args=(number,),
                    help=f"Choose patch {number}.",
                )


def _of_layers(n: int, n_layers: int) -> str:
    return "in no layer" if not n else f"in {n} of {n_layers} layers"
