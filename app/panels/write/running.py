"""The writing on screen: what is held, what is being written, and how one becomes the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from analysis.models.spec import EMBEDDED, ModelSpec
from app import state
from app.compute import requests as runs
from app.compute import writing as jobs
from app.compute.job import Job
from app.widgets.model_choice import model_spec

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.writing.results import Prompt, Samplers, Writing
    from app.panels.write.request import WriteRequest

WHAT_IF_WAYS, WHAT_IF_TOKENS = 4, 16
EXAMPLE_WRITING = Path(__file__).resolve().parents[2] / "example.writing"


@st.cache_resource(show_spinner=False, max_entries=1)
def example_writing() -> Writing:
    """What the embedded model wrote to the first prompt of the form, stored with the app."""
    from analysis.writing.writing_file import load_writing

    return load_writing(EXAMPLE_WRITING)


def is_example() -> bool:
    """Whether nothing was written or opened yet."""
    return state.WRITING not in st.session_state


def shown_writing() -> Writing:
    """What is on screen while nothing is being written."""
    held: Writing = example_writing() if is_example() else st.session_state[state.WRITING]
    return held


def shown_branch() -> int:
    """Id of the branch on screen."""
    writing = shown_writing()
    chosen = st.session_state.get(state.BRANCH)
    return (
        chosen
        if chosen is not None and chosen < len(writing.branches)
        else 0
        if is_example()
        else writing.newest
    )


def show(writing: Writing, branch: int | None = None) -> None:
    """Put a writing on screen, and one of its branches: the newest by default."""
    st.session_state[state.WRITING] = writing
    choose_branch(writing.newest if branch is None else branch)


def choose_branch(branch: int) -> None:
    """Put a branch on screen."""
    if branch != st.session_state.get(state.BRANCH):
        st.session_state.pop(state.WRITTEN_TOKEN, None)
    st.session_state[state.BRANCH] = branch


def writer() -> ModelSpec:
    """The model that goes on with what is on screen: the one that wrote it, else the one that is chosen.

    Raises
    ------
    AnalysisError
        If it has to be chosen and is not.
    """
    held: ModelSpec | None = st.session_state.get(state.WRITER)
    if held is not None:
        return held
    if not is_example():
        return model_spec()
    try:
        spec = model_spec()
    except AnalysisError:
        return ModelSpec(EMBEDDED)
    return spec if spec.kind == EMBEDDED else ModelSpec(EMBEDDED)


def live_job() -> Job | None:
    """The job that writes now."""
    key = st.session_state.get(state.WRITING_JOB)
    job = runs.engine().worker.get(key) if key else None
    return job if job is not None and job.is_live else None


def take_finished() -> None:
    """Put on screen what a job has written that has ended since."""
    key = st.session_state.get(state.WRITING_JOB)
    if key is None or live_job() is not None:
        return
    del st.session_state[state.WRITING_JOB]
    job = jobs.take(key)
    written: jobs.Written | None = None if job is None else job.result or job.partial
    if job is not None and job.error is not None:
        st.session_state[state.WRITING_SAID] = job.error
    if written is None:
        return
    st.session_state[state.WRITE_MEMORY] = written.memory
    show(written.stopped(), written.branch)


def stop() -> None:
    """End what is being written; what there is stays."""
    job = live_job()
    if job is not None:
        runs.cancel(job.key)


def start(
    begin: jobs.Begin,
    n_new: int,
    *,
    spec: ModelSpec | None = None,
    of: int | None = None,
    ways: int = 1,
) -> AnalysisError | None:
    """Ask for text, or say why it is refused.

    Parameters
    ----------
    begin, n_new, of, ways
        As for :func:`app.compute.writing.submit_writing`.
    spec : ModelSpec, optional
        The model; the one that wrote what is on screen by default.
    """
    st.session_state.pop(state.WRITING_SAID, None)
    stop()
    try:
        spec = writer() if spec is None else spec
        job = jobs.submit_writing(spec, begin, n_new, of=of, ways=ways)
    except AnalysisError as refused:
        st.session_state[state.WRITING_SAID] = refused
        return refused
    st.session_state[state.WRITER] = spec
    st.session_state[state.WRITING_JOB] = job.key
    return None


def start_new(request: WriteRequest) -> None:
    """Write to the form's prompt: a new tree, or one more branch where the prompt is the one on screen."""
    _keep_what_there_is()
    before = None if is_example() else shown_writing()
    same_model = request.model == st.session_state.get(state.WRITER)

    def begin(model: LanguageModel, n: int, on_token: jobs.OnToken) -> Writing:
        from analysis.writing.write import branch, write

        prompt = _prompt(model, request)
        if before is None or not same_model or before.prompt.ids != prompt.ids:
            return write(
                model, prompt, n_new=n, samplers=request.samplers, stop=request.stop, on_token=on_token
            )
        sample = sum(b.parent is None for b in before.branches)
        return branch(
            model, before, at=len(prompt.ids), token=None, n_new=n, samplers=request.samplers,
            seed=request.samplers.seed, sample=sample, stop=request.stop, on_token=on_token,
        )  # fmt: skip

    start(begin, request.n_new, spec=request.model)


