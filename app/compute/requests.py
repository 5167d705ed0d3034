"""Spec to result: the one place with caches.

A request is a frozen value; its key is made of ids and hashes, never of arrays. The
worker computes each key once for all browser sessions and keeps the newest results.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import streamlit as st

from analysis.errors import AnalysisError
from analysis.models.spec import ModelSpec
from analysis.models.tokenization import Bos
from app.compute.job import Job
from app.compute.model_slot import ModelSlot
from app.compute.worker import Worker

if TYPE_CHECKING:
    from analysis.forward.plan import Plan
    from analysis.models.loading import LanguageModel
    from analysis.progress import Progress
    from analysis.results.trace import Trace
    from analysis.token_entropy.samplers import SamplerView

MAX_RESULTS = 16
"""Finished runs kept for all sessions together."""
MAX_SMALL_RESULTS = 512
"""Sampler panels and estimates kept."""
PATIENCE_SECONDS = 2.0
"""How long a page waits for a small job before it says that the device is busy."""
LENS_IF_CHEAP = -1
"""As a step of the lens: every layer where that is expected to take at most :data:`LENS_SECONDS`, else none."""
LENS_SECONDS = 15.0


@dataclass(frozen=True)
class RunRequest:
    """Everything that decides a run's numbers."""

    model: ModelSpec
    text: str
    bos: Bos = "auto"
    parse_special: bool = True
    stride: int | None = None
    """Windows this far apart; None refuses a text beyond the model's context."""
    lens_step: int = 0
    """Logit lens at every n-th layer; 0 for none, or :data:`LENS_IF_CHEAP`."""
    all_spectra: bool = False
    """Spectra of queries, keys and values too, and of states however long it takes."""

    @property
    def key(self) -> str:
        """Id of the run: model, its fingerprint, a hash of the text, and options."""
        values = asdict(self) | {"text": hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()}
        values["fingerprint"] = self.model.fingerprint()
        return "run/" + hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Engine:
    """The worker and the model it owns."""

    worker: Worker
    model_slot: ModelSlot


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda engine: engine.worker.close())
def engine() -> Engine:
    """One engine for all sessions of the server."""
    return Engine(Worker(keep=MAX_RESULTS), ModelSlot())


@st.cache_resource(
    scope="session",
    show_spinner=False,
    max_entries=1,
    on_release=lambda tab: engine().worker.drop_owner(tab),
)
def owner() -> str:
    """Id of this browser tab; its jobs are dropped when it closes."""
    return uuid.uuid4().hex


def private() -> str:
    """How keys of jobs begin whose results go with this tab, such as those about a person's picture."""
    return Worker.own_keys(owner())


def submit(request: RunRequest) -> Job:
    """Ask for a run; the same request is computed once."""
    model_slot = engine().model_slot

    def work(job: Job) -> Trace:
        return run_of(request, model_slot.get(request.model, job.report), job.report)

    return engine().worker.submit(request.key, work, owner=owner())


def run_of(request: RunRequest, model: LanguageModel, report: Progress) -> Trace:
    """Read the text of a request; for work in the worker."""
    from analysis.forward.trace import trace

    return trace(
        model,
        request.text,
        lens=_lens(request, model),
        bos=request.bos,
        parse_special=request.parse_special,
        stride=request.stride,
        spectra=["states", "query", "key", "value"] if request.all_spectra else True,
        on_progress=report,
    )


def _lens(request: RunRequest, model: LanguageModel) -> bool | list[int]:
    """Layers of the lens of a run, as :func:`analysis.trace` takes them."""
    step, n_layers = request.lens_step, model.info.n_layers
    if step > 0:
        return list(range(n_layers, -1, -step))
    if step == 0:
        return False
    from analysis.forward.plan import plan_run

    n = _n_tokens(request, model)
    window = model.info.context_length if request.stride else None
    with_lens, without = (
        plan_run(model, n, n_lens=n_lens, window=window, stride=request.stride)
        for n_lens in (n_layers + 1, 0)
    )
    return with_lens.fits and with_lens.seconds - without.seconds <= LENS_SECONDS


def _n_tokens(request: RunRequest, model: LanguageModel) -> int:
    from analysis.models.tokenization import encode

    return len(encode(model.tokenizer, request.text, bos=request.bos, parse_special=request.parse_special))


