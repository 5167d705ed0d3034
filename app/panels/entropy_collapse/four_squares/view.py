"""Live lab: a policy trained with GRPO on four squares loses its entropy, with and without help."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from analysis.progress import part
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.panels.entropy_collapse.four_squares.cards import cards, effects
from app.panels.entropy_collapse.four_squares.live import live
from app.widgets.growing import growing
from app.widgets.layout import picture_and_choice
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from analysis.entropy_collapse.labs.four_squares.interventions import Intervention
    from analysis.entropy_collapse.labs.four_squares.results import LabRun, LabSettings
    from app.compute.job import Job

PICTURES = ("entropy", "answers", "exchange")
_BASELINE = "none"
_USUAL = ("entropy bonus", "kl-cov")
_MOST_RUNS = 60
_MOST_STEPS, _MOST_SEED = 1000.0, 9999.0
_EXAMPLE = (39, (25, 9, 4, 1))


def four_squares(line: Any) -> None:
    """Draw the lab: the runs of the chosen interventions overlaid, until there are some the stored ones.

    Parameters
    ----------
    line : container
        Of the heading: the choice of pictures stands at its end.
    """
    picture = choose("Pictures", PICTURES, key=state.LAB_PICTURES, place=line, titled=False)
    finished: dict[str, LabRun] = st.session_state.setdefault(state.SQUARES_FINISHED, {})
    left, right = picture_and_choice("four_squares", follows=False)
    with right, st.container(border=True, key="panel_four_squares"):
        wanted, trains = _form()
        missing = [settings for settings in wanted if settings.key not in finished]
        if trains and missing:
            _train(missing, finished)
        asked = st.session_state.get(state.SQUARES_REQUEST)
        job = None if asked is None else runs.find(asked)
        if job is not None and job.state == "done":
            for run in job.result:  # another tab may have asked first
                finished.setdefault(run.settings.key, run)
        drawn = [finished[settings.key] for settings in wanted if settings.key in finished]
        if job is not None and (job.is_live or (missing and job.state != "done")):
            outcome(job, ())  # how far it is, or why something is missing
        is_live = job is not None and job.is_live
        if not drawn and not is_live:
            st.caption(
                "**Example**: stored runs with the default settings. Run trains what the settings say."
            )
        shown = drawn or _stored()
        if not is_live:
            effects(shown)
        _explain()
    with left:
        if is_live and job is not None:
            growing(job.key, live(drawn), lambda: live(shown)([]))
        else:
            _forget_old(finished)
            cards(shown, picture)


@st.cache_resource(show_spinner=False, max_entries=1)
def _stored() -> list[LabRun]:
    from analysis.entropy_collapse.labs.example_runs import four_squares_example

    return four_squares_example()


def _train(missing: list[LabSettings], finished: dict[str, LabRun]) -> None:
    calculation = runs.Calculation("four squares", (("runs", tuple(settings.key for settings in missing)),))
    if try_submit(runs.submit_calculation, calculation, _training(missing, finished)):
        st.session_state[state.SQUARES_REQUEST] = calculation


def _explain() -> None:
    """The task in two sentences, and one solution with its forks marked."""
    from analysis.entropy_collapse.labs.four_squares.task import FORKS, spell, write

    number, squares = _EXAMPLE
    signs = spell(write(number, squares)).split()
    shown = " ".join(
        f":orange-background[{sign}]" if at in FORKS else plain(sign) for at, sign in enumerate(signs)
    )
    st.caption(
        f"**The task.** The prompt is a number from 5 to 99; the policy takes four squares away from it, one true step at "
        f"a time, and earns 1 if nothing is left. Which :orange-background[square] to take is a fork with many good "
        f"answers, everything else follows from it.  \n**{number}** → {shown}"
    )


def _form() -> tuple[list[LabSettings], bool]:
    """What to train, the baseline always first, and whether Run was pressed."""
    from analysis.entropy_collapse.labs.four_squares.interventions import PUBLISHED, RESCALED

    with st.container(key="line_four_squares", horizontal=True, vertical_alignment="center"):
        with (
            st.popover("Settings", icon=":material/tune:", key="four_squares_settings"),
            st.container(key="four_squares_form"),
        ):
            chosen, scale, seed, steps = _settings_form()
        run = pressed("Run", key="four_squares_button", type="primary")
        st.button("Clear", key="four_squares_clear", on_click=_clear, help="Forget all runs.")
    known = RESCALED if scale == "rescaled" else PUBLISHED
    try:
        return _settings([known[name] for name in (_BASELINE, *chosen) if name in known], seed, steps), run
    except AnalysisError as error:
        show_error(error)
        return [], False


def _settings_form() -> tuple[list[str], str, float, float]:
    """Interventions, scale of their constants, seed and steps."""
    from analysis.entropy_collapse.labs.four_squares.interventions import PUBLISHED, RESCALED, SCALES

    chosen = st.multiselect(
        "Interventions, beside plain GRPO",
        [name for name in RESCALED if name != _BASELINE],
        list(_USUAL),
        key=state.INTERVENTIONS,
        bind="query-params",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        scale = choose("Constants", SCALES, key=state.LAB_CONSTANTS)
        seed = st.number_input(
            "Seed", 0.0, _MOST_SEED, 0.0, 1.0, "%.0f", key=state.LAB_SEED, bind="query-params", width=110
        )
        steps = st.number_input(
            "Steps",
            1.0,
            _MOST_STEPS,
            120.0,
            20.0,
            "%.0f",
            key=state.LAB_STEPS,
            bind="query-params",
            width=130,
        )
    known = RESCALED if scale == "rescaled" else PUBLISHED
    for name in chosen:
        if name not in known:
            st.caption(plain(f"{name}: not available, there are no published constants for it."))
            continue
        one = known[name]
        parts = (f"{name}: {one.says}", f"{one.describe()}.", f"After: {one.source}.", one.differs)
        st.caption(plain(" ".join(part for part in parts if part)))
    if scale == "published":
        st.caption("Published constants are for batches a thousand times larger; most do nothing here.")
    return chosen, scale, seed, steps


def _settings(interventions: list[Intervention], seed: float, steps: float) -> list[LabSettings]:
    from analysis.entropy_collapse.labs.four_squares.results import LabSettings

    whole = [int(value) if math.isfinite(value) else -1 for value in (seed, steps)]
    return [LabSettings(one, seed=whole[0], steps=whole[1]) for one in interventions]


def _training(missing: list[LabSettings], finished: dict[str, LabRun]) -> Callable[[Job], list[LabRun]]:
    """Work that trains one run after the other; those that end before a cancel are kept."""

    def compute(job: Job) -> list[LabRun]:
        from analysis.entropy_collapse.labs.four_squares.grpo import run_lab

        done: list[LabRun] = []
        for number, settings in enumerate(missing):
            report = part(job.report, number, len(missing), name=settings.intervention.name)

            def show(partial: LabRun, before: tuple[LabRun, ...] = tuple(done)) -> None:
                job.show([*before, partial])

            run = run_lab(settings, on_progress=report, on_partial=show)
            finished[settings.key] = run
            done.append(run)
        return done

    return compute


def _forget_old(finished: dict[str, LabRun]) -> None:
    for key in list(finished)[: max(0, len(finished) - _MOST_RUNS)]:
        del finished[key]


def _clear() -> None:
    if state.SQUARES_REQUEST in st.session_state:
        runs.cancel(st.session_state.pop(state.SQUARES_REQUEST).key)
    st.session_state.pop(state.SQUARES_FINISHED, None)
