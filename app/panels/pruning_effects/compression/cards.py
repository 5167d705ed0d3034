"""Prompt compression: the pictures of a sweep, the kept words in their place, the text to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from analysis.pruning_effects.compression.results import BOTTOM, DRAWN_BY_SEED, METHODS, NEEDS_ANSWER
from analysis.units import from_nats
from app import state
from app.panels.pruning_effects.compression import help as explained
from app.widgets.figure_card import altair_card, html_card, show_chart
from app.widgets.layout import number_line
from app.widgets.plain import plain
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.pruning_effects.compression.results import Compressed, CompressionSweep


def _curves(sweep: CompressionSweep) -> Any:
    from analysis.pruning_effects.compression.figures import compression_curves

    return compression_curves(sweep, unit=state.unit(), theme_name=state.theme_name())


def live_curves(sweep: CompressionSweep) -> None:
    """Draw the curves so far, where their card will be."""
    with st.container(border=True, key="card_compression_live"):
        with st.container(key="titleline_compression_live", horizontal=True, vertical_alignment="center"):
            st.markdown("**Damage of a shorter context to the answer**", width="content")
        show_chart(_curves(sweep), alt="Change of NLL so far", key="compression_live")


def numbers(sweep: CompressionSweep) -> None:
    """What the context is worth, in one line."""
    unit = state.unit()
    full, without = (from_nats(value, unit) for value in (sweep.nll_full, sweep.nll_without))
    cells = [
        ("context", f"{sweep.n_original} tokens", "Counted by the model's tokenizer, nothing added."),
        ("answer", f"{sweep.n_answer} tokens", "The same tokens after every context."),
        ("with context", f"{significant(full)} {unit}", "Mean of -ln p over the answer's tokens."),
        ("without", f"{significant(without)} {unit}", "The same after the question alone."),
        (
            "difference",
            f"{significant(without - full, signed=True)} {unit}",
            "What the context is worth per answer token: the most that a shorter context can lose.",
        ),
    ]
    number_line("compression", cells)
    if without <= full:
        st.caption(
            "This context does not make the answer likelier: there is nothing to lose by shortening it."
        )


def curves_card(sweep: CompressionSweep) -> None:
    """Damage to the answer against the share kept."""
    told = [name for name in NEEDS_ANSWER if name in set(sweep.to_frame()["method"])]
    with altair_card(
        "Damage of a shorter context to the answer",
        "Lower is better. Compare with the grey band, words left out at random, at the same number of tokens.",
        lambda: _curves(sweep),
        alt="Change of the answer's NLL against the share kept",
        name="compression",
        table=sweep.to_frame,
        code=_code(sweep, f"compression_curves(sweep, unit={state.unit()!r})"),
        spec=sweep.subtitle,
        more=explained.CURVES,
    ) as draw:
        draw()
        if told:
            st.caption(
                f"{' and '.join(told)} know the answer: a limit to compare with, not a method to use."
                if len(told) > 1
                else f"{told[0]} knows the answer: a limit to compare with, not a method to use."
            )


def choose_one(sweep: CompressionSweep) -> Compressed | None:
    """Draw the choice of one shorter text, what it cost, and the text to copy."""
    done = sweep.to_frame()
    names = [name for name in METHODS if name in set(done["method"])]
    method = st.selectbox(
        "Method", names, key=f"compression_method_{'_'.join(names)}", label_visibility="collapsed"
    )
    rows = done[done["method"] == method]
    shares = sorted(set(rows["kept"]), reverse=True)
    share = (
        st.select_slider(
            "Share kept",
            shares,
            shares[len(shares) // 2],
            key=f"share_{method}_{shares}",
            format_func=lambda s: f"{s:.0%}",
        )
        if len(shares) > 1
        else shares[0]
    )
    seed = 0
    if method.removeprefix(BOTTOM) in DRAWN_BY_SEED:
        seeds = sorted(set(rows[rows["kept"] == share]["seed"]))
        seed = st.selectbox("Seed", seeds, key=f"seed_{method}_{seeds}")
    one = sweep.find(method, share, seed)
    if one is not None:
        row = rows[(rows["kept"] == share) & (rows["seed"] == seed)].iloc[0]
        st.caption(_counts(one, float(row["delta_nll"])))
        st.code(one.text, language=None, wrap_lines=True, height=220)
    return one


def kept_words(sweep: CompressionSweep, one: Compressed) -> None:
    """The kept words in their place."""
    from analysis.pruning_effects.compression import figures

    with html_card(
        "The kept words",
        "The original text; coloured words were kept.",
        lambda: figures.compression_strip(one, theme_name=state.theme_name()),
        phrase=f"{one.method}, {one.kept:.0%}",
        name="compressed",
        table=one.to_frame,
        code=_code(sweep, f"compression_strip(sweep.find({one.method!r}, {one.kept}, {one.seed}))"),
        spec=sweep.subtitle,
        more=explained.STRIP,
    ):
        token_strip(figures.kept_strip(one), key="compression_strip", height=460)


def _counts(one: Compressed, delta: float) -> str:
    unit = state.unit()
    change = significant(from_nats(delta, unit), signed=True)
    note = f" · {plain(one.note)}" if one.note else ""
    return (
        f"**{one.n_tokens}** of {one.n_original} tokens, budget {one.budget}; {one.n_kept} of the original's tokens "
        f"are marked · change of the answer's NLL **{change} {unit}** per token{note}"
    )


def _code(sweep: CompressionSweep, call: str) -> str:
    """Lines that make the sweep again and draw one picture of it."""
    frame = sweep.to_frame()
    methods = [name for name in METHODS if name in set(frame["method"])]
    kept = sorted(set(frame[frame["method"].isin(METHODS)]["kept"]), reverse=True)
    context = repr(sweep.text) if len(sweep.text) <= 400 else 'open("context.txt", encoding="utf-8").read()'
    function = call.partition("(")[0]
    return (
        "import analysis as an\n"
        f"from analysis.pruning_effects.compression.figures import {function}\n"
        "from analysis.pruning_effects.compression.sweep import sweep_compression\n\n"
        "model = an.load_model()\n"
        f"context = {context}\n"
        f"sweep = sweep_compression(model, context, {sweep.question!r}, {sweep.answer!r},\n"
        f"                          {methods}, {kept}, unit={sweep.unit!r})\n"
        f"{call}\n"
    )
