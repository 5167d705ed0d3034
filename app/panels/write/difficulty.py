"""Entropy against correctness over the questions that come with the app: written when a person asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.units import from_nats
from analysis.writing.difficulty import BINS
from analysis.writing.question_runs import N_NEW, N_SAMPLES, difficulty_of_answered
from analysis.writing.questions import QUESTIONS
from app import state
from app.compute import requests as runs
from app.compute.job import Turn
from app.panels.write import help as explained
from app.panels.write import running
from app.widgets.figure_card import altair_card, known_spec, show_chart
from app.widgets.messages import unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.models.loading import LanguageModel
    from analysis.writing.difficulty import Difficulty
    from analysis.writing.question_runs import Answered
    from app.compute.job import Job

TITLE = "Entropy against correctness"
_MOST = 32


def difficulty_card() -> None:
    """Draw what is known so far, or what can be run."""
    try:
        spec = running.writer()
    except AnalysisError as problem:
        unavailable(TITLE, f"{problem.message} {problem.hint}")
        return
    n = int(st.session_state.get(state.N_EACH) or N_SAMPLES)
    experiment = runs.Experiment(runs.OfModel(spec, "questions"), "difficulty", (("n", n), ("n_new", N_NEW)))
    job = runs.find(experiment)
    found: Difficulty | None = None if job is None or job.is_live else job.result or job.partial
    if found is None:
        with st.container(border=True, key="panel_difficulty"):
            st.markdown(f"**{TITLE}**", help=explained.DIFFICULTY)
            st.caption(
                f"The model answers {len(QUESTIONS)} questions, easy to hard, several times each: is it unsure where it is wrong?"
            )
            _run(experiment, job, n)
        return
    with altair_card(
        TITLE,
        _said(found),
        lambda: _chart(found),
        alt="Mean entropy of the answers to each question against the share of right ones",
        name="difficulty",
        phrase=f"{len(found.prompts)} of {len(QUESTIONS)} questions, {n} answers each",
        table=lambda: found.to_frame(state.unit()),
        code=_CODE.format(n=n),
        more=f"{explained.DIFFICULTY}\n\n**Source.** {found.source}\n\n**How well it is known.** {found.known}",
    ) as draw:
        _run(experiment, job, n)
        draw(_spec(experiment, found))


def _run(experiment: runs.Experiment, job: Job | None, n: int) -> None:
    """How many answers, the button, and how far it is."""
    done, live = job is not None and job.state == "done", job is not None and job.is_live
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="difficulty_line"):
        st.number_input(
            "Answers per question",
            1,
            _MOST,
            N_SAMPLES,
            key=state.N_EACH,
            persist_state="session",
            width=160,
            disabled=live,
        )
        asked = pressed(f"Run {len(QUESTIONS)} questions", key="difficulty_button", disabled=live or done)
    if asked:
        job = try_submit(submit, experiment, n)
    if job is not None and job.state != "done" and (job.is_live or job.partial is None):
        outcome(
            job,
            (240,),
            lambda found: show_chart(_spec(experiment, found), alt=TITLE, key="difficulty_partial"),
        )


def submit(experiment: runs.Experiment, n: int) -> Job:
    """Ask for the answers, a question at a time, so that others that wait come between."""
    model_slot = runs.engine().model_slot

    def turn(answered: tuple[Answered, ...]) -> Callable[[Job], object]:
        def work(job: Job) -> object:
            from analysis.progress import part
            from analysis.writing.question_runs import answer_question

            model: LanguageModel = model_slot.get(experiment.run.model, job.report)
            at, n_all = len(answered), len(QUESTIONS)
            report = part(job.report, at, n_all, name=f"question {at + 1} of {n_all}")
            now = (*answered, answer_question(model, QUESTIONS[at], n, on_progress=report))
            job.report(
                len(now) / n_all
            )  # ends a job that was cancelled while it wrote: its last answers are cut
            found = difficulty_of_answered(now)
            job.show(found)
            return found if len(now) == n_all else Turn(turn(now))

        return work

    return runs.engine().worker.submit(experiment.key, turn(()), owner=runs.owner())


def _chart(found: Difficulty) -> object:
    return figures.difficulty_chart(found, unit=state.unit(), theme_name=state.theme_name())


def _spec(experiment: runs.Experiment, found: Difficulty) -> dict[str, object]:
    """The same, not made again before another question is answered."""
    key = (experiment.key, len(found.prompts), state.unit(), state.theme_name())
    return known_spec(key, lambda: _chart(found))


def _said(found: Difficulty) -> str:
    """One sentence: the mean entropy of each third, and whether they make a U."""
    unit = state.unit()
    means = [
        f"{name} ({count(found.bins.count(name))}) {significant(from_nats(found.mean_entropy(name), unit))}"
        for name in BINS
        if name in found.bins
    ]
    shape = {True: "least in the middle, a U", False: "no U", None: "too few thirds for a U"}[found.is_u]
    return f"Mean entropy in {unit} by the share of right answers, number of questions in brackets: {', '.join(means)}; {shape}."


_CODE = (
    "import analysis as an\n"
    "from analysis.writing.question_runs import measure_difficulty\n\n"
    "model = an.load_model()\n"
    "found = measure_difficulty(model, n={n})\n"
    "an.figures.difficulty_chart(found)\n"
)
