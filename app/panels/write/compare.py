"""Two branches side by side: where they part, how unsure each is from there, and what the other way cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.units import from_nats
from analysis.writing.compare import compare, label_of, written_text
from app import state
from app.panels.write import help as explained
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.writing.compare import Side
    from analysis.writing.results import Writing


def compare_card(writing: Writing, branch: int) -> None:
    """Draw the chosen branch beside another one; nothing where there is no other."""
    others = [b.id for b in writing.branches if b.id != branch]
    if not others:
        return
    unit = state.unit()
    with st.container(border=True, key="panel_branches"):
        with st.container(horizontal=True, vertical_alignment="center", key="compare_line", gap="small"):
            st.markdown("**Two branches side by side**", width="content", help=explained.COMPARE)
            other = st.selectbox(
                "Compare with",
                others,
                key=state.COMPARED_BRANCH,
                format_func=lambda b: label_of(writing.branches[b]),
                label_visibility="collapsed",
                width=200,
            )
        found = compare(writing, branch, other)
        cost = from_nats(found.cost, unit)
        n = min(found.one.n_tokens, found.other.n_tokens)
        st.caption(
            f"The same for {count(found.n_shared)} token{'s' * (found.n_shared != 1)}, then they part. "
            + (
                f"Over the next {count(n)} the second way is {significant(abs(cost))} {unit} "
                f"{'less' if cost > 0 else 'more'} likely than the first."
                if n
                else "One of them ends there."
            )
        )
        for place, side in zip(side_by_side("branches", 2), (found.one, found.other), strict=True):
            with place:
                _side(writing, side, found.n_shared)


def _side(writing: Writing, side: Side, n_shared: int) -> None:
    unit = state.unit()
    tokens = writing.tokens(side.branch)
    start = len(writing.prompt.ids) + n_shared
    shared, own = (
        written_text(writing, side.branch, end=start),
        written_text(writing, side.branch, start=start),
    )
    st.markdown(f"**{plain(label_of(writing.branches[side.branch]))}**")
    st.markdown(f":gray[{plain(shared)}] {plain(own) or '∎'}" if shared.strip() else plain(own) or "∎")
    said = [f"{count(side.n_tokens)} tokens from there"]
    if side.n_tokens:
        entropy, log_prob = (significant(from_nats(x, unit)) for x in (side.mean_entropy, side.log_prob))
        said += [f"mean entropy {entropy} {unit}", f"log-probability {log_prob} {unit}"]
        said.insert(1, f"first “{plain(tokens.text[start])}”")
    st.caption(" · ".join(said))
