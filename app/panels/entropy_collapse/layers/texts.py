"""Entropy collapse over layers: many texts, and whether they collapse at the same layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.progress import part
from app import state
from app.examples import EXAMPLES
from app.panels.entropy_collapse.layers import help as explained
from app.widgets.layout import picture_and_choice
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest

_THIS = "this text"
_DEFAULT = ("prose", "dialogue", "code", "german", "reasoning")
_MOST_DRAWN = 8


@st.fragment
def texts(trace: Trace) -> None:
    """Read other examples with the same model and compare their curves."""
    others = [slug for slug, example in EXAMPLES.items() if example.text != trace.text]

    left, right = picture_and_choice("texts", follows=False)
    read: list[dict[str, Trace]] = []

    def draw(done: dict[str, Trace]) -> None:
        read.append(done)

    def controls(request: RunRequest, left: Any) -> Wanted:
        chosen = sorted(
            left.multiselect(
                "Compare with",
                others,
                [slug for slug in _DEFAULT if slug in others],
                key=state.COMPARE_TEXTS,
            )
        )
        return Wanted(_read(request, chosen) if chosen else None, draw, (("texts", chosen),))

    with right:
        on_demand(
            "texts",
            "Many texts",
            "A collapse layer is one at which the matrix entropy of every text falls, not only of this one.",
            "Compare",
            controls,
            why="An opened file has no model to read other texts with.",
            widths=2,
            height=120,
        )
    with left:
        _draw(trace, read[0] if read else {})


def _read(request: RunRequest, slugs: list[str]) -> Any:
    def compute(model: LanguageModel, job: Job) -> dict[str, Trace]:
        from analysis.forward.trace import trace

        done: dict[str, Trace] = {}
        for number, slug in enumerate(slugs):
            run = trace(
                model,
                EXAMPLES[slug].text,
                bos=request.bos,
                parse_special=request.parse_special,
                attention=False,
                spectra=["states"],
                on_progress=part(job.report, number, len(slugs), name=slug),
            )
            done = done | {slug: replace(run, final_states=None)}
            job.show(done)
        return done

    return compute


def _draw(trace: Trace, others: dict[str, Trace]) -> None:
    from analysis.entropy_collapse.layers import figures
    from analysis.entropy_collapse.layers.curves import collapse_layer
    from app.widgets.figure_card import altair_card, notebook_code

    everything = {_THIS: trace, **others}
    drawn = dict(list(everything.items())[:_MOST_DRAWN])
    found = collapse_layer(everything)
    without = collapse_layer(everything, first_token=False)
    unit, name = state.unit(), state.theme_name()

    spec = (
        f"{trace.spec.model} · {trace.spec.dtype} · {len(everything)} texts of {_lengths(everything)} tokens"
    )
    call = 'texts = {"one": trace, "other": an.trace(model, "…")}\n'
    with (
        altair_card(
            "Matrix entropy of several texts over layers",
            "Dashed: token 0 left out."
            + (
                f" The first {_MOST_DRAWN} are drawn, all are counted."
                if len(drawn) < len(everything)
                else ""
            ),
            lambda: figures.matrix_entropy(
                drawn, unit=unit, theme_name=name, collapse=found.layer if others else None
            ),
            alt="Matrix entropy over layers, one line per text",
            name="texts",
            table=lambda: figures.curves_frame(everything, unit=unit),
            code=notebook_code(trace, f"{call}an.figures.matrix_entropy(texts, unit={unit!r})"),
            spec=spec,
            more=explained.CURVES,
        ) as draw,
    ):
        draw()
    with (
        altair_card(
            _title(found) if others else "Drop into every layer, this text alone",
            "Bars: median over texts. Dots: each text. Above the dashed line counts.",
            lambda: figures.layer_drops(found, theme_name=name),
            alt="Share of matrix entropy lost into each layer",
            name="drops",
            table=found.to_frame,
            code=notebook_code(trace, f"{call}an.figures.layer_drops(an.collapse_layer(texts))"),
            spec=spec,
            more=explained.COLLAPSE,
        ) as draw,
    ):
        draw()
        if others:
            st.caption(_evidence(found, without))


def _title(found: Any) -> str:
    return f"Collapse layer: {found.layer}" if found.layer is not None else "No collapse layer"


def _lengths(traces: dict[str, Trace]) -> str:
    lengths = [trace.spec.n_tokens for trace in traces.values()]
    return f"{min(lengths)} to {max(lengths)}" if len(lengths) > 1 else str(lengths[0])


def _evidence(found: Any, without: Any) -> str:
    if found.layer is None:
        line = f"No collapse layer: {found.reason}.{found.left_out}"
    else:
        line = (
            f"Median drop **{100 * float(found.median_drop[found.layer - 1]):.1f} %** into layer {found.layer}; "
            f"**{100 * found.agreeing:.0f} %** of {found.n_measured} texts lose most within one layer of it.{found.left_out}"
        )
    if without.layer is None:
        return f"{line} Without token 0 there is none: {without.reason}."
    return (
        f"{line} Without token 0 it is layer {without.layer}, with "
        f"**{100 * float(without.median_drop[without.layer - 1]):.1f} %**."
    )
