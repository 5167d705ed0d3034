"""The story of the chosen token: expected, attended to, kept and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.story.numbers import attended_by, forgotten, path, repeat_of
from analysis.story.sentence import sentence
from analysis.token_entropy.expected import likely_tokens
from analysis.units import from_nats
from app import one_choice, state
from app.panels.overview import story_html as html
from app.widgets.choices_html import choices_html, word
from app.widgets.stepper import step_button

if TYPE_CHECKING:
    from analysis.attention_sinks.token_attention import TokenAttention
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace
    from app.panels.overview.background import Part

_MOST_CHOICES = 5


def story(trace: Trace, position: int, lens: Part, between: Part, survived: Part) -> None:
    """Draw the panel; what is not there yet keeps its place."""
    with st.container(border=True, key="panel_story"):
        _which(trace, position)
        _place("sentence", html.sentence_html(_said(trace, position, between.value, survived.value)))
        _before(trace, position)
        _path(position, lens)
        _attended(trace, position, between)
        _forgotten(trace, position, between.value, survived)


def _said(
    trace: Trace, position: int, between: TokenAttention | None, survived: Survival | None
) -> tuple[str, ...]:
    return sentence(trace, position, between, survived, unit=state.unit())


def _place(name: str, content: str) -> None:
    """A part of the panel that keeps its height, see ``app/style.css``."""
    with st.container(key=f"story_{name}"):
        st.html(content)


def _which(trace: Trace, position: int) -> None:
    """The token, its neighbours, where it is and where it comes again."""
    n, again = len(trace.tokens), repeat_of(trace.tokens, position)
    with st.container(key="story_token", horizontal=True, vertical_alignment="center", gap="xsmall"):
        step_button("story", "Previous token", "left", position - 1, n, one_choice.choose_token)
        st.html(f"<div class=story-word>{word(trace.tokens.text[position])}</div>", width="content")
        step_button("story", "Next token", "right", position + 1, n, one_choice.choose_token)
        where = f"token {count(position)} of {count(n)}"
        comes = f"comes again as {count(again.position)}" if again else "never comes again"
        st.caption(f"{where}  \n{comes}", width="stretch")


def _before(trace: Trace, position: int) -> None:
    tokens, unit = trace.tokens, state.unit()
    said, content = "", "<p>Nothing came before it: no prediction.</p>"
    if tokens.has_context[position]:
        entropy, surprisal = (
            significant(from_nats(float(x[position]), unit)) for x in (tokens.entropy, tokens.surprisal)
        )
        said, content = (
            f"entropy {entropy} · surprisal {surprisal} {unit}",
            "".join(choices_html(likely_tokens(tokens, position, _MOST_CHOICES))),
        )
    _place("before", html.head("token_entropy", "Before it came", said) + content)


def _path(position: int, lens: Part) -> None:
    with st.container(key="story_path"):
        content = ""
        if lens.value is not None:
            said = path(lens.value, position)
            content = html.path_html(said, state.unit()) if said else "<p>Nothing came before it.</p>"
        st.html(html.head("token_entropy", "Its path, layer by layer", "what each would say") + content)
        lens.in_its_place()


def _attended(trace: Trace, position: int, between: Part) -> None:
    with st.container(key="story_attended"):
        said, content = "mean over heads", ""
        if between.value is not None:
            found = attended_by(trace, between.value, position)
            if found.peak >= 0:
                said = html.most_html(found, trace.tokens.text[found.peak])
            content = html.attended_html(found, position, len(trace.tokens))
        st.html(html.head("attention_sinks", "Who attends to it", said) + content)
        between.in_its_place()


def _forgotten(trace: Trace, position: int, between: TokenAttention | None, survived: Part) -> None:
    with st.container(key="story_forgotten"):
        said, content = "being computed" * (survived.job is not None), ""
        if survived.value is not None:
            kept: Survival = survived.value
            found = forgotten(trace.tokens, kept, position, between)
            if found is None:
                content = f"<p>{after_the_cut(kept.n_context)}</p>"
            else:
                needed = trace.tokens.text[found.needed] if found.needed >= 0 else None
                said = f"its loss at token {count(found.needed)}" if needed is not None else ""
                content = html.forgotten_html(found, kept.highest, state.unit(), needed)
        st.html(html.head("pruning_effects", "When it is forgotten", said) + content)
        if survived.job is None:  # how far it is stands where the methods are drawn
            survived.in_its_place()


def after_the_cut(n_context: int) -> str:
    """Why nothing evicts a token behind the context."""
    return (
        f"The cache of tokens 0 to {count(n_context - 1)} is pruned once, before this one is read: nothing evicts it. "
        "Choose an earlier token."
    )
