"""Sidebar: under the pages the unit of information, and what is loaded."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, size
from analysis.units import UNITS
from app import state
from app.choice import choose
from app.compute import requests as runs
from app.widgets.plain import plain


def sidebar() -> None:
    """Draw the sidebar."""
    with st.sidebar:
        choose(
            "Unit", UNITS, key=state.UNIT, help="Information in natural or binary units: 1 nat = 1.443 bits."
        )
        info = runs.engine().model_slot.info
        with st.container(key="loaded"):
            if info is not None:
                st.caption(
                    f"{plain(info.name)}  \n{count(info.n_parameters)} parameters  \n"
                    f"{size(info.bytes_held)} · {info.n_layers} layers  \n{info.precision} · {plain(info.device_name)}"
                )
