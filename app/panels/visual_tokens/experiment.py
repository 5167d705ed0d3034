"""A panel that runs something on the picture and the question on screen when a person asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app.compute import looking
from app.compute import requests as runs
from app.compute.looking import VisualExperiment
from app.panels.visual_tokens import running
from app.panels.visual_tokens.request import png_of
from app.widgets.messages import show_error, unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

Compute = Callable[["VisionModel", "Image", "Job"], Any]


def experiment(
    name: str,
    title: str,
    caption: str,
    button: str,
    controls: Callable[[], tuple[tuple[tuple[str, object], ...], Compute | None]],
    *,
    height: int,
    draw_partial: Callable[[Any], None] | None = None,
) -> Any:
    """Draw the panel; gives the result once there is one.

    Parameters
    ----------
    name, title, caption, button : str
        Unique short name, and what is drawn above the controls and on the button.
    controls : callable
        Draws the controls; gives what decides the result, and the work, or None while something is missing.
    height : int
        Place held for the result, in pixels.
    draw_partial : callable, optional
        Draws what there is so far.
    """
    request = running.request_shown()
    if request is None:
        unavailable(title, "An opened file has no model. Ask the question again with Run.")
        return None
    with st.container(border=True, key=f"panel_{name}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="content")
            st.caption(caption, width="stretch")
        with st.container(key=f"{name}_controls", horizontal=True, vertical_alignment="bottom", gap="small"):
            options, compute = controls()
            asked = pressed(button, key=f"{name}_button", disabled=compute is None)
        wanted = VisualExperiment(request, name, options)
        job = _start(wanted, compute) if asked and compute is not None else runs.find(wanted)
        return None if job is None else outcome(job, (height,), draw_partial)


def _start(wanted: VisualExperiment, compute: Compute) -> Job | None:
    try:
        png = png_of(wanted.of)
    except AnalysisError as gone:
        show_error(gone)
        return None
    return try_submit(looking.submit_experiment, wanted, png, compute)
