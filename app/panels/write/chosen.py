"""The chosen token: what might have come in its place, and going on from there with any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.token_entropy.expected import likely_tokens
from analysis.units import from_nats
from analysis.writing.paths import owner_of
from analysis.writing.sampler_chain import SAMPLERS
from app import state
from app.compute import writing as jobs
from app.panels.write import running
from app.panels.write.answer import choose_written, chosen_written
from app.panels.write.request import WriteRequest, write_request
from app.widgets.choices_html import choices_html
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace
    from analysis.writing.results import Samplers, Writing

_MOST = 8
_LONGEST_WORD = 500


def chosen_panel(
    writing: Writing, branch: int, tokens: TokenTrace, *, grows: bool = False, newest: bool = False
) -> None:
    """Draw the panel of the chosen written token.

    Parameters
    ----------
    writing, branch, tokens
        As for :func:`app.panels.write.answer.answer_card`.
    grows : bool
        Whether something is being written: then nothing can be gone on with.
    newest : bool
        Whether the last token stands for the chosen one.
    """
    with st.container(border=True, key="panel_written"):
        n = len(tokens)
        if not n:
            st.caption("Nothing was written yet: no token to choose.")
            return
        at = n - 1 if newest else chosen_written(tokens)
        title = f"“{visible(tokens.text[at])}”"
        stepper("written", title, "token", at, n, choose_written)
        unit = state.unit()
        entropy, surprisal = (
            significant(from_nats(float(x[at]), unit)) for x in (tokens.entropy, tokens.surprisal)
        )
        st.caption(
            f"token {count(at)} of {count(n)} · entropy **{entropy}** {unit} · surprisal **{surprisal}** {unit} · "
            f"choice {count(int(tokens.rank[at]))}"
        )
        _alternatives(writing, tokens, at, grows)
        if not grows:
            _other_ways(writing, at)
        _kept(writing, branch, at)
        if not grows:
            with st.expander("Each sampler alone", key=state.KEPT_ALONE, on_change="rerun") as folded:
                if folded.open:
                    _each_alone(writing, branch, at)


def _alternatives(writing: Writing, tokens: TokenTrace, at: int, grows: bool) -> None:
    """The first choices with their probability, each a way to go on."""
    frame = likely_tokens(tokens, at, _MOST)
    ids = [*tokens.top_ids[at][: len(frame)].tolist()]
    with st.container(key="alternatives"):
        for row, (html, came) in enumerate(zip(choices_html(frame), frame["came"], strict=True)):
            with st.container(
                key=f"alternative_{row}", horizontal=True, vertical_alignment="center", gap="xxsmall"
            ):
                st.html(html)
                if (
                    came or grows
                ):  # while it grows each row has as many parts as before: none stays from another token
                    st.html(f"<div class=write-came>{'chosen' * came}</div>", width="content")
                else:
                    st.button(
                        "Go on",
                        key=f"go_on_{row}",
                        type="tertiary",
                        help=f"Go on from here with “{plain(visible(frame['token'].iloc[row]))}”",
                        on_click=_go_on,
                        args=(len(writing.prompt.ids) + at, ids[row] if row < len(ids) else None),
                    )


def _other_ways(writing: Writing, at: int) -> None:
    """A word typed by hand, another draw, and every first choice for a few tokens."""
    position = len(writing.prompt.ids) + at
    line = st.form("typed", border=False, clear_on_submit=True)
    with line.container(horizontal=True, vertical_alignment="bottom", key="typed_line", gap="xsmall"):
        word = st.text_input(
            "Another word",
            key="typed_word",
            label_visibility="collapsed",
            placeholder="or a word of your own, with its space",
            max_chars=_LONGEST_WORD,
        )
        typed = st.form_submit_button("Go on with this", width="content")
    if typed and word:
        _go_on(position, word)
    with st.container(horizontal=True, key="other_ways", gap="xsmall"):
        st.button(
            "Draw again",
            key="draw_again",
            on_click=_go_on,
            args=(position, None),
            help="From here with the samplers of the form, with other noise. Without a sampler the same text comes.",
        )
        st.button(
            "Try four ways",
            key="what_if",
            on_click=_what_if,
            args=(position,),
            help="The four first choices, each continued for 16 tokens as this branch was.",
        )
    if typed and word:
        st.rerun()


def _go_on(position: int, token: str | int | None) -> None:
    wanted = write_request()
    if not isinstance(wanted, WriteRequest):
        st.session_state[state.WRITING_SAID] = wanted
        return
    running.start_branch(position, token, wanted.samplers, wanted.n_new)


def _what_if(position: int) -> None:
    running.start_what_if(position)


def _kept(writing: Writing, branch: int, at: int) -> None:
    """What the samplers of this branch left here, one after the other."""
    owner, own = owner_of(writing, branch, len(writing.prompt.ids) + at)
    this = writing.branches[owner]
    samplers: Samplers = this.samplers
    st.markdown("**What the samplers keep**")
    if own < this.forced:
        st.caption("A person chose this token: nothing was drawn.")
        return
    if not samplers.steps:
        st.caption("Greedy: the most probable token is taken, so one token is kept.")
        return
    numbers = this.numbers
    frame = pd.DataFrame(
        {
            "sampler": [f"{SAMPLERS[name].label} {setting:g}" for name, setting in samplers.steps],
            "keeps": numbers.n_kept[own].tolist(),
            "mass": [100 * mass for mass in numbers.mass_kept[own].tolist()],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="kept_here",
        column_config={
            "keeps": st.column_config.NumberColumn(width=70, help="Tokens left, one sampler after the other"),
            "mass": st.column_config.NumberColumn(
                format="%.1f %%", width=70, help="Their probability at temperature 1"
            ),
        },
    )
    st.caption(
        f"After the samplers this token had {significant(100 * float(numbers.drawn_prob[own]))} %, "
        "the bars above are the model's own probabilities."
    )


def _each_alone(writing: Writing, branch: int, at: int) -> None:
    """What each sampler would keep here by itself, with its usual setting."""
    try:
        kept = jobs.kept_alone(running.writer(), writing, branch, len(writing.prompt.ids) + at)
    except AnalysisError as problem:
        show_unavailable(problem)
        return
    frame = pd.DataFrame(
        {
            "sampler": [k.sampler for k in kept],
            "keeps": [k.count for k in kept],
            "mass": [100 * k.mass for k in kept],
            "this one": ["kept" if k.keeps_actual else "cut" for k in kept],
        }
    )
    mass = st.column_config.NumberColumn(format="%.1f %%", width=68)
    st.dataframe(frame, hide_index=True, key="each_alone", column_config={"mass": mass})
