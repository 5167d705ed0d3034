"""KV-cache eviction: one method and share in detail, and what methods have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.pruning_effects.eviction.overlap import labels, settings_at
from analysis.pruning_effects.eviction.summary import best_at, middle_share
from app import state
from app.choice import choose
from app.panels.pruning_effects.eviction.damage import damage
from app.panels.pruning_effects.eviction.kept import kept_map
from app.panels.pruning_effects.eviction.overlap import agreement, phrase_survival
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace


@st.fragment
def details(trace: Trace, sweep: Sweep, code: str) -> None:
    """Choose a method and a share; everything below is about them."""
    st.subheader("One method, one share")
    share = _share(sweep)
    setting = _setting(sweep, share)
    if setting is not None:
        if sweep.settings[setting].remark:
            st.caption(plain(sweep.settings[setting].remark))
        if sweep.settings[setting].deletes:
            kept_map(trace, sweep, setting, code)
        else:
            st.info("This method deletes nothing: every token stays in the cache, and only work is saved.")
        damage(trace, sweep, setting, code)
    st.subheader(f"All methods with {share:.0%} kept")
    agreement(trace, sweep, share, code)
    phrase_survival(trace, sweep, share, code)


def _share(sweep: Sweep) -> float:
    shares = sorted({s.kept for s in sweep.settings[1:]}, reverse=True)
    words = {f"{100 * share:g}": share for share in shares}
    usual = f"{100 * middle_share(sweep):g}"
    left, right = side_by_side("controls_setting", [1.5, 1], "bottom")
    names = labels(sweep)
    best = names[best_at(sweep, words[usual])]
    if st.session_state.get(state.METHOD) not in (None, *names.values()):
        del st.session_state[state.METHOD]
    if st.session_state.get(state.METHOD_KEPT) not in (None, *words):
        del st.session_state[state.METHOD_KEPT]
    left.selectbox(
        "Method",
        list(names.values()),
        list(names.values()).index(best),
        key=state.METHOD,
        bind="query-params",
    )
    chosen = choose(
        "Share kept, %", list(words), key=state.METHOD_KEPT, place=right, default=usual, wrap=True
    )
    return words[chosen]


def _setting(sweep: Sweep, share: float) -> int | None:
    """Number of the chosen setting; the first seed of a random method."""
    label = st.session_state[state.METHOD]
    name = next(name for name, said in labels(sweep).items() if said == label)
    found = settings_at(sweep, share).get(name)
    if found:
        if len(found) > 1:
            st.caption(f"The first of {len(found)} seeds is drawn.")
        return found[0]
    reason = sweep.skipped.get(f"{label} at {share:g}", "It was not run.")
    st.info(f"{plain(label)} at {share:.0%}: not available. {plain(reason)}")
    return None
