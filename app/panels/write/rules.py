"""What rules from papers would do along the branch on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from analysis.writing.prompt_shown import thinking_end
from analysis.writing.rules.figures import rule_chart
from analysis.writing.rules.overlays import RULES, overlay, segments_overlay
from app import state
from app.panels.write.answer import chosen_written
from app.widgets.figure_card import altair_card
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.writing.results import Writing
    from analysis.writing.rules.overlays import Overlay

SEGMENTS = "segments"


def rules_card(writing: Writing, branch: int) -> None:
    """Draw the card: one rule at a time, laid over the written tokens."""
    tokens, first = writing.tokens(branch), len(writing.prompt.ids)
    if len(tokens) <= first:
        return
    names = [*RULES, SEGMENTS]
    held = st.session_state.get(state.RULE)
    rule = held if held in names else names[0]
    try:
        found = _overlay(writing, branch, rule)
    except AnalysisError as problem:
        show_unavailable(problem)
        return
    constants = ", ".join(f"{name} {value:g}" for name, value in found.constants)
    with altair_card(
        "What a rule from a paper would do here",
        f"{plain(found.says)} Triangles mark the tokens; the dashed line is what the rule compares with.",
        lambda: rule_chart(
            tokens,
            found,
            first=first,
            unit=state.unit(),
            theme_name=state.theme_name(),
            token=first + chosen_written(len(tokens) - first),
        ),
        alt=f"Entropy along the written tokens, those marked at which the rule {rule} would act",
        name="rules",
        table=lambda: found.to_frame(tokens).iloc[first:],
        code="import analysis as an\n\n"
        'w = an.load_writing("run.writing")\n'
        "from analysis.writing.rules.figures import rule_chart\n"
        "from analysis.writing.rules.overlays import overlay\n"
        f"found = overlay({rule!r}, w.tokens({branch}), len(w.prompt.ids))\n"
        f"rule_chart(w.tokens({branch}), found, first=len(w.prompt.ids))\n",
        more=f"{plain(found.source)}\n\n{plain(found.known)}\n\n{plain(constants)}",
    ) as draw:
        st.selectbox(
            "Rule", names, key=state.RULE, persist_state="session", width=240, label_visibility="collapsed"
        )
        draw()
        st.caption(plain(found.known))


def _overlay(writing: Writing, branch: int, rule: str) -> Overlay:
    tokens, first = writing.tokens(branch), len(writing.prompt.ids)
    if rule == SEGMENTS:
        return segments_overlay(writing.text(branch), tokens, first)
    return overlay(rule, tokens, first, thinking_end(writing, branch))
