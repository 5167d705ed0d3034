"""Runs that still go: their logs read again when they have changed, and a threshold for their entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.panels.entropy_collapse.training import help as explained
from app.panels.entropy_collapse.training.sources import Source, read_again
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.logs.follow import News, Stamp
    from analysis.entropy_collapse.training.results import TrainingCurve

_OFF = "off"
_SECONDS = {_OFF: None, "5 s": 5, "15 s": 15, "60 s": 60}


def is_following() -> bool:
    """Whether logs are looked at again and again."""
    return st.session_state.get(state.LOG_EVERY, _OFF) != _OFF


def follow(
    sources: Sequence[Source], stamps: Mapping[str, Stamp], news: Mapping[str, Sequence[News]]
) -> None:
    """Draw how runs are followed, and what has come.

    Parameters
    ----------
    sources : sequence of Source
        Everything on the page. Only what lies under its own path can change.
    stamps : mapping of str to Stamp
        By source: the files as they were when they were read.
    news : mapping of str to sequence of News
        By source: what the last reading found that the one before had not.
    """
    there = [source for source in sources if source.kind == "path"]
    with st.expander("Follow a run that is not finished", key="training_follow"):
        st.segmented_control(
            "Check for new rows", [*_SECONDS], default=_OFF, required=True, key=state.LOG_EVERY, disabled=not there,
            help="A log is read again when its file has changed, and only then.",
        )  # fmt: skip
        st.button(
            "Read again", icon=":material/refresh:", disabled=not there, key="training_reread", on_click=read_again,
            args=([source.id for source in there],),
        )  # fmt: skip
        st.number_input(
            "Say when entropy is under (nats)", min_value=0.0001, value=None, step=0.01, format="%.4f",
            key=state.ENTROPY_UNDER, placeholder="no threshold", help=explained.UNDER,
        )  # fmt: skip
        if len(there) < len(sources):
            st.caption(
                "Uploads and examples are copies and cannot be followed: name a file on this machine for that."
            )
        for source in there:
            for item in news.get(source.id, ()):
                st.caption(f"**{plain(item.run)}**: {plain(item.which)}")
    if there and is_following():
        st.fragment(run_every=_SECONDS[st.session_state[state.LOG_EVERY]])(_check_files)(there, stamps)


def _check_files(sources: Sequence[Source], stamps: Mapping[str, Stamp]) -> None:
    """Ask for a new reading of every log whose files have changed since they were last looked at."""
    from analysis.entropy_collapse.training.logs.follow import stamp_of

    seen: dict[str, Stamp] = st.session_state.setdefault(state.LOG_SEEN, {})
    changed = []
    for source in sources:
        try:
            now = stamp_of(source.path)
        except AnalysisError:
            continue  # gone for the moment: what was read stays
        if now != seen.get(source.id, stamps.get(source.id, ())):
            changed.append(source.id)
        seen[source.id] = now
    if changed:
        read_again(changed)
        st.rerun()


def say_threshold(curves: Sequence[TrainingCurve]) -> float | None:
    """Say which runs are under the threshold; the threshold in nats, or None."""
    from analysis.entropy_collapse.threshold import watch

    threshold: float | None = st.session_state.get(state.ENTROPY_UNDER)
    if threshold is None:
        return None
    others = []
    for curve in curves:
        try:
            found = watch(curve, threshold)
        except AnalysisError as error:
            others.append(f"**{plain(curve.name)}**: not compared. {plain(str(error))}")
            continue
        if found.since is not None:
            st.warning(f"**{plain(curve.name)}**: {plain(found.which)}", icon=":material/trending_down:")
        else:
            others.append(f"**{plain(curve.name)}**: {plain(found.which)}")
    if others:
        st.caption("  \n".join(others))
    return threshold
