"""Trainer against engine: log-probabilities of a rollout file against those of the loaded model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.comparison.rollout_file import EXAMPLE, read_rollouts, rollouts_from_bytes
from analysis.comparison.rollouts import RolloutMismatch, Rollouts
from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.panels.compare import help as explained
from app.widgets.figure_card import altair_card
from app.widgets.messages import show_error
from app.widgets.model_choice import model_spec
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    import pandas as pd

    from analysis.models.loading import LanguageModel
    from app.compute.job import Job

TITLE = "Trainer against engine"
_MAX_UPLOAD_MB = 200


def engine_cards() -> None:
    """Draw what asks for a file, and the pictures once it is read."""
    with st.container(border=True, key="panel_engine"):
        st.markdown(f"**{TITLE}**", help=explained.ENGINE)
        st.caption(
            "Rows of `tokens` and `logprobs`, as an engine wrote them, against the model chosen in the bar."
        )
        upload = st.file_uploader(
            "Rollout file",
            type=["jsonl", "json", "parquet"],
            key=state.ROLLOUT_FILE,
            max_upload_size=_MAX_UPLOAD_MB,
        )
        if pressed(
            "Measure example", key="measure_rollouts", help="Drawn by the embedded model in bfloat16."
        ):
            st.session_state[state.ROLLOUT_EXAMPLE] = True
        wanted = _wanted(upload)
        found = None if wanted is None else _measured(*wanted)
    if found is not None:
        _draw(found)


def _wanted(upload: Any) -> tuple[str, Rollouts] | None:
    """What is to be measured, with its id; None while there is nothing."""
    try:
        if upload is not None:
            data = upload.getvalue()
            return hashlib.sha256(data).hexdigest(), rollouts_from_bytes(data, upload.name)
        if st.session_state.get(state.ROLLOUT_EXAMPLE):
            return "example", read_rollouts(EXAMPLE)
    except AnalysisError as problem:
        show_error(problem)
    return None


def _measured(digest: str, rollouts: Rollouts) -> RolloutMismatch | None:
    try:
        experiment = runs.Experiment(runs.OfModel(model_spec(), digest), "rollouts")
    except AnalysisError as problem:
        show_error(problem)
        return None

    def compute(model: LanguageModel, job: Job) -> RolloutMismatch:
        from analysis.comparison.rollout_run import compare_rollouts

        return compare_rollouts(model, rollouts, on_progress=job.report)

    job = runs.find(experiment) or try_submit(runs.submit_experiment, experiment, compute)
    result: RolloutMismatch | None = None if job is None else outcome(job, (200,))
    return result


def _draw(found: RolloutMismatch) -> None:
    unit, summary = state.unit(), found.summary()
    for note in found.notes:
        st.caption(plain(note))
    with st.container(border=True, key="panel_rollout_summary"):
        st.markdown(f"**{count(len(found))} tokens of {count(len(found.lengths))} sequences**")
        shown = summary.assign(
            value=[significant(value) for value in summary["value"]],
            error=["" if error != error else f"± {significant(error)}" for error in summary["error"]],
        )
        st.dataframe(shown, hide_index=True, key="rollout_summary", height="content")
    _card(
        found, "rollout_ratios", "Log-ratio of every token", "model over engine",
        "At 0 both agree. Dashed: where ratios are truncated.", lambda: found.to_frame(unit),
    )  # fmt: skip
    _card(
        found, "rollout_entropy", "Mismatch against entropy", "where the model is unsure",
        "Each mark is a token; the line is the mean of equally many.", lambda: found.by_entropy(unit=unit),
    )  # fmt: skip
    _card(
        found, "rollout_sequences", "Whole sequences", "sum over the tokens",
        "Small differences add up over a sequence.", lambda: found.by_sequence(unit),
    )  # fmt: skip


def _card(
    found: RolloutMismatch, name: str, title: str, phrase: str, said: str, table: Callable[[], pd.DataFrame]
) -> None:
    """One picture, by its name among the figures."""
    unit, theme_name = state.unit(), state.theme_name()
    with altair_card(
        title,
        said,
        lambda: getattr(figures, name)(found, unit=unit, theme_name=theme_name),
        alt=title,
        name=name,
        phrase=phrase,
        spec=f"{found.name} · {found.model}",
        table=table,
        code=_CODE.format(name=name),
        more=explained.ENGINE,
    ) as draw:
        draw()


_CODE = (
    "import analysis as an\n\n"
    "model = an.load_model()\n"
    'found = an.compare_rollouts(model, an.read_rollouts("rollouts.jsonl"))\n'
    "an.figures.{name}(found)\n"
)
