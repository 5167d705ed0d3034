"""Prompt compression: a context made shorter by many methods, and what that costs the answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from analysis.pruning_effects.compression.example import CHOSEN, KEPT
from analysis.pruning_effects.compression.results import METHODS
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.panels.pruning_effects.compression import help as explained
from app.panels.pruning_effects.compression.cards import (
    choose_one,
    curves_card,
    kept_words,
    live_curves,
    numbers,
)
from app.widgets.growing import growing
from app.widgets.layout import picture_and_choice, side_by_side
from app.widgets.messages import show_error
from app.widgets.model_choice import model_spec
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.compression.results import CompressionSweep
    from app.compute.job import Job

PICTURES = ("curves", "what stays")
_UNITS = ("word", "token", "sentence")
_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
_MOST_SEEDS = 20.0


@dataclass(frozen=True)
class _Settings:
    """Everything beside the model and the context that decides a sweep."""

    question: str
    answer: str
    methods: tuple[str, ...]
    kept: tuple[float, ...]
    unit: Any
    seeds: int
    classifier: str
    keep_negations: bool
    keep_numerals: bool


def prompt_compression(line: Any = st) -> None:
    """Draw the sweep that was asked for in this tab, until then the stored example.

    Parameters
    ----------
    line : container
        Of the heading: the choice of pictures stands at its end.
    """
    picture = choose("Pictures", PICTURES, key=state.COMPRESSION_PICTURES, place=line, titled=False)
    left, right = picture_and_choice("compression", follows=False)
    panel = right.container(border=True, key="panel_compression")
    with panel:
        context, settings, asked = _form()
        if asked:
            try:
                _start(context, settings)
            except AnalysisError as error:
                show_error(error)
        experiment = st.session_state.get(state.COMPRESSION_REQUEST)
        job = runs.find(experiment) if experiment is not None else None
        result = None
        if job is None:
            st.caption("**Example**: a stored result of the embedded model. Run computes it with yours.")
        else:
            result = outcome(job, ())
        if job is not None and result is None and not job.is_live and job.partial is not None:
            st.caption("Shown is what was finished before it stopped.")
            result = job.partial
    if job is not None and job.is_live:
        with left:
            growing(job.key, live_curves, lambda: live_curves(_stored()))
        return
    _draw(picture, result or _stored(), left, panel)


def _draw(picture: str, sweep: CompressionSweep, left: Any, panel: Any) -> None:
    one = None
    if sweep.readings:
        with panel:
            one = choose_one(sweep)
    with left:
        if sweep.readings and picture == PICTURES[0]:
            curves_card(sweep)
        elif one is not None:
            kept_words(sweep, one)
        numbers(sweep)
        for name, reason in sweep.unavailable.items():
            st.caption(f"**{plain(name)}: not available.** {plain(reason)}")


@st.cache_resource(show_spinner=False, max_entries=1)
def _stored() -> CompressionSweep:
    from analysis.pruning_effects.compression.example import example_sweep

    return example_sweep()


def _form() -> tuple[str, _Settings, bool]:
    """The popover with the texts and what to do with them, and the button."""
    st.session_state.setdefault(state.COMPRESSION_CONTEXT, explained.CONTEXT)
    st.session_state.setdefault(state.COMPRESSION_QUESTION, explained.QUESTION)
    st.session_state.setdefault(state.COMPRESSION_ANSWER, explained.ANSWER)
    with st.container(key="line_compression", horizontal=True, vertical_alignment="center"):
        with (
            st.popover("Texts and methods", icon=":material/tune:", key="texts_and_methods"),
            st.container(key="compression_form"),
        ):
            context, settings = _texts_and_methods()
        run = pressed("Run", type="primary", key="compression_button")
    return context, settings, run


def _texts_and_methods() -> tuple[str, _Settings]:
    left, right = side_by_side("compression_texts", [1.6, 1])
    context = left.text_area(
        "Context, to be made shorter", key=state.COMPRESSION_CONTEXT, height=232, persist_state="session"
    )
    question = right.text_area(
        "Question, read after the context",
        key=state.COMPRESSION_QUESTION,
        height=104,
        persist_state="session",
    )
    answer = right.text_area(
        "Answer, whose probability counts", key=state.COMPRESSION_ANSWER, height=68, persist_state="session"
    )
    methods = st.multiselect(
        "Methods", METHODS, list(CHOSEN), key=state.COMPRESSION_METHODS, bind="query-params", wrap=True
    )
    shares, unit = side_by_side("controls_compression", [2.4, 2.3], "bottom")
    kept = shares.multiselect(
        "Shares of the tokens kept",
        _SHARES,
        list(KEPT),
        key="compression_shares",
        format_func=lambda share: f"{share:.0%}",
        wrap=True,
        help="How long the shorter text may be. Of units with equal scores the earlier one stays.",
    )
    chosen = choose(
        "Unit",
        _UNITS,
        key=state.COMPRESSION_UNIT,
        place=unit,
        help="What is kept or left out as a whole.",
        wrap=True,
    )
    with st.expander("Options"):
        more = _options()
    st.caption(explained.HINT if context == explained.CONTEXT else "")
    settings = _Settings(
        question or "",
        answer or "",
        tuple(sorted(methods, key=METHODS.index)),
        tuple(sorted(kept, reverse=True)),
        chosen,
        **more,
    )
    return context or "", settings


def _options() -> dict[str, Any]:
    # A float, because Streamlit fails on a link with an infinite whole number.
    seeds = st.number_input(
        "Seeds of random methods", 1.0, _MOST_SEEDS, 5.0, 1.0, "%.0f", key="compression_seeds"
    )
    negations = st.toggle("Stop words: spare negations", True, key="compression_negations")
    numerals = st.toggle("Stop words: spare numbers in words", True, key="compression_numerals")
    folder = st.text_input(
        "Folder of LLMLingua-2's classifier",
        key="compression_classifier",
        placeholder="a local folder with safetensors weights",
        max_chars=500,
    )
    return {
        "seeds": int(seeds) if math.isfinite(seeds) else 1,
        "classifier": folder.strip(),
        "keep_negations": negations,
        "keep_numerals": numerals,
    }


def _start(context: str, settings: _Settings) -> None:
    """Ask for a sweep and put it on screen.

    Raises
    ------
    AnalysisError
        If something is empty, or the queue is full.
    """
    if not context.strip():
        raise AnalysisError("There is no context to shorten.", "Type or paste some text.")
    if not settings.methods or not settings.kept:
        raise AnalysisError("No method or no share is chosen.", "Choose at least one of each.")
    request = runs.RunRequest(model_spec(), context)
    experiment = runs.Experiment(request, "compression", tuple(asdict(settings).items()))
    runs.submit_experiment(experiment, _compute(context, settings))
    st.session_state[state.COMPRESSION_REQUEST] = experiment


def _compute(context: str, settings: _Settings) -> Callable[[LanguageModel, Job], CompressionSweep]:
    def compute(model: LanguageModel, job: Job) -> CompressionSweep:
        from analysis.pruning_effects.compression.sweep import sweep_compression

        options = asdict(settings)
        question, answer = options.pop("question"), options.pop("answer")
        return sweep_compression(
            model, context, question, answer, **options, on_progress=job.report, on_partial=job.show
        )

    return compute
