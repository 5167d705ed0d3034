"""What the form of the page Compare asks for: side A, and in what B differs from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from analysis.errors import AnalysisError
from analysis.models.spec import PRECISIONS
from app import state
from app.choice import chosen
from app.compute import requests as runs
from app.compute.comparing import Change, CompareRequest, id_of
from app.widgets.model_choice import model_spec
from app.widgets.run_status import finished_run, is_file_opened
from app.widgets.text_field import text_of
from app.widgets.text_form import run_request


@dataclass(frozen=True)
class Kind:
    """One way in which B differs from A."""

    label: str
    """Behind "B is A, but"."""
    help: str
    offline: bool = True


KINDS: dict[str, Kind] = {
    "text": Kind("with another text", "Matching stretches of the two texts are compared, the rest is marked."),
    "before": Kind("after another text", "The same text is read behind this one."),
    "system": Kind("after a system message", "B reads the text as a chat's message, behind this system message."),
    "bos": Kind("with another beginning", "With or without the beginning-of-text token."),
    "adapter": Kind("with an adapter on", "A LoRA adapter beside the weights, at any strength; off again, nothing is left."),
    "precision": Kind("in another precision", "The same weights and states in fewer bits."),
    "rounded": Kind("with rounded weights", "The layers' weights through a symmetric grid and back, blocks of 32; embedding and norms as they are."),
    "untrained": Kind("with random weights", "The same architecture before any training."),
    "visibility": Kind("seeing the last tokens only", "Each token sees the first few tokens and the last few before it."),
    "eviction": Kind("with part of its cache gone", "The first half is read whole; the rest is read with what a method keeps of it."),
    "model": Kind("another model", "A hub model, a folder or a file; both vocabularies are matched by their bytes."),
    "file": Kind("a run of a file", "A trace file of another machine, opened behind the folder icon."),
}  # fmt: skip
"""By the word in the address, in the order of the control."""
SHIPPED = "lighthouse"
"""Name of the adapter that comes with the project."""
STRENGTHS = (0.0, 2.0, 0.25)
STRENGTH, WINDOW, SINKS, KEPT = 0.5, 64, 4, 0.5
GRID, METHOD = "4-bit", "streaming"
OTHER_WORD = {"library": "kitchen"}
"""What stands in the other text until a person edits it."""


def kind_chosen() -> str:
    """In what B differs."""
    kind: str = chosen(list(KINDS), state.CHANGE_KIND)
    return kind


def compare_request() -> CompareRequest | AnalysisError:
    """What the form holds now, or what is wrong with it."""
    run = None if is_file_opened() else run_request()
    if isinstance(run, AnalysisError):
        return run
    trace = finished_run() if is_file_opened() else None
    try:
        change = Change(kind_chosen(), _options(kind_chosen()))
    except AnalysisError as problem:
        return problem
    return CompareRequest(
        None if run is None else without_lens(run), change, "" if trace is None else id_of(trace)
    )


def without_lens(run: runs.RunRequest) -> runs.RunRequest:
    """The run itself where it is done; else the same without the lens, which a comparison does not need."""
    job = runs.find(run)
    return run if job is not None and job.state == "done" else replace(run, lens_step=0)


def _options(kind: str) -> tuple[tuple[str, Any], ...]:
    match kind:
        case "text" | "before" | "system":
            return (("text", text_of(state.change_text(kind))),)
        case "bos":
            return (("bos", _held(state.CHANGE_BOS, "never")),)
        case "adapter":
            name = (_held(state.CHANGE_ADAPTER) or "").strip() or SHIPPED
            return (("adapter", name), ("strength", float(_held(state.CHANGE_STRENGTH, STRENGTH))))
        case "precision":
            return (("dtype", _held(state.CHANGE_PRECISION, PRECISIONS[2])),)
        case "rounded":
            return (("grid", _held(state.CHANGE_GRID, GRID)),)
        case "visibility":
            window, sinks = _held(state.CHANGE_WINDOW, WINDOW), _held(state.CHANGE_SINKS, SINKS)
            return (("window", int(window)), ("sinks", int(sinks)))
        case "eviction":
            return (
                ("method", _held(state.CHANGE_METHOD, METHOD)),
                ("kept", float(_held(state.CHANGE_KEPT, KEPT))),
            )
        case "model":
            return _other_model((_held(state.CHANGE_MODEL) or "").strip())
        case "file":
            return _opened_file()
    return ()


def _held(key: str, default: Any = None) -> Any:
    return st.session_state.get(key, default)


def _other_model(source: str) -> tuple[tuple[str, Any], ...]:
    if not source:
        raise AnalysisError(
            "Side B has no model yet.", "Type a hub id, a folder or a .gguf file behind Edit."
        )
    own = model_spec()
    replace(own, source=source, revision=None, adapter=None)  # says what is wrong with it
    revision = (st.session_state.get(state.CHANGE_REVISION) or "").strip() or None
    return (("source", source), ("revision", revision))


def _opened_file() -> tuple[tuple[str, Any], ...]:
    held = st.session_state.get(state.SECOND_RUN)
    if held is None:
        raise AnalysisError("No run of a file is opened as side B.", "Open one behind the folder icon.")
    return (("sha", held[0]),)
