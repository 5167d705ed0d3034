"""The answer, as it is written: what the model got, its tokens by entropy, and the curve of these."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.drawing.strip_figure import strip_figure
from analysis.units import from_nats
from analysis.writing.compare import side_of
from analysis.writing.figures import entropy_bars_spec
from analysis.writing.prompt_shown import kinds_frame, prompt_frame, turns
from analysis.writing.strips import least_sure, written_strip, written_tokens
from app import state
from app.panels.write import help as explained
from app.panels.write.request import samplers_said
from app.widgets.figure_card import html_card, show_chart
from app.widgets.layout import table_height
from app.widgets.plain import plain
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace
    from analysis.writing.results import Branch, Writing

_STRIP_HEIGHT = 260
_SHOWN = 180
"""Characters of a message."""
ENDED = {
    "stop": "ended by itself",
    "limit": "as many tokens as asked for",
    "stopped": "stopped",
    "context": "the model's context is full",
}


def own_tokens(writing: Writing, branch: int) -> TokenTrace:
    """The written tokens of a branch's path."""
    return written_tokens(writing.tokens(branch), len(writing.prompt.ids))


def chosen_written(tokens: TokenTrace) -> int:
    """Which of the written tokens is chosen: the one of highest entropy until a person chooses."""
    held = st.session_state.get(state.WRITTEN_TOKEN)
    return held if held is not None and held < len(tokens) else least_sure(tokens)


def choose_written(token: int) -> None:
    """Choose a written token, counted from the first."""
    st.session_state[state.WRITTEN_TOKEN] = token


def answer_card(writing: Writing, branch: int, tokens: TokenTrace, *, grows: bool = False) -> None:
    """Draw the card.

    Parameters
    ----------
    writing, branch
        What is on screen, and which branch.
    tokens : TokenTrace
        Its written tokens.
    grows : bool
        Whether it is being written: then its last token is in sight.
    """
    unit, this = state.unit(), writing.branches[branch]
    strip = written_strip(tokens, unit=unit)
    more = "" if len(writing.branches) == 1 else f"branch {branch + 1} of {len(writing.branches)}"
    more += f": {plain(this.name)}" if this.name else ""
    with html_card(
        "The answer, as it is written",
        _said(writing, this, len(tokens), grows),
        lambda: strip_figure(strip, theme_name=state.theme_name()),
        name="written",
        table=lambda: tokens.to_frame(unit),
        code=_code(writing, this),
        phrase=more,
        spec=f"{writing.model} · {writing.dtype}",
        more=explained.ANSWER,
    ):
        _prompt(writing, branch)
        chosen = 0
        if len(tokens):
            chosen = len(tokens) - 1 if grows else chosen_written(tokens)
            picked = token_strip(strip, key="written_strip", selected=chosen, height=_STRIP_HEIGHT)
            if not grows and picked is not None and picked != chosen and picked < len(tokens):
                choose_written(picked)
                chosen = picked
        show_chart(
            entropy_bars_spec(tokens, unit=unit, theme_name=state.theme_name(), token=chosen),
            alt="Entropy before every written token, and its running mean",
            key="written_entropy",
        )


def _said(writing: Writing, branch: Branch, n: int, grows: bool) -> str:
    """One line about the branch under its picture."""
    if not n:
        return "Nothing was written: the model ended at once."
    unit, whole = state.unit(), side_of(writing, branch.id)
    mean, total = (from_nats(x, unit) for x in (whole.mean_entropy, whole.log_prob))
    return (
        f"{count(n)} token{'s' * (n > 1)}, {'being written' if grows else ENDED[branch.ended]} · {plain(samplers_said(branch.samplers))} · mean entropy "
        f"{significant(mean)} {unit} · log-probability {significant(total)} {unit}"
    )


def _prompt(writing: Writing, branch: int) -> None:
    """Roles and texts of what the model got, shortened; the exact text one click away."""
    rows = "".join(
        f"<div><span>{escape(role)}</span><p>{escape(_short(text))}</p></div>"
        for role, text in turns(writing.prompt)
    )
    with st.container(key="write_prompt", horizontal=True, vertical_alignment="top", gap="xsmall"):
        st.html(f"<div class=write-roles>{rows}</div>")
        with st.popover(
            f"{count(len(writing.prompt.ids))} tokens of prompt",
            type="tertiary",
            key="exact_prompt",
            help="The exact text and tokens that the model got",
            on_change="rerun",
        ) as exact:
            if exact.open:
                st.code(writing.prompt.text, language=None, wrap_lines=True, height=200)
                for note in writing.prompt.notes:
                    st.caption(plain(note))
                st.caption("The whole text by kind of token:")
                st.dataframe(kinds_frame(writing, branch, state.unit()), hide_index=True, key="kinds_frame")
                frame = prompt_frame(writing)
                st.dataframe(frame, hide_index=True, key="prompt_frame", height=table_height(len(frame), 9))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _code(writing: Writing, branch: Branch) -> str:
    """Notebook lines that write the same from the prompt."""
    source = "" if writing.model.startswith("SmolLM2-135M-Instruct") else repr(writing.model)
    prompt = writing.prompt
    given = (
        repr([{"role": m.role, "content": m.content} for m in prompt.messages])
        if prompt.messages
        else repr(prompt.text)
    )
    how = (
        f", samplers={list(branch.samplers.steps)!r}, seed={branch.samplers.seed}"
        if branch.samplers.steps
        else ""
    )
    how += f", stop={list(branch.stop)!r}" if branch.stop else ""
    n = len(branch) if branch.parent is None else 64
    return (
        "import analysis as an\n\n"
        f"model = an.load_model({source})\n"
        f"w = an.write(model, {given}, n_new={n}{how})\n"
        "an.figures.written_entropy(w)\n"
    )
