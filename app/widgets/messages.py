"""Problems as a person sees them: what happened, what to do. Never rendered as Markdown."""

from __future__ import annotations

import streamlit as st

from analysis.errors import AnalysisError
from app.widgets.plain import plain


def show_error(error: AnalysisError) -> None:
    """Draw one problem with its hint."""
    st.error(f"{plain(error.message)}  \n{plain(error.hint)}", icon=":material/error:")


def show_unavailable(error: AnalysisError) -> None:
    """Draw something that could not be measured, with the reason, calmly."""
    st.caption(f"{plain(error.message)} {plain(error.hint)}")


def unavailable(what: str, reason: str) -> None:
    """Say in the place of a picture that it was not measured, and why."""
    with st.container(border=True):
        st.markdown(f"**{plain(what)}: not available**")
        st.caption(plain(reason))
