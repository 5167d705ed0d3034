"""Which columns of a log are drawn: what the rules chose, and the choice by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.compute import requests as runs
from app.panels.entropy_collapse.training.sources import Source, version
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.results import TrainingCurve

_BY_RULE = "by rule"


@dataclass(frozen=True)
class Columns:
    """What a person chose for one log; None leaves it to the rules."""

    entropy: str | None = None
    reward: str | None = None
    step: str | None = None
    meaning: str | None = None
    temperature: float | None = None

    def options(self) -> dict[str, Any]:
        """Arguments for the reader."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def columns_of(source: Source) -> Columns:
    """The choice for a source."""
    chosen: Columns = st.session_state.setdefault(state.LOG_COLUMNS, {}).get(source.id, Columns())
    return chosen


def calculation_of(source: Source, *, again: bool = True) -> runs.Calculation:
    """The reading of a source with its columns; without ``again`` the first of all its explained."""
    own = (("source", source.id), ("path", source.path), ("columns", columns_of(source)))
    return runs.Calculation("log", (*own, ("version", version(source) if again else 0)))


def choose_columns(by_source: dict[Source, list[TrainingCurve]], curves: list[TrainingCurve]) -> None:
    """Draw what was read from where, and the form to read other columns of what was opened."""
    with st.container(border=True, key="panel_columns"):
        st.markdown("**What was read**")
        if curves:
            st.dataframe(_summary(curves), hide_index=True, key="training_summary")
        for curve in curves:
            for note in curve.notes:
                st.caption(f"**{plain(curve.name)}**: {plain(note)}")
        known = {source: _candidates(source, found) for source, found in by_source.items()}
        known = {source: keys for source, keys in known.items() if keys}
        if known:
            failed = any(not by_source[source] for source in known)
            with st.expander("Choose other columns", expanded=failed, icon=":material/tune:"):
                _form(known, by_source)


def _summary(curves: list[TrainingCurve]) -> Any:
    import pandas as pd

    return pd.DataFrame(
        {
            "run": [c.name for c in curves],
            "rows": [len(c) for c in curves],
            "last step": [float(c.step[-1]) for c in curves],
            "entropy from": [c.chosen.get("entropy", "") for c in curves],
            "it is": [c.kind for c in curves],
            "scaling": [c.scaling or "not known" for c in curves],
            "T": ["not known" if c.temperature is None else f"{c.temperature:g}" for c in curves],
            "reward from": [c.chosen.get("reward", "not available") for c in curves],
            "step from": [c.chosen["step"] for c in curves],
            "held-out rows": [len(c.evaluation) if c.evaluation else 0 for c in curves],
            "format": [c.source for c in curves],
        }
    )


def _candidates(source: Source, curves: list[TrainingCurve]) -> tuple[str, ...]:
    """Keys of a log; also of one that could not be read for want of the right one."""
    if curves:
        return tuple(dict.fromkeys(key for curve in curves for key in curve.candidates))
    job = runs.find(calculation_of(source))
    return tuple(getattr(job.error, "candidates", ())) if job is not None else ()


def _form(known: dict[Source, tuple[str, ...]], by_source: dict[Source, list[TrainingCurve]]) -> None:
    from analysis.entropy_collapse.training.results import MEANINGS

    names = {source.id: source.name for source in known}
    source_id = st.selectbox("Log", [*names], format_func=lambda i: names.get(i, ""), key="training_log")
    source = next((s for s in known if s.id == source_id), next(iter(known)))
    own, curves = columns_of(source), by_source[source]
    keys = [_BY_RULE, *known[source]]

    def pick(place: Any, label: str, options: list[str], value: str | None, help_text: str) -> str | None:
        index = options.index(value) if value in options else 0
        got = place.selectbox(label, options, index, key=f"column_{label}_{source.id}", help=help_text)
        return None if got == _BY_RULE else got

    with st.form(f"columns_{source.id}", border=False):
        chosen = curves[0].chosen if curves else {}
        places = side_by_side("controls_columns", 5, "bottom")
        entropy = pick(places[0], "Entropy", keys, own.entropy, f"By rule: {chosen.get('entropy', 'none')}.")
        reward = pick(places[1], "Reward", keys, own.reward, f"By rule: {chosen.get('reward', 'none')}.")
        step = pick(places[2], "Step", keys, own.step, f"By rule: {chosen.get('step', 'none')}.")
        meaning = pick(
            places[3],
            "The entropy is",
            [_BY_RULE, *MEANINGS],
            own.meaning,
            "A mean over tokens and a sum over each answer are never drawn on one axis.",
        )
        temperature = places[4].number_input(
            "Temperature",
            0.01,
            100.0,
            own.temperature,
            key=f"column_temperature_{source.id}",
            placeholder="not known",
            help="Sampling temperature. Logs do not contain it; it is kept with the curve.",
        )
        if st.form_submit_button("Read these columns"):
            st.session_state[state.LOG_COLUMNS][source.id] = Columns(
                entropy, reward, step, meaning, temperature
            )
            st.rerun()
