"""KV-cache eviction: what follows the context, which methods, which shares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, estimate
from analysis.pruning_effects.eviction.estimate import context_tokens
from analysis.ties import RULE
from app import state
from app.choice import choose
from app.panels.pruning_effects.eviction.options import common, constants, said
from app.panels.pruning_effects.eviction.sweep_request import AFTER, SweepRequest, after_context
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.results.trace import Trace

CONTINUE, ASK = "the text goes on", "question and answer"
_SHARES = ("95", "90", "80", "70", "60", "50", "40", "30", "20", "10", "5", "2")
_USUAL_SHARES = ("90", "70", "50", "30", "10")
_MOST_METHODS = 24


def form(trace: Trace) -> SweepRequest | None:
    """Draw the form, and give what is asked for; None while a method or a share is missing."""
    from analysis.pruning_effects.eviction.policies import POLICIES, policy
    from analysis.pruning_effects.eviction.policies.observation import OBSERVATION
    from analysis.pruning_effects.eviction.sweep import DEFAULT_POLICIES

    names = {kind.label: name for name, kind in POLICIES.items() if name != "full"}
    with st.container(key="eviction_form"):
        context, continuation, answer = _texts(trace)
        left, right = side_by_side("controls_methods", [2.2, 1.5], "top")
        chosen = left.multiselect(
            "Methods",
            list(names),
            [POLICIES[name].label for name in DEFAULT_POLICIES],
            key=state.METHODS,
            bind="query-params",
            max_selections=_MOST_METHODS,
            wrap=True,
        )
        shares = right.multiselect(
            "Shares of the context kept, %",
            _SHARES,
            _USUAL_SHARES,
            key=state.KEPT,
            bind="query-params",
            wrap=True,
            help=f"Tokens of the context that stay in the cache, those with the highest scores. {RULE}",
        )
        with st.expander("Options"):
            n_context = context_tokens(trace, context)
            seeds, window, evicted = common(n_context)
            methods = [policy(names[label]) for label in chosen]
            set_to = constants(methods, n_context, {OBSERVATION.key: window})
        sweep_request = SweepRequest(
            context,
            continuation,
            answer,
            tuple(names[label] for label in chosen),
            tuple(sorted((int(share) / 100 for share in shares), reverse=True)),
            seeds,
            tuple(set_to.items()),
            evicted,
        )
        st.caption(_estimate(trace, sweep_request))
        with st.expander("Where the methods come from"):
            for label in chosen:
                st.caption(f"**{plain(label)}**: {plain(POLICIES[names[label]].source)}")
    return sweep_request if chosen and shares else None


def _texts(trace: Trace) -> tuple[str, str, str]:
    """Context, continuation and answer, as typed."""
    follows = choose("What follows", (CONTINUE, ASK), key=state.FOLLOWS, titled=False)
    n = len(trace.tokens)
    if follows == ASK:
        left, right = side_by_side("question", [2, 1])
        question = left.text_area(
            "Question, read after the whole text",
            key=state.QUESTION,
            height=100,
            persist_state="session",
            placeholder="Question: who was asleep on the atlas?\nAnswer:",
        )
        answer = right.text_area(
            "Answer, whose log p is measured",
            key=state.ANSWER,
            height=100,
            persist_state="session",
            placeholder=" the cat",
            help="As the text would go on, a leading space included.",
        )
        st.caption(
            f"Context: all {count(n)} tokens of the text. Questions and answers are read as they stand."
        )
        return trace.text, question or "", answer or ""
    wanted = st.session_state.get(state.CONTINUATION_TOKENS, float(AFTER))
    after = after_context(trace, int(wanted) if math.isfinite(wanted) else n)
    cut = int(trace.tokens.start[n - after])
    _fill_in(trace.text[cut:])
    left, right = side_by_side("continuation", [4, 1])
    continuation = left.text_area(
        "Continuation, read with what is left of the cache",
        key=state.CONTINUATION,
        height=100,
        persist_state="session",
    )
    right.number_input(
        "Its tokens",
        2.0,
        1e5,
        float(AFTER),
        8.0,
        "%.0f",
        key=state.CONTINUATION_TOKENS,
        bind="query-params",
        help="How much of the end of the text is the continuation, at most half. The rest is the context.",
    )
    own = continuation != trace.text[cut:]
    right.button(
        "Reset",
        key="continuation_reset",
        on_click=lambda: st.session_state.pop(state.CONTINUATION, None),
        disabled=not own,
        help="Use the end of the text again.",
        width="stretch",
    )
    which = "your own words" if own else f"its last {count(after)}"
    st.caption(f"Context: the first {count(n - after)} tokens of the text. Continuation: {which}.")
    return trace.text[:cut], continuation or "", ""


def _fill_in(end: str) -> None:
    """Put the text's end into the field, unless a person has written there."""
    current = st.session_state.get(state.CONTINUATION)
    if current is None or current == st.session_state.get(state.CONTINUATION_FILLED):
        st.session_state[state.CONTINUATION] = end
    st.session_state[state.CONTINUATION_FILLED] = end


def _estimate(trace: Trace, sweep_request: SweepRequest) -> str:
    """What the comparison will cost, from the speed of the run on screen."""
    from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

    set_to = dict(sweep_request.constants)
    window = f"the observation window is {set_to[OBSERVATION.key]} tokens"
    words = ", ".join([window, *said(sweep_request.methods(), set_to)])
    return (
        f"{count(sweep_request.n_settings())} settings, one prefill · "
        f"{estimate(sweep_request.seconds(trace))} · {words}"
    )
