"""Live lab."""

from __future__ import annotations

import streamlit as st


def four_squares() -> None:
    """Draw the lab; being written."""
    st.caption("four_squares")
