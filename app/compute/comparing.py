"""Comparing through the worker: what a person changed about a run becomes side B; A's run is not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from analysis.models.spec import ModelSpec
from app.compute import requests as runs
from app.compute.job import Job

if TYPE_CHECKING:
    from analysis.comparison.plan import ComparisonPlan
    from analysis.comparison.results import Comparison
    from analysis.comparison.sides import Side
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace


@dataclass(frozen=True)
class Change:
    """What is different on side B."""

    kind: str
    """One of :data:`KINDS`."""
    options: tuple[tuple[str, object], ...] = ()
    """What decides it; plain values."""


@dataclass(frozen=True)
class CompareRequest:
    """A run and what is changed about it: everything that decides a comparison."""

    run: runs.RunRequest | None
    """Side A; None for a run that was opened from a file."""
    change: Change
    opened: str = ""
    """Id of the opened run, see :func:`id_of`."""

    @property
    def key(self) -> str:
        """Id of the comparison."""
        values = [self.run.key if self.run else self.opened, self.change.kind, self.change.options]
        fingerprint = (
            ModelSpec(**_model_options(self.change)).fingerprint() if self.change.kind == "model" else ""
        )
        content = json.dumps([*values, fingerprint], sort_keys=True, default=str)
        return "compare/" + hashlib.sha256(content.encode()).hexdigest()[:32]


def id_of(trace: Trace) -> str:
    """Id of a run that was opened from a file."""
    content = trace.spec, trace.tokens.surprisal.tobytes(), trace.tokens.token_id.tobytes()
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


def submit_comparison(request: CompareRequest, *, a: Trace | None = None, b: Trace | None = None) -> Job:
    """Ask for a comparison; the same one is computed once.

    Parameters
    ----------
    request : CompareRequest
        What is compared.
    a : Trace, optional
        The run of side A, where the page has it; else the worker's result of the same request, or a run made now.
    b : Trace, optional
        The opened run of a change of the kind "file".

    Returns
    -------
    Job
        Its result is a :class:`~analysis.comparison.results.Comparison`. The second model is dropped at the end; the
        first one stays loaded, whatever happens, but where the two do not fit into the memory together: then it is
        dropped for the second, and loaded again when it is asked for.

    Raises
    ------
    AnalysisError
        When the queue is full.
    """

    def work(job: Job) -> Comparison:
        from analysis.comparison.compare import compare

        one, other, report = _sides(request, a, b, job)
        one = _with_room(one, other)
        return compare(one, other, on_progress=report)

    return runs.engine().worker.submit(request.key, work, owner=runs.owner())


def estimate_comparison(
    request: CompareRequest, *, a: Trace | None = None, b: Trace | None = None
) -> ComparisonPlan:
    """Price of a comparison with the loaded model.

    Raises
    ------
    AnalysisError
        If a text cannot be read, the device is busy, or another model is loaded.
    """
    return _estimate(request.key, request, a, b)


@st.cache_data(max_entries=runs.MAX_SMALL_RESULTS, show_spinner=False)
def _estimate(key: str, _request: CompareRequest, _a: Trace | None, _b: Trace | None) -> ComparisonPlan:
    slot = runs.engine().model_slot

    def work(_job: Job) -> ComparisonPlan:
        from analysis.comparison.plan import plan_comparison
        from analysis.comparison.sides import Side

        model = None
        if _request.run is not None:
            if slot.spec != _request.run.model:
                raise AnalysisError("Not available: the model is not loaded yet.", "The first run loads it.")
            model = slot.get(_request.run.model, _job.report)
        run = _a or (_finished(_request.run) if _request.run is not None else None)
        one = _side_a(_request, model, run)
        return plan_comparison(one, Side(None, trace=_b) if _b is not None else side_b(_request.change, one))

    return runs.answer(f"estimate/{key}", work)  # type: ignore[return-value]


def _sides(
    request: CompareRequest, a: Trace | None, b: Trace | None, job: Job
) -> tuple[Side, Side, Callable[[float, str], None]]:
    """Both sides, and what reports the comparison; runs A first where there is no run of it."""
    from analysis.comparison.sides import Side
    from analysis.progress import part

    slot = runs.engine().model_slot
    report: Callable[[float, str], None] = job.report
    if request.run is not None:
        model: LanguageModel | None = slot.get(request.run.model, job.report)
        a = a or _finished(request.run)
        if a is None:
            a = runs.run_of(request.run, model, part(job.report, 0, 1, of=0.4, name="A"))  # type: ignore[arg-type]
            report = part(job.report, 0.4, 1, of=0.6)
    else:
        model = slot.get(slot.spec, job.report) if slot.spec is not None else None
    one = _side_a(request, model, a)
    if request.change.kind == "file":
        if b is None:
            raise AnalysisError("The file of side B is not there any more.", "Open it again.")
        return one, Side(None, trace=b), report
    return one, side_b(request.change, one), report


def _with_room(one: Side, other: Side) -> Side:
    """Side A by the name of its model where that must go for the second model; its run is there already."""
    from dataclasses import replace

    from analysis.comparison.plan import plan_comparison
    from analysis.models.loading import LanguageModel

    if not isinstance(one.model, LanguageModel) or one.trace is None or plan_comparison(one, other).fits:
        return one
    named = replace(one, model=one.model.spec)
    if not isinstance(other.model, ModelSpec) or not plan_comparison(named, other).fits_with(
        one.model.info.bytes_held
    ):
        return one
    runs.engine().model_slot.unload()
    return named


def _side_a(request: CompareRequest, model: LanguageModel | None, run: Trace | None) -> Side:
    from analysis.comparison.sides import Side

    if request.run is None:
        assert run is not None
        spec = run.spec
        before, text = run.text[: spec.n_before], run.text[spec.n_before :]
        asked = {
            "bos": spec.bos,
            "parse_special": spec.parse_special,
            "stride": spec.stride,
            "before": before,
        }
    else:
        text, of = request.run.text, request.run
        asked = {"bos": of.bos, "parse_special": of.parse_special, "stride": of.stride}
    return Side(model, text, trace=run, **asked)  # type: ignore[arg-type]


def _finished(request: runs.RunRequest) -> Trace | None:
    """The run of a request, if the worker has it."""
    job = runs.find(request)
    return job.result if job is not None and job.state == "done" else None


def side_b(change: Change, a: Side) -> Side:
    """Side B: side A with one thing changed.

    Parameters
    ----------
    change : Change
        Of any kind but "file".
    a : Side
        With the model that B begins with.

    Raises
    ------
    AnalysisError
        If there is no model to begin with, or what was chosen cannot be.
    """
    from dataclasses import replace

    plain = replace(a, trace=None) if a.model is not None else None
    options = dict(change.options)
    if change.kind == "model":
        other = ModelSpec(**_model_options(change))
        return replace(a, model=other, trace=None)
    if plain is None:
        raise AnalysisError(
            "The run was opened from a file, and no model is loaded that could read side B.",
            "Run a text first, or compare with another file or model.",
        )
    return KINDS[change.kind](plain, options)


def _model_options(change: Change) -> dict[str, Any]:
    return {name: value for name, value in change.options if value not in (None, "")}


def _changed(**fields: str) -> Callable[[Side, dict[str, Any]], Side]:
    """Takes fields of a side from options of these names."""

    def change(side: Side, options: dict[str, Any]) -> Side:
        from dataclasses import replace

        return replace(
            side, **{field: options[option] for field, option in fields.items() if option in options}
        )

    return change


def _untrained(side: Side, _options: dict[str, Any]) -> Side:
    from dataclasses import replace

    return replace(side, untrained=True)


def _hidden(side: Side, options: dict[str, Any]) -> Side:
    from dataclasses import replace

    from analysis.forward.visibility import Visibility

    visibility = Visibility(window=options.get("window"), n_sink=options.get("sinks", 0))
    return replace(side, visibility=visibility)


def _evicted(side: Side, options: dict[str, Any]) -> Side:
    from dataclasses import replace

    from analysis.comparison.evicted import Eviction

    return replace(
        side,
        eviction=Eviction(options["method"], options["kept"], options.get("context"), options.get("seed", 0)),
    )


KINDS: dict[str, Callable[[Side, dict[str, Any]], Side]] = {
    "before": _changed(before="text"),
    "system": _changed(system="text"),
    "bos": _changed(bos="bos"),
    "text": _changed(text="text"),
    "precision": _changed(precision="dtype"),
    "rounded": _changed(rounded="grid"),
    "adapter": _changed(adapter="adapter", strength="strength"),
    "untrained": _untrained,
    "visibility": _hidden,
    "eviction": _evicted,
}
"""What a change of each kind makes of side A; beside these, "model" (source, revision, adapter, dtype) and "file"."""
