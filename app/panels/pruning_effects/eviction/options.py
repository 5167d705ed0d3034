"""KV-cache eviction: constants of the methods that a person can set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.choice import choose
from app.panels.pruning_effects.eviction.sweep_request import ONCE, STEPWISE

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.policies import Policy
    from analysis.pruning_effects.eviction.policies.controls import Limit, TextChoice

_SHARES = (0.1, 0.25, 0.5, 0.75)
_MOST_SEEDS = 50.0


def share_kept(place: Any, name: str, usual: int = 1) -> float:
    """Share of the context kept, for a panel that takes one; ``usual`` is the place of its default."""
    share: float = place.selectbox(
        "Share kept", _SHARES, usual, key=f"{name}_share", format_func=lambda s: f"{s:.0%}"
    )
    return share


def common(n_context: int) -> tuple[int, int, str]:
    """Seeds, observation window in tokens, and when is evicted."""
    from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

    evicted = choose(
        "Evicted",
        (ONCE, STEPWISE),
        key=state.EVICTED,
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
    return int(seeds) if math.isfinite(seeds) else 5, _limit(OBSERVATION, n_context), evicted


def constants(methods: list[Policy], n_context: int, known: dict[str, float | str]) -> dict[str, float | str]:
    """What a person has chosen for the constants of some methods, by the keys of their controls, with what is known."""
    from analysis.pruning_effects.eviction.policies import controls_of
    from analysis.pruning_effects.eviction.policies.controls import Limit, Slider, TextChoice

    chosen = dict(known)
    for control in controls_of(methods):
        if control.key in chosen:
            continue
        if isinstance(control, Slider) and (not control.needs or control.needs in chosen):
            chosen[control.key] = st.slider(
                control.label,
                control.low,
                control.high,
                control.start,
                control.step,
                key=state.of_method(control.key),
                bind="query-params",
                help=control.help,
            )
        elif isinstance(control, Limit):
            chosen[control.key] = _limit(control, n_context)
        elif isinstance(control, TextChoice) and (text := _text(control)):
            chosen[control.key] = text
    return chosen


def _limit(control: Limit, n_context: int) -> int:
    """One of the numbers of a control, or the one that fits the context."""
    chosen = st.selectbox(
        control.label,
        ("auto", *map(str, control.options)),
        key=state.of_method(control.key),
        bind="query-params",
        help=control.help,
    )
    return control.automatic(n_context) if chosen == "auto" else int(chosen)


def _text(control: TextChoice) -> str:
    """One of the texts of a control, or a person's own words; "" for none."""
    options = dict(control.options)
    name = st.selectbox(
        control.label, list(options), key=state.of_method(control.key), bind="query-params", help=control.help
    )
    text = options[name]
    if text is not None:
        return text
    return st.text_input(
        control.words_label,
        key=state.of_method(control.words_key),
        bind="query-params",
        placeholder=control.placeholder,
    )


def said(methods: list[Policy], chosen: dict[str, float | str]) -> list[str]:
    """What was chosen, in words."""
    from analysis.pruning_effects.eviction.policies import controls_of
    from analysis.pruning_effects.eviction.policies.controls import Slider

    return [
        control.said.format(chosen[control.key])
        for control in controls_of(methods)
        if isinstance(control, Slider) and control.key in chosen and control.said
    ]