def _prompt(model: LanguageModel, request: WriteRequest) -> Prompt:
    from analysis.writing.chat import chat_prompt
    from analysis.writing.prompt import plain_prompt

    if isinstance(request.prompt, str):
        return plain_prompt(model, request.prompt)
    return chat_prompt(model, request.prompt, thinking=request.thinking)


def _keep_what_there_is() -> None:
    """End what is being written, and put what there is of it on screen."""
    job = live_job()
    if job is None or job.partial is None:
        return
    stop()
    written: jobs.Written = job.partial
    show(written.stopped(), written.branch)


def start_branch(at: int, token: str | int | None, samplers: Samplers, n_new: int) -> None:
    """Go another way from a place of the branch on screen: with a token, a typed word, or what is drawn.

    Parameters
    ----------
    at : int
        Position in the path of the first token that is another.
    token : str, int or None
        As for :func:`analysis.branch`.
    samplers : Samplers
        How the tokens after it are chosen.
    n_new : int
        Tokens, at most.
    """
    writing, of = shown_writing(), shown_branch()
    sample = len(writing.branches) if token is None else writing.branches[of].sample

    def begin(model: LanguageModel, n: int, on_token: jobs.OnToken) -> Writing:
        from analysis.writing.write import branch

        return branch(
            model, writing, at=at, token=token, of=of, n_new=n, samplers=samplers, seed=samplers.seed,
            sample=sample, on_token=on_token,
        )  # fmt: skip

    start(begin, n_new)


def start_more(n_new: int) -> None:
    """Go on where the branch on screen ends."""
    writing, of = shown_writing(), shown_branch()

    def begin(model: LanguageModel, n: int, on_token: jobs.OnToken) -> Writing:
        from analysis.writing.write import go_on

        return go_on(model, writing, of=of, n_new=n, on_token=on_token)

    start(begin, n_new, of=of)


def start_what_if(at: int) -> None:
    """Go on with every first choice at a place of the branch on screen."""
    writing, of = shown_writing(), shown_branch()

    def begin(model: LanguageModel, n: int, on_token: jobs.OnToken) -> Writing:
        from analysis.writing.write import what_if

        return what_if(model, writing, at=at, of=of, k=WHAT_IF_WAYS, n_new=n, on_token=on_token)

    start(begin, WHAT_IF_TOKENS, ways=WHAT_IF_WAYS)


def start_answers(request: WriteRequest, n: int) -> None:
    """Write many answers to the form's prompt, side by side: a new tree; without a sampler at temperature 1."""
    samplers = request.samplers
    if not samplers.steps:
        samplers = replace(samplers, steps=(("temperature", 1.0),))

    def begin(model: LanguageModel, n_new: int, on_token: jobs.OnToken) -> Writing:
        from analysis.writing.samples import write_samples

        return write_samples(
            model, _prompt(model, request), n=n, n_new=n_new, samplers=samplers, stop=request.stop,
            on_token=on_token,
        ).writing  # fmt: skip

    start(begin, request.n_new, spec=request.model, ways=n)


def change(writing: Writing, branch: int) -> None:
    """Put an edited writing on screen; what is stored with the app is never changed."""
    if is_example():
        st.session_state[state.WRITER] = writer()
    show(writing, branch)
