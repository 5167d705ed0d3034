"""States pushed towards those of unsure prompts: how unsure the answer is then, computed when a person asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from analysis.units import from_nats
from analysis.writing.steering_run import FOUND_WITH, STEERED, STRENGTHS
from app import state
from app.compute import requests as runs
from app.panels.write import help as explained
from app.panels.write import running
from app.widgets.figure_card import altair_card, known_spec
from app.widgets.messages import unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.writing.steering import Steered
    from app.compute.job import Job

TITLE = "Steering towards higher entropy"


def steering_card() -> None:
    """Draw the card, or what can be computed."""
    try:
        spec = running.writer()
    except AnalysisError as problem:
        unavailable(TITLE, f"{problem.message} {problem.hint}")
        return
    experiment = runs.Experiment(runs.OfModel(spec, "steering"), "steering")
    job = runs.find(experiment)
    if job is not None and job.state == "done":
        _card(experiment, job.result)
        return
    with st.container(border=True, key="panel_steering"):
        st.markdown(f"**{TITLE}**", help=explained.STEERING)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                f"{len(STEERED)} questions with the answer Yes or No, read while the states of the middle layer are pushed along "
                f"the direction of unsure prompts, found with {len(FOUND_WITH)} others.",
                width="stretch",
            )
            asked = pressed(
                "Compute steering", key="steering_button", disabled=job is not None and job.is_live
            )
        if asked:
            job = try_submit(runs.submit_experiment, experiment, _compute)
        if job is not None:
            outcome(job, (220,))


def _compute(model: LanguageModel, job: Job) -> Steered:
    from analysis.writing.steering_run import measure_steering

    return measure_steering(model, on_progress=job.report)


def _card(experiment: runs.Experiment, found: Steered) -> None:
    unit, strength = state.unit(), float(st.session_state.get(state.STRENGTH, 0.0))
    at, theme_name = found.nearest(strength), state.theme_name()

    def chart() -> object:
        return figures.steering_chart(
            found, unit=unit, theme_name=theme_name, strength=float(found.strength[at])
        )

    with altair_card(
        TITLE,
        _said(found, at),
        chart,
        alt="Entropy over Yes and No against the strength",
        name="steering",
        phrase=f"{len(STEERED)} questions, layer {found.layer}",
        table=lambda: found.to_frame(unit),
        code=_CODE,
        more=f"{explained.STEERING}\n\n**Source.** {found.source}\n\n**How well it is known.** {found.known}",
    ) as draw:
        st.slider(
            "Strength",
            STRENGTHS[0],
            STRENGTHS[-1],
            0.0,
            STRENGTHS[1] - STRENGTHS[0],
            key=state.STRENGTH,
            persist_state="session",
            width=320,
        )
        draw(known_spec((experiment.key, at, unit, theme_name), chart))


def _said(found: Steered, at: int) -> str:
    """One sentence about a strength."""
    unit = state.unit()
    mean, mass = found.means(at)
    entropy, highest = (significant(from_nats(x, unit)) for x in (mean, found.highest))
    return (
        f"At strength {found.strength[at]:g} the entropy over Yes and No is {entropy} {unit} on average, of at most {highest}; the "
        f"two together have {significant(100 * mass)} % of the probability."
    )


_CODE = (
    "import analysis as an\n"
    "from analysis.writing.steering_run import measure_steering\n\n"
    "model = an.load_model()\n"
    "found = measure_steering(model)\n"
    "an.figures.steering_chart(found)\n"
)
