"""KV-cache eviction: the chosen method and share, and what they did to the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.pruning_effects.eviction.overlap import labels, settings_at
from analysis.pruning_effects.eviction.summary import best_at, middle_share
from analysis.units import from_nats
from app import state
from app.choice import choose
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep


def choose_setting(sweep: Sweep) -> tuple[float, int | None]:
    """Draw the choice of a method and a share with its numbers; gives the share and the setting's number.

    The first seed of a random method is taken; None for a setting that was not run, which is said.
    """
    share = _share(sweep)
    setting = _setting(sweep, share)
    if setting is not None:
        _say(sweep, setting)
    return share, setting


def _share(sweep: Sweep) -> float:
    shares = sorted({s.kept for s in sweep.settings[1:]}, reverse=True)
    words = {f"{100 * share:g}": share for share in shares}
    usual = f"{100 * middle_share(sweep):g}"
    names = labels(sweep)
    best = names[best_at(sweep, words[usual])]
    if st.session_state.get(state.METHOD) not in (None, *names.values()):
        del st.session_state[state.METHOD]
    if st.session_state.get(state.METHOD_KEPT) not in (None, *words):
        del st.session_state[state.METHOD_KEPT]
    st.selectbox(
        "Method",
        list(names.values()),
        list(names.values()).index(best),
        key=state.METHOD,
        bind="query-params",
        label_visibility="collapsed",
    )
    return words[choose("Share kept, %", list(words), key=state.METHOD_KEPT, default=usual, wrap=True)]


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


def _say(sweep: Sweep, setting: int) -> None:
    """What the setting kept and did, in words."""
    chosen, unit, row = sweep.settings[setting], state.unit(), sweep.to_frame().iloc[setting]
    kl, change = (from_nats(float(row[name]), unit) for name in ("kl", "delta_nll"))
    pairs = sweep.spec.n_layers * sweep.spec.n_kv_heads
    st.markdown(
        f"With **{plain(chosen.label)}** and {chosen.kept:.0%} of the context kept, the predictions move by "
        f"**{significant(kl)} {unit}** (KL), what follows becomes **{significant(change, signed=True)} {unit}** a token "
        f"more surprising, and **{float(row['top1_agreement']):.0%}** of the first choices stay the same. A layer and KV "
        f"head keeps **{significant(chosen.budget / pairs)}** of {count(sweep.spec.n_context)} tokens."
    )
    if chosen.remark:
        st.caption(plain(chosen.remark))
