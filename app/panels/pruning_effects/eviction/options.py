"""KV-cache eviction: constants of the methods that a person can set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.panels.pruning_effects.eviction.asked import ONCE, STEPWISE

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.policies import Policy
    from analysis.pruning_effects.eviction.policies.controls import TextChoice

_MOST_SEEDS = 50.0


def common(n_context: int) -> tuple[int, int, str]:
    """Seeds, observation window in tokens, and when is evicted."""
    from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

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
        OBSERVATION.label,
        ("auto", *map(str, OBSERVATION.options)),
        key=OBSERVATION.key,
        bind="query-params",
        help=OBSERVATION.help,
    )
    window = OBSERVATION.automatic(n_context) if voters == "auto" else int(voters)
    return int(seeds) if math.isfinite(seeds) else 5, window, evicted


def constants(methods: list[Policy]) -> dict[str, float | str]:
    """What a person has chosen for the constants of some methods, by the keys of their controls."""
    from analysis.pruning_effects.eviction.policies import controls_of
    from analysis.pruning_effects.eviction.policies.controls import Slider, TextChoice

    chosen: dict[str, float | str] = {}
    for control in controls_of(methods):
        if isinstance(control, Slider) and (not control.needs or control.needs in chosen):
            chosen[control.key] = st.slider(
                control.label,
                control.low,
                control.high,
                control.start,
                control.step,
                key=control.key,
                bind="query-params",
                help=control.help,
            )
        elif isinstance(control, TextChoice) and (text := _text(control)):
            chosen[control.key] = text
    return chosen


def _text(control: TextChoice) -> str:
    """One of the texts of a control, or a person's own words; "" for none."""
    options = dict(control.options)
    name = st.selectbox(control.label, list(options), key=control.key, bind="query-params", help=control.help)
    text = options[name]
    if text is not None:
        return text
    return st.text_input(
        control.words_label, key=control.words_key, bind="query-params", placeholder=control.placeholder
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
