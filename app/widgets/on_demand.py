"""A panel that computes something about the run on screen when a person asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.compute import requests as runs
from app.widgets.layout import side_by_side
from app.widgets.pressed import pressed
from app.widgets.run_status import model_run_or_none, outcome, try_submit

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from app.compute.job import Job


@dataclass(frozen=True)
class Wanted:
    """What the controls of a panel ask for."""

    compute: Callable[[LanguageModel, Job], Any] | None
    """The work; None while something is missing."""
    draw: Callable[[Any], None]
    """Draws the result."""
    options: tuple[tuple[str, object], ...] = ()
    """Everything beside the run that decides the result; plain values."""
    draw_partial: Callable[[Any], None] | None = None
    """Draws what there is so far, while it is computed."""
    missing: str = ""
    """What to say when the button is pressed and something is missing; without it the button is off."""


def on_demand(
    name: str,
    title: str,
    caption: str,
    button: str,
    controls: Callable[..., Wanted | None],
    *,
    widths: list[float] | int,
    height: int,
    why: str = "An opened file has no model.",
    stretch: bool = True,
) -> None:
    """Draw the panel: what it is, its controls, its button, and the result once there is one.

    Parameters
    ----------
    name : str
        Unique short name of the experiment, for keys.
    title, caption, button : str
        What is drawn above the controls and on the button.
    controls : callable
        Called with the request of the run on screen and a column for each control; gives what is asked
        for, or None where there is nothing to ask, after saying why.
    widths : list of float, or int
        Of the columns; the button is in the last one. A number stands for so many places under each other.
    height : int
        Place held for the result, in pixels.
    why : str
        What to say in the panel's place for an opened file, which has no model.
    stretch : bool
        Whether the button is as wide as its column.
    """
    request = model_run_or_none(title, why)
    if request is None:
        return
    with st.container(border=True, key=f"panel_{name}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="content")
            st.caption(caption, width="stretch")
        *places, last = (
            [st.container() for _ in range(widths)]
            if isinstance(widths, int)
            else side_by_side(f"controls_{name}", widths, "bottom")
        )
        wanted = controls(request, *places)
        if wanted is None:
            return
        wants_it = pressed(
            button,
            key=f"{name}_button",
            place=last,
            width="stretch" if stretch else "content",
            disabled=wanted.compute is None and not wanted.missing,
        )
        if wanted.compute is None:
            if wants_it:
                st.caption(wanted.missing)
            return
        experiment = runs.Experiment(request, name, wanted.options)
        job = (
            try_submit(runs.submit_experiment, experiment, wanted.compute)
            if wants_it
            else runs.find(experiment)
        )
        result = None if job is None else outcome(job, (height,), wanted.draw_partial)
    if result is not None:
        wanted.draw(result)
