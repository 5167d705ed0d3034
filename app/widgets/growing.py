"""A picture that grows with its job, beside the job's progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.compute import requests as runs

_POLL_SECONDS = 0.5


@st.fragment(run_every=_POLL_SECONDS)
def growing(key: str, draw: Callable[[Any], None], before: Callable[[], None]) -> None:
    """Draw what a job has shown so far.

    The page is redrawn at its end by what draws the progress, see :func:`app.widgets.run_status.outcome`.

    Parameters
    ----------
    key : str
        Of the job.
    draw : callable
        Draws a partial result.
    before : callable
        Draws what stands there until the first one comes.
    """
    job = runs.engine().worker.get(key)
    if job is not None and job.partial is not None:
        draw(job.partial)
    else:
        before()
