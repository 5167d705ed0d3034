"""The vision-language model to ask, its device and precision. Every choice is in the URL."""

from __future__ import annotations

import streamlit as st

from analysis.paths import clean_path
from app import state
from app.compute import requests as runs
from app.compute.looking import SHIPPED, VisionSpec, vision_slot
from app.widgets.model_choice import device_and_precision
from app.widgets.plain import plain

NAME = "Scenes-2.4M"
"""What the shipped model is called in the bar."""
FAMILIES = (
    "LLaVA-1.5, NeXT and OneVision, SmolVLM and Idefics3, Qwen2-VL to Qwen3-VL, Gemma 3, InternVL, PaliGemma"
)


def vision_spec() -> VisionSpec:
    """The chosen model."""
    name = clean_path(st.session_state.get(state.LOOK_MODEL) or st.query_params.get(state.LOOK_MODEL) or "")
    device = st.session_state.get(state.DEVICE, "auto")
    return VisionSpec(name or SHIPPED, device, st.session_state.get(state.PRECISION, "auto"))


def vision_label() -> str:
    """Name, precision and device, for the bar."""
    spec = vision_spec()
    name = NAME if spec.name == SHIPPED else spec.name.rstrip("/").rpartition("/")[2]
    said = " · ".join(dict.fromkeys((plain(spec.dtype), plain(spec.device))))
    return f"**{plain(name)}** {said}"


def vision_choice() -> None:
    """Draw the choice."""
    st.text_input(
        "Vision-language model",
        key=state.LOOK_MODEL,
        placeholder="the one that comes with the app",
        bind="query-params",
        persist_state="session",
        max_chars=500,
        help="A hub id such as org/name, or a local folder with safetensors weights.",
    )
    st.caption(
        "Empty: a small model that was trained on generated scenes, and knows nothing else. "
        f"Families that can be opened: {FAMILIES}."
    )
    device_and_precision()
    held = vision_slot().spec
    if held is not None:
        st.divider()
        st.caption("In memory")
        st.text(held.name or NAME)
        if runs.engine().model_slot.spec is not None:
            st.caption("The model that reads texts is in memory beside it; a large one takes its place.")
