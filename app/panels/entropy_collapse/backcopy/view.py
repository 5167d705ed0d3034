"""Live lab: a sink forms in a small model trained on the Bigram-Backcopy task."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from analysis.units import from_nats
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.panels.entropy_collapse.backcopy.cards import cards, live
from app.widgets.growing import growing
from app.widgets.layout import picture_and_choice
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun, BackcopySettings
    from app.compute.job import Job

PICTURES = ("risk", "sink")
_MOST_RUNS = 8
_MOST_STEPS = 5000.0
_EXAMPLE_SEED, _EXAMPLE_LENGTH = 593, 46


def backcopy(line: Any) -> None:
    """Draw the lab: every run of this tab overlaid, until there is one the stored run.

    Parameters
    ----------
    line : container
        Of the heading: the choice of pictures stands at its end.
    """
    picture = choose("Pictures", PICTURES, key=state.BACKCOPY_PICTURES, place=line, titled=False)
    settings_of_tab: list[BackcopySettings] = st.session_state.setdefault(state.BACKCOPY_REQUEST, [])
    left, right = picture_and_choice("backcopy", follows=False)
    with right, st.container(border=True, key="panel_backcopy"):
        settings = _form()
        if settings is not None and try_submit(
            runs.submit_calculation, _request(settings), _training(settings)
        ):
            settings_of_tab[:] = [*(one for one in settings_of_tab if one != settings), settings][
                -_MOST_RUNS:
            ]
        known = [(one, job) for one in settings_of_tab if (job := runs.find(_request(one))) is not None]
        finished = [job.result for _, job in known if job.state == "done"]
        waiting = [job for _, job in known if job.is_live]
        for job in waiting or [job for _, job in known[-1:] if job.state != "done"]:
            outcome(job, ())  # how far it is, or why there is nothing
        if not finished and not waiting:
            st.caption(
                "**Example**: a stored run with the default settings. Run trains what the settings say."
            )
        _task()
    shown = finished or [_stored()]
    with left:
        if waiting:  # the first one runs and draws, the others wait
            growing(waiting[0].key, live(finished), lambda: live(shown[:-1])(shown[-1]))
        else:
            cards(shown, picture)


@st.cache_resource(show_spinner=False, max_entries=1)
def _stored() -> BackcopyRun:
    from analysis.entropy_collapse.labs.example_runs import backcopy_example

    return backcopy_example()


def _task() -> None:
    """Two sentences on the task, and a short sequence with its triggers and copies marked."""
    from analysis.entropy_collapse.labs.backcopy.results import BackcopySettings
    from analysis.entropy_collapse.labs.backcopy.task import shipped_task

    task = shipped_task()
    oracle = task.oracle(BackcopySettings().length)
    unit = state.unit()
    names = " ".join(f":orange-background[**{_shown(task.characters[c])}**]" for c in task.triggers)
    st.caption(
        f"**The task.** After an ordinary character the next one follows the character pairs of a short story; after a "
        f"trigger, {names}, comes :blue-background[the character before it] once more. Only the second rule needs "
        f"attention: everywhere else the head gives its weight to a token with a tiny value."
    )
    st.caption(_example())
    st.caption(
        f"With both rules the mean loss is **{significant(from_nats(oracle.markov, unit))} {unit}** after "
        f"ordinary characters, 0 after triggers (they are {significant(100 * oracle.trigger_share)} % of "
        f"the characters), {significant(from_nats(oracle.overall, unit))} {unit} overall. With only the "
        f"pairs it is {significant(from_nats(oracle.bigram_on_triggers, unit))} {unit} after triggers."
    )


@st.cache_data(max_entries=1, show_spinner=False)
def _example() -> str:
    """A short sequence in Markdown."""
    import numpy as np

    from analysis.entropy_collapse.labs.backcopy.task import shipped_task

    task = shipped_task()
    ids = task.sequences(np.random.default_rng(_EXAMPLE_SEED).random((1, _EXAMPLE_LENGTH)))[0, 1:]
    is_trigger = task.is_trigger(ids)
    pieces = []
    for i, c in enumerate(ids):
        shown = _shown(task.characters[c])
        if is_trigger[i]:
            pieces.append(f":orange-background[**{shown}**]")
        elif i and is_trigger[i - 1]:
            pieces.append(f":blue-background[{shown}]")
        else:
            pieces.append(shown)
    return ":gray[⟨start⟩] " + "\u2009".join(pieces) + " …"


def _shown(character: str) -> str:
    """A character as Markdown, white space visible."""
    from analysis.drawing.labels import visible

    return plain(visible(character))


def _form() -> BackcopySettings | None:
    """What to train; settings when Run was pressed."""
    with st.container(key="line_backcopy", horizontal=True, vertical_alignment="center"):
        with (
            st.popover("Settings", icon=":material/tune:", key="backcopy_settings"),
            st.container(key="backcopy_form"),
        ):
            layers, optimizer, attention, steps = _controls()
        run = pressed("Run", key="backcopy_button", type="primary")
        st.button("Clear", key="backcopy_clear", on_click=_clear, help="Forget the runs that are drawn.")
    if not run:
        return None
    from analysis.entropy_collapse.labs.backcopy.results import BackcopySettings

    try:
        return BackcopySettings(
            int(layers),
            optimizer,
            attention,
            int(steps) if math.isfinite(steps) else 0,
        )
    except AnalysisError as error:
        show_error(error)
        return None


def _controls() -> tuple[Any, Any, Any, float]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layers = choose("Layers", ("1", "3"), key=state.BACKCOPY_LAYERS)
        optimizer = choose("Optimizer", ("adam", "sgd"), key=state.BACKCOPY_OPTIMIZER)
        attention = choose("Attention", ("softmax", "relu"), key=state.BACKCOPY_ATTENTION)
        steps = st.number_input(
            "Steps",
            10.0,
            _MOST_STEPS,
            800.0,
            100.0,
            "%.0f",
            key=state.BACKCOPY_STEPS,
            bind="query-params",
            width=130,
        )
    st.caption(
        "800 steps take about 20 seconds with one layer and 40 with three. Smaller than in the source, so that it can "
        "be watched: width 64 (there 256), 32 sequences of 65 tokens a step (512 of 257), a few hundred steps "
        "(10,000), higher learning rates, and the characters of a story written for this lab."
    )
    return layers, optimizer, attention, steps


def _clear() -> None:
    st.session_state[state.BACKCOPY_REQUEST] = []


def _request(settings: BackcopySettings) -> runs.Calculation:
    return runs.Calculation("backcopy", tuple(asdict(settings).items()))


def _training(settings: BackcopySettings) -> Callable[[Job], BackcopyRun]:
    def compute(job: Job) -> BackcopyRun:
        from analysis.entropy_collapse.labs.backcopy.training import train_backcopy

        return train_backcopy(settings, on_progress=job.report, on_partial=job.show)

    return compute
