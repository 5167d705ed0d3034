"""What a run checked about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import significant
from app.compute import requests as runs
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.results.trace import Check, Trace


def checks(trace: Trace) -> None:
    """What a person should know about this run, what it checked about itself, and how long it took."""
    info = runs.engine().model_slot.info
    for note in trace.notes:
        if info is None or note not in info.notes:  # those of the loaded model stand in the sidebar
            st.caption(f":material/info: {plain(note)}")
    with st.expander("Checks of this run"):
        for check in trace.checks:
            check_line(check)
        seconds = trace.seconds
        st.caption(
            f"Model body {significant(seconds['body'])} s · vocabulary head {significant(seconds['head'])} s · "
            + plain(", ".join(f"{name} {version}" for name, version in trace.versions.items()))
        )


def check_line(check: Check) -> None:
    """Draw one check: what should be equal, by how much it differs, how much is allowed."""
    mark = ":material/check:" if check.passed else ":material/close: failed:"
    st.caption(
        f"{mark} {plain(check.name)}: largest difference {plain(f'{check.error:.1e}')} {check.unit} "
        f"(allowed {plain(f'{check.tolerance:.0e}')})"
    )
