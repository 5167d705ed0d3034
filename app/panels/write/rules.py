"""Rules from papers along the written branch: which tokens each would act at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.errors import AnalysisError
from analysis.writing.rules.figures import with_token
from analysis.writing.rules.overlays import deep_thinking_overlay
from analysis.writing.rules.written import written_overlay
from app import state
from app.choice import choose, chosen
from app.compute import requests as runs
from app.panels.write import running
from app.panels.write.answer import chosen_written
from app.widgets.figure_card import altair_card, known_spec
from app.widgets.messages import unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.tokens import TokenTrace
    from analysis.writing.results import Writing
    from analysis.writing.rules.deep_thinking import DeepThinking
    from analysis.writing.rules.overlays import Overlay
    from app.compute.job import Job

TITLE = "Rules from papers"
MEASURED = "deep thinking"
"""The rule that reads the text again."""
RULES = {
    "trials": ("cautious trials", "CNTP: how often it would try a way on before it takes one"),
    "threshold": ("moving threshold", "SRGen: entropy above what the tokens before it set"),
    "switches": ("thinking switches", "SwiReasoning: where it would begin and stop to use words"),
    "confidence": ("group confidence", "DeepConf: the least sure stretch"),
    "windows": ("high-entropy windows", "ARES: windows of four tokens"),
    "surprise": ("surprise gap", "after the RSI: surprisal minus entropy"),
    "format": ("segments", "code, tables and formulas beside prose"),
    MEASURED: ("deep-thinking tokens", "predictions that settle only in the last layers"),
}
"""Name on the page: name of the rule, and whose it is."""


def rules_card(writing: Writing, branch: int, tokens: TokenTrace) -> None:
    """Draw the card of the chosen rule.

    Parameters
    ----------
    writing, branch
        What is on screen, and which branch.
    tokens : TokenTrace
        Its written tokens.
    """
    shown = chosen(list(RULES), state.RULE)
    if shown == MEASURED:
        _measured(writing, branch, tokens)
        return
    try:
        found = written_overlay(RULES[shown][0], writing, branch)
    except AnalysisError as problem:
        _without(problem)
        return
    _card(shown, found, tokens, f"found = written_overlay({RULES[shown][0]!r}, w)", "written_overlay")


def _choice() -> None:
    choose("Rule", list(RULES), key=state.RULE, titled=False)


def _card(shown: str, found: Overlay, tokens: TokenTrace, call: str, imported: str) -> None:
    """The chart of one rule, with what belongs to it."""
    unit, theme_name, token = state.unit(), state.theme_name(), chosen_written(tokens)
    with altair_card(
        TITLE,
        found.says,
        lambda: figures.rule_chart(tokens, found, unit=unit, theme_name=theme_name, token=token),
        alt=f"Entropy along what was written, and what the rule says: {found.rule}",
        name="rules",
        phrase=RULES[shown][1],
        table=lambda: found.to_frame(tokens),
        code=_CODE.format(imported=imported, call=call),
        more=_about(found),
    ) as draw:
        _choice()
        key = (_digest(tokens, found), unit, theme_name)
        spec = known_spec(key, lambda: figures.rule_chart(tokens, found, unit=unit, theme_name=theme_name))
        draw(with_token(spec, token, theme_name))


def _digest(tokens: TokenTrace, found: Overlay) -> str:
    """Of everything that is drawn of a rule."""
    drawn = (tokens.token_id, tokens.entropy, found.marks, *([] if found.level is None else [found.level]))
    return found.rule + hashlib.sha256(b"".join(values.tobytes() for values in drawn)).hexdigest()


def _about(found: Overlay) -> str:
    """How to read the chart, where the rule is from, and how well it is known."""
    level = f" The dashed line is the rule's {found.level_name}." if found.level is not None else ""
    constants = "; ".join(f"{name}: {value:.4g}" for name, value in found.constants)
    return (
        f"The line is the entropy before every written token; triangles are tokens that the rule marks.{level} The text itself "
        "was written without the rule: this is where it would have acted, and it sees nothing of the prompt.\n\n"
        f"**Source.** {found.source}\n\n**How well it is known.** {found.known}"
        + (f"\n\n**Constants.** {constants}." if constants else "")
    )


def _measured(writing: Writing, branch: int, tokens: TokenTrace) -> None:
    """The rule that needs every layer's prediction: asked for by a button."""
    try:
        spec = running.writer()
    except AnalysisError as problem:
        _without(problem)
        return
    path = hashlib.sha256(writing.path(branch).tobytes()).hexdigest()
    experiment = runs.Experiment(
        runs.OfModel(spec, path), "deep_thinking", (("n_prompt", len(writing.prompt.ids)),)
    )
    job = runs.find(experiment)
    if job is not None and job.state == "done":
        _card(MEASURED, deep_thinking_overlay(job.result), tokens, _MEASURED_CALL, "deep_thinking_written")
        return

    def compute(model: LanguageModel, job: Job) -> DeepThinking:
        from analysis.writing.rules.written import deep_thinking_written

        return deep_thinking_written(model, writing, branch, job.report)

    _not_yet(experiment, compute, job)


def _not_yet(
    experiment: runs.Experiment, compute: Callable[[LanguageModel, Job], DeepThinking], job: Job | None
) -> None:
    """What the rule needs, the button that asks for it, and how far that is."""
    with st.container(border=True, key="panel_rules"):
        st.markdown(f"**{TITLE}**")
        _choice()
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                "Not available yet: it needs the prediction of every layer, and a writing keeps the last one's. Reading "
                "the branch again measures them.",
                width="stretch",
            )
            asked = pressed("Measure all layers", key="rule_button", disabled=job is not None and job.is_live)
        if asked:
            job = try_submit(runs.submit_experiment, experiment, compute)
        if job is not None:
            outcome(job, (180,))


def _without(problem: AnalysisError) -> None:
    with st.container(border=True, key="panel_rules"):
        st.markdown(f"**{TITLE}**")
        _choice()
        unavailable("This rule", f"{problem.message} {problem.hint}")


_MEASURED_CALL = "found = deep_thinking_overlay(deep_thinking_written(model, w))"
_CODE = (
    "import analysis as an\n"
    "from analysis.writing.rules.overlays import deep_thinking_overlay\n"
    "from analysis.writing.rules.written import {imported}\n"
    "from analysis.writing.strips import written_tokens\n\n"
    "model = an.load_model()\n"
    'w = an.write(model, "The old lighthouse keeper", n_new=64)\n'
    "{call}\n"
    "an.figures.rule_chart(written_tokens(w.tokens(), len(w.prompt.ids)), found)\n"
)
