"""Live lab."""

from __future__ import annotations

import streamlit as st


def backcopy() -> None:
    """Draw the lab; being written."""
    st.caption("backcopy")
