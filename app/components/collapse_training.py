"""Entropy collapse over training."""

from __future__ import annotations

import streamlit as st


def over_training() -> None:
    """Draw the view; being written."""
    st.caption("Over training")
