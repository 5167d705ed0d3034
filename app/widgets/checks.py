"""What a run checked about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.results.trace import Check, Trace


def checks(trace: Trace) -> None:
    """Behind one word in the run bar: what a person should know about this run, and what it checked about itself."""
    seconds = trace.seconds
    with checks_popover(trace.checks, trace.notes, trace.spec.subtitle, "What this run checked about itself"):
        st.caption(
            f"Model body {significant(seconds['body'])} s · vocabulary head {significant(seconds['head'])} s · "
            + plain(", ".join(f"{name} {version}" for name, version in trace.versions.items()))
        )


def checks_popover(found: Sequence[Check], notes: Sequence[str], what: str, tip: str) -> Any:
    """Draw checks and notes behind one word; gives the place under them.

    Parameters
    ----------
    found, notes
        The checks, and what a person should know.
    what, tip : str
        What was checked, and a sentence for those who point at the word.
    """
    passed = all(check.passed for check in found)
    label = ":green[:material/check:] checks" if passed else ":red[:material/close:] checks"
    place = st.popover(label, type="tertiary", key="run_checks", help=tip)
    with place:
        st.caption(plain(what))
        for note in notes:
            st.caption(f":material/info: {plain(note)}")
        for check in found:
            check_line(check)
    return place


def check_line(check: Check) -> None:
    """Draw one check: what should be equal, by how much it differs, how much is allowed."""
    mark = ":material/check:" if check.passed else ":material/close: failed:"
    st.caption(
        f"{mark} {plain(check.name)}: largest difference {plain(f'{check.error:.1e}')} {check.unit} "
        f"(allowed {plain(f'{check.tolerance:.0e}')})"
    )
