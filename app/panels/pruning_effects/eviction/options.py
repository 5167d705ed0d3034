"""KV-cache eviction: constants of the methods that a person can set."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from app import state
from app.panels.pruning_effects.eviction.asked import ONCE, STEPWISE

_SHARES = (0.1, 0.25, 0.5, 0.75)
_VOTERS = ("auto", "8", "16", "32", "64")
_MOST_SEEDS = 50.0
_FACTOR = 0.95
_DECAY = 0.9
_ROUNDS: dict[str, str | None] = {
    "the whole context is one": "",
    "after a blank line": "\n\n",
    "at USER:": "USER:",
    "at <|im_start|>user": "<|im_start|>user",
    "at other words": None,
}
"""What begins a round, as a person reads it; None asks for the words."""


def share_kept(place: Any, name: str, usual: int = 1) -> float:
    """Share of the context kept, for a panel that takes one; ``usual`` is the place of its default."""
    share: float = place.selectbox(
        "Share kept", _SHARES, usual, key=f"{name}_share", format_func=lambda s: f"{s:.0%}"
    )
    return share


def common() -> tuple[int, str, str]:
    """Seeds, observation window, and when is evicted."""
    evicted = st.segmented_control(
        "Evicted",
        (ONCE, STEPWISE),
        default=ONCE,
        required=True,
        key=state.EVICTED,
        bind="query-params",
        help="Once, after the context. Or step by step: the cache never grows, and every new token competes; only some "
        "methods can do that.",
    )
    seeds = st.number_input(
        "Seeds of random methods",
        1.0,
        _MOST_SEEDS,
        5.0,
        1.0,
        "%.0f",
        key=state.SEEDS,
        bind="query-params",
        help="The band shows the lowest and highest of them.",
    )
    voters = st.selectbox(
        "Observation window, tokens",
        _VOTERS,
        key=state.VOTERS,
        bind="query-params",
        help="How many last tokens vote in SnapKV and its kin; they are always kept. Published: 64. "
        "auto: at most a tenth of the context, so that short texts can be pruned too.",
    )
    return int(seeds) if math.isfinite(seeds) else 5, voters, evicted


def forgetting(shown: bool) -> float:
    """Forgetting factor, where a method forgets."""
    if not shown:
        return _FACTOR
    return st.slider(
        "Forgetting factor of A2SF",
        0.0,
        1.0,
        _FACTOR,
        0.01,
        key=state.FORGETTING,
        bind="query-params",
        help="A query i tokens before the last counts this to the power of i. 1: all count alike, as in H2O; "
        "0: only the last one. Published: 0.95.",
    )


def rounds(shown: bool) -> tuple[str, float]:
    """What begins a round, where a method fades, and its decay between rounds; "" and 1 for one round."""
    if not shown:
        return "", 1.0
    chosen = st.selectbox(
        "SirLLM: a round begins",
        list(_ROUNDS),
        key=state.ROUNDS,
        bind="query-params",
        help="SirLLM lets what was said in earlier rounds of a conversation fade.",
    )
    mark = _ROUNDS[chosen]
    if mark is None:
        mark = st.text_input(
            "Words at which a round begins, as they stand in the context",
            key=state.ROUND_MARK,
            bind="query-params",
            placeholder="Human:",
        )
    if not mark:
        return "", 1.0
    decay = st.slider(
        "Decay of SirLLM between rounds",
        0.0,
        1.0,
        _DECAY,
        0.05,
        key=state.DECAY,
        bind="query-params",
        help="Every new round multiplies the scores of those before by this. Published: 1, 0.9 and 0.7 by task. "
        "1: nothing fades.",
    )
    return mark, decay