@dataclass(frozen=True)
class OfModel:
    """What an experiment is about that is no run of a text: the model, and whatever else, such as a written path."""

    model: ModelSpec
    of: str = ""
    """Id of the rest."""

    @property
    def key(self) -> str:
        """Id of both."""
        values = asdict(self) | {"fingerprint": self.model.fingerprint()}
        return "model/" + hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Experiment:
    """Something computed on demand about a finished run, or about a model."""

    run: RunRequest | OfModel
    name: str
    options: tuple[tuple[str, object], ...] = ()
    """Everything else that decides the result; plain values."""

    @property
    def key(self) -> str:
        """Id of the experiment."""
        options = json.dumps(self.options, sort_keys=True, default=str)
        return f"{self.name}/{self.run.key}/{hashlib.sha256(options.encode()).hexdigest()[:32]}"


def submit_experiment(experiment: Experiment, compute: Callable[[LanguageModel, Job], object]) -> Job:
    """Ask for an experiment; the same one is computed once. Raises AnalysisError when the queue is full."""
    model_slot = engine().model_slot

    def work(job: Job) -> object:
        return compute(model_slot.get(experiment.run.model, job.report), job)

    return engine().worker.submit(experiment.key, work, owner=owner())


@dataclass(frozen=True)
class Calculation:
    """Something computed without the loaded model: a lab run, a log that is read."""

    name: str
    options: tuple[tuple[str, object], ...] = ()
    """Everything that decides the result; plain values."""

    @property
    def key(self) -> str:
        """Id of the calculation."""
        options = json.dumps(self.options, sort_keys=True, default=str)
        return f"{self.name}/{hashlib.sha256(options.encode()).hexdigest()[:32]}"


def submit_calculation(calculation: Calculation, compute: Callable[[Job], object]) -> Job:
    """Ask for a calculation; the same one is computed once. Raises AnalysisError when the queue is full."""
    return engine().worker.submit(calculation.key, compute, owner=owner())


def cancel(key: str) -> None:
    """Stop waiting for a run; it stops when nobody else waits for it."""
    engine().worker.cancel(key, owner())


class Keyed(Protocol):
    """What can be asked for: its key is made of everything that decides the result."""

    @property
    def key(self) -> str:
        """Id of it."""


def find(request: Keyed) -> Job | None:
    """The job of a request, if it was asked for and not dropped since."""
    return engine().worker.get(request.key)


class DeviceBusyError(AnalysisError):
    """A small question has to wait for a run."""


def answer(key: str, work: object) -> object:
    """Answer a small question through the worker, or say that it is busy."""
    worker = engine().worker
    job = worker.submit(key, work, owner=owner())  # type: ignore[arg-type]
    job.wait(PATIENCE_SECONDS)
    if job.is_live:
        worker.cancel(key, owner())
        raise DeviceBusyError("The device is busy with a run.", "This fills in when the run is done.")
    worker.forget(lambda j: j.key == key)
    if job.error is not None:
        raise job.error
    if job.state != "done":  # dropped while it waited, for example with the tab that asked first
        raise DeviceBusyError("The request was dropped.", "Try again.")
    return job.result


@st.cache_data(max_entries=MAX_SMALL_RESULTS, show_spinner=False)
def samplers(run_key: str, position: int, _trace: Trace) -> SamplerView:
    """What samplers keep at one token of a run, and in which order two of them choose.

    Raises
    ------
    AnalysisError
        If the device is busy, or the model of the run is not the one loaded.
    """
    model_slot = engine().model_slot

    def work(_job: Job) -> SamplerView:
        from analysis.token_entropy.samplers import sampler_view

        spec = model_slot.spec
        if spec is None:
            raise AnalysisError("Not available: no model is loaded.", "Run the text again to load it.")
        return sampler_view(model_slot.get(spec, _job.report), _trace, position)

    return answer(f"samplers/{run_key}/{position}", work)  # type: ignore[return-value]


@st.cache_data(max_entries=MAX_SMALL_RESULTS, show_spinner=False)
def estimate(key: str, n_lens: int, _request: RunRequest) -> Plan:
    """Price of a run on the loaded model.

    Raises
    ------
    AnalysisError
        If the text cannot be read, the device is busy, or another model is loaded.
    """
    model_slot = engine().model_slot

    def work(_job: Job) -> Plan:
        from analysis.forward.plan import plan_run

        if model_slot.spec != _request.model:
            raise AnalysisError("Not available: the model is not loaded yet.", "The first run loads it.")
        model = model_slot.get(_request.model, _job.report)
        window = model.info.context_length if _request.stride else None
        return plan_run(
            model, _n_tokens(_request, model), n_lens=n_lens, window=window, stride=_request.stride
        )

    return answer(f"estimate/{key}/{n_lens}", work)  # type: ignore[return-value]


def unload() -> None:
    """Drop the loaded model once the queue before it is done."""

    def work(_job: Job) -> None:
        engine().model_slot.unload()

    engine().worker.forget(lambda job: job.key == "unload")
    engine().worker.submit("unload", work, owner=owner()).wait(PATIENCE_SECONDS)
