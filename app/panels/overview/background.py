"""What the overview wants beside the run, computed once after it: attention between tokens, and what methods keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import estimate
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.panels.pruning_effects.eviction.sweep_request import compute, standard
from app.widgets.plain import plain
from app.widgets.run_status import finished_run, found_here, model_run, progress, try_submit

if TYPE_CHECKING:
    from analysis.attention_sinks.token_attention import TokenAttention
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace
    from app.compute.job import Job

AT_ONCE_SECONDS = 120
"""What is expected to take longer is computed only when a person asks for it."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Part:
    """Something that comes after the run, or why it is not there."""

    name: str
    value: Any = None
    job: Job | None = None
    """While it is computed."""
    why: str = ""
    start: Callable[[], Job] | None = None
    """Computes it when a person presses the button that stands in its place."""

    def in_its_place(self) -> None:
        """Draw what stands where it will be: how far it is, or why it is not there."""
        if self.job is not None:
            _watch(self.job.key, self.name)
        elif self.why:
            st.caption(plain(self.why))
            if self.start is not None:
                st.button("Compute", key=f"compute_{self.name}", on_click=_start, args=(self.start,))


def _start(submit: Callable[[], Job]) -> None:
    try_submit(submit)


@st.fragment(run_every=_POLL_SECONDS)
def _watch(key: str, name: str) -> None:
    """Progress, time left and cancel; redraws the page once when it ends."""
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key=f"watch_{name}"):
        progress(job)


def run_key(trace: Trace) -> str:
    """Id of the run on screen, for caches of what is made of it."""
    request = model_run()
    return request.key if request is not None else f"file/{trace.spec!r}"


def token_attention_of(trace: Trace) -> Part:
    """Attention between tokens in the run on screen; the value is a :class:`TokenAttention`."""

    def work(model: LanguageModel, job: Job) -> TokenAttention:
        from analysis.attention_sinks.token_attention import attention_between_tokens

        return attention_between_tokens(model, trace, on_progress=job.report)

    missing = _missing(trace)
    if missing:
        return Part("token_attention", why=missing)
    request = model_run()
    assert request is not None
    wanted = runs.Experiment(request, "token_attention")
    return _part("token_attention", wanted, lambda: runs.submit_experiment(wanted, work))


def lens_of(trace: Trace) -> Part:
    """The run with the lens: the one on screen, or the same text read once more; the value is a :class:`Trace`."""
    if trace.layers.lens_layers is not None:
        return Part("lens", trace)
    request = model_run()
    if request is None:
        return Part("lens", why="Not available: the opened file was made without the lens.")
    wanted = replace(request, lens_step=1)
    seconds = trace.seconds["body"] + trace.seconds["head"] * (trace.spec.n_layers + 2)
    return _part("lens", wanted, lambda: runs.submit(wanted), seconds)


def survival_of(trace: Trace) -> Part:
    """What methods keep of the text on screen; the value is a :class:`Survival`."""
    missing = _missing(trace)
    if missing:
        return Part("eviction", why=missing)
    request, sweep_request = model_run(), standard(trace)
    assert request is not None
    wanted, work = sweep_request.experiment(request), compute(sweep_request, request)
    found = _part(
        "eviction", wanted, lambda: runs.submit_experiment(wanted, work), sweep_request.seconds(trace)
    )
    if found.value is None:
        return found
    reduced = _survival(wanted.key, found.value, trace)
    if isinstance(reduced, str):
        return Part(found.name, why=reduced)
    return Part(found.name, reduced)


@st.cache_resource(show_spinner=False, max_entries=4)
def _survival(key: str, _sweep: Sweep, _trace: Trace) -> Survival | str:  # noqa: ARG001 - what it is kept under
    """The sweep reduced to single tokens, or why that cannot be; once per sweep."""
    from analysis.pruning_effects.eviction.survival import is_cut_from, survival

    if not is_cut_from(_sweep, _trace.tokens):
        return "The text alone becomes other tokens than in one piece, so its tokens cannot be followed."
    try:
        return survival(_sweep)
    except ValueError:
        return " ".join(["No method could be run.", *dict.fromkeys(_sweep.skipped.values())])


def _missing(trace: Trace) -> str:
    """Why nothing can be computed about the run on screen; empty where it can."""
    if finished_run() is None:
        return "It comes with the first run."
    if model_run() is None:
        return "Not available: an opened file has no model."
    if trace.attention is None:
        return f"Not available: {trace.unavailable.get('attention', 'the run did not measure attention.')}"
    return ""


def _part(
    name: str, wanted: runs.RunRequest | runs.Experiment, submit: Callable[[], Job], seconds: float = 0.0
) -> Part:
    """Something as it stands; it is asked for where nobody did and it is cheap."""

    def start() -> Job:
        job = submit()
        st.session_state.setdefault(state.BACKGROUND, set()).add(wanted.key)
        return job

    job = found_here(wanted)
    if job is None:
        if seconds > AT_ONCE_SECONDS:
            return Part(name, why=f"It takes {estimate(seconds)}.", start=start)
        try:
            job = start()
        except AnalysisError as refused:
            return Part(name, why=f"{refused.message} {refused.hint}")
    if job.is_live:
        return Part(name, job=job)
    if job.state == "done":
        return Part(name, job.result)
    if job.error is not None:
        return Part(name, why=f"Not available: {job.error.message} {job.error.hint}")
    return Part(name, why="It was cancelled.", start=start)
