"""Entropy collapse over layers."""

from __future__ import annotations

import streamlit as st


def over_layers() -> None:
    """Draw the view; being written."""
    st.caption("Over layers")
