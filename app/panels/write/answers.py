"""Many answers to one prompt, grouped by a stated rule, and how far they agree."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.results.alternatives import equally_likely
from analysis.units import from_nats
from analysis.writing.answer_entropy import answer_entropy
from analysis.writing.answers import RULES
from analysis.writing.pass_at import pass_at
from analysis.writing.rules.thinking import thinking_of
from analysis.writing.sample_answers import answers_of, confidence_vote
from app import state
from app.panels.write import help as explained
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.writing.answers import Answers
    from analysis.writing.results import Writing

PATTERN = "pattern"
_MOST_GROUPS = 6
_SHOWN = 40


def of_prompt(writing: Writing) -> list[int]:
    """Ids of the branches that begin at the prompt: its answers."""
    return [branch.id for branch in writing.branches if branch.parent is None]


def answers_panel(writing: Writing) -> Answers | None:
    """Draw the panel where there are several answers; gives them where they were found."""
    samples = of_prompt(writing)
    if len(samples) < 2:
        return None
    with st.container(border=True, key="panel_answers"):
        st.markdown(f"**{len(samples)} answers, grouped**", help=explained.ANSWERS)
        how = st.selectbox(
            "Find the answer by",
            [*RULES, PATTERN],
            key=state.ANSWER_BY,
            persist_state="session",
            help="automatic: what is boxed, behind ####, after “answer is”, the last number, or else the last line.",
        )
        if how == PATTERN:
            how = st.text_input(
                "Regular expression",
                key=state.ANSWER_PATTERN,
                persist_state="session",
                max_chars=300,
                placeholder=r"\b(whale|shark)\b",
            )
        right = st.text_input(
            "Right answer, for pass@k", key=state.RIGHT_ANSWER, persist_state="session", max_chars=300
        )
        try:
            found = answers_of(writing, how or "", samples)
        except AnalysisError as problem:
            show_unavailable(problem)
            return None
        _groups(found)
        _said(found)
        _vote(writing, found, samples)
        _thinking(writing, samples)
        if (right or "").strip():
            _pass(found, right)
    return found


def _groups(found: Answers) -> None:
    groups, n = found.groups, len(found.extracted)
    rows = "".join(
        f'<div class="write-group{" none" * (g.answer is None)}"><b>{escape(_short(g.answer))}</b>'
        f'<s><u style="width:{100 * len(g) / len(groups[0]):.0f}%"></u></s><span>{len(g)} of {n}</span></div>'
        for g in groups[:_MOST_GROUPS]
    )
    rest = groups[_MOST_GROUPS:]
    more = f"<p>and {len(rest)} more: {escape(', '.join(_short(g.answer) for g in rest))}</p>" if rest else ""
    st.html(rows + more)


def _short(answer: str | None) -> str:
    if answer is None:
        return "no answer"
    line = " ".join(answer.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _said(found: Answers) -> None:
    unit, entropy = state.unit(), answer_entropy([len(g) for g in found.groups])
    value, cap = (significant(from_nats(x, unit)) for x in (entropy.entropy, entropy.cap))
    st.caption(
        f"Answer entropy **{value}** {unit} of at most {cap}, as if {significant(equally_likely(entropy.entropy))} answers were "
        f"equally likely. {significant(100 * entropy.agreement)} % of the pairs agree."
    )


def _vote(writing: Writing, found: Answers, samples: list[int]) -> None:
    """Which answer wins where surer samples count more, beside its share of the answers."""
    vote = confidence_vote(writing, found, samples)
    if vote.winner is None:
        return
    weight, answers = (
        significant(100 * votes[vote.winner] / sum(votes.values())) for votes in (vote.weights, vote.counts)
    )
    st.caption(
        f"Vote by confidence: **{plain(_short(vote.winner))}** with {weight} % of the weight and {answers} % of the answers.",
        help=f"{explained.VOTE}\n\n**Source.** {vote.source}\n\n**How well it is known.** {vote.known}",
    )


def _thinking(writing: Writing, samples: list[int]) -> None:
    """How many tokens each answer thinks, and how far they differ; nothing where none thinks."""
    found = thinking_of(writing, samples)
    fewest, most = found.fewest_and_most
    if not most:
        return
    spread, cut = found.spread, found.n_cut
    with st.container(horizontal=True, vertical_alignment="center", key="thinking_line", gap="xsmall"):
        st.caption(
            f"Thinking takes {count(fewest)} to {count(most)} tokens"
            + (
                f", {significant(spread)} times as many in the longest as in the shortest"
                if spread == spread
                else ""
            )
            + (f"; {count(cut)} of {count(len(samples))} never came to an answer" if cut else "")
            + ".",
            help=f"{explained.THINKING}\n\n**Source.** {found.source}\n\n**How well it is known.** {found.known}",
        )
        with st.popover("Each answer", type="tertiary", key="thinking_runs", on_change="rerun") as each:
            if each.open:
                st.dataframe(found.to_frame(), hide_index=True, key="thinking_frame")


def _pass(found: Answers, right: str) -> None:
    estimates = pass_at(found.right(right))
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= estimates.n]
    said = " · ".join(f"pass@{k} {significant(estimates.value[estimates.k.index(k)])}" for k in ks)
    st.caption(f"{count(estimates.n_right)} of {count(estimates.n)} right: {said}")
