"""The model to run, its device and precision, and what is loaded. Every choice is in the URL."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, size
from analysis.errors import AnalysisError
from analysis.models.adapter_files import find_adapter
from analysis.models.spec import EMBEDDED, PRECISIONS, ModelSpec
from analysis.paths import clean_path
from app import state
from app.compute import requests as runs
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain

KINDS = {
    "embedded": "SmolLM2-135M-Instruct, comes with the app",
    "hub": "model of the Hugging Face hub",
    "folder": "local folder with safetensors weights",
    "gguf": ".gguf file",
}
"""Kinds of model by the word that a person chooses and the URL carries."""
_PLACEHOLDER = {"hub": "org/name", "folder": "/path/to/folder/", "gguf": "/path/to/model.gguf"}
DEVICES = ("auto", "cpu", "cuda", "mps", "spread")
ADAPTED = "base + adapter"
ADAPTER_CHOICES = ("base", ADAPTED)


def model_label() -> str:
    """Name, precision and device of the chosen model: as asked for until it is loaded."""
    try:
        spec = model_spec()
    except AnalysisError:
        return "**no model**"
    info = runs.engine().model_slot.info if runs.engine().model_slot.spec == spec else None
    precision = info.precision if info else spec.dtype
    device = info.device_name.split(",")[0] if info else spec.device
    name = info.name if info else KINDS[EMBEDDED].split(",")[0] if spec.kind == EMBEDDED else spec.name
    said = " · ".join(dict.fromkeys((plain(precision), plain(device))))  # "auto" once
    return f"**{plain(name)}** {said}"


def model_choice() -> None:
    """Draw the choice, and what is in memory."""
    kind = st.selectbox("Model", list(KINDS), key=state.KIND, bind="query-params")
    st.caption(KINDS[kind])
    if kind in _PLACEHOLDER:
        st.text_input(
            "Where", key=state.SOURCE, placeholder=_PLACEHOLDER[kind], bind="query-params", max_chars=500
        )
    if kind == "folder":
        _adapter_choice()
    if kind == "hub":
        st.text_input("Revision", key=state.REVISION, placeholder="main", bind="query-params", max_chars=200)
    device_and_precision()
    try:
        model_spec()
    except AnalysisError as error:
        show_unavailable(error)  # the box comes when somebody presses Run
    _loaded()


def device_and_precision() -> None:
    """Draw where the model is, and in which precision."""
    left, right = st.columns(2)
    left.selectbox(
        "Device",
        DEVICES,
        key=state.DEVICE,
        bind="query-params",
        help="auto: the first that is there; over several where the weights do not fit. spread: over all devices, "
        "the rest on the disk, which is slow.",
    )
    right.selectbox("Precision", PRECISIONS, key=state.PRECISION, bind="query-params")


def model_spec() -> ModelSpec:
    """The model chosen in the sidebar.

    Raises
    ------
    AnalysisError
        If the choice cannot be a model.
    """
    kind = st.session_state.get(state.KIND, EMBEDDED)
    device = st.session_state.get(state.DEVICE, "auto")
    precision = st.session_state.get(state.PRECISION, "auto")
    if kind == EMBEDDED:
        return ModelSpec(EMBEDDED, None, device, precision)
    source = _source(kind)
    if not source:
        raise AnalysisError(f"No {KINDS[kind]} is chosen yet.", f"Type one, as in {_PLACEHOLDER[kind]}")
    adapter = find_adapter(source) if kind == "folder" else None
    if adapter is not None and not adapter.beside_model:
        base = clean_path(st.session_state.get(state.BASE) or "") or adapter.base
        if not base:
            raise AnalysisError("This adapter does not say what it was trained on.", "Type its base.")
        return ModelSpec(base, None, device, precision, source)
    if adapter is not None and st.session_state.get(state.ADAPTER) == ADAPTED:
        return ModelSpec(source, None, device, precision, source)
    revision = (st.session_state.get(state.REVISION) or "").strip() or None
    spec = ModelSpec(source, revision if kind == "hub" else None, device, precision)
    if spec.kind != kind:
        raise AnalysisError(f"{source[:80]!r} is not a {KINDS[kind]}.", f"It looks like {_PLACEHOLDER[kind]}")
    return spec


def _source(kind: str) -> str:
    """What was typed, without the quotes and blanks it was pasted with."""
    source = clean_path(st.session_state.get(state.SOURCE) or "")
    return f"{source}/" if kind == "folder" and source and not source.endswith("/") else source


def _adapter_choice() -> None:
    """Where the folder holds an adapter: the model without it or with it, or the base that it wants."""
    adapter = find_adapter(_source("folder"))
    if adapter is None:
        return
    if adapter.beside_model:
        st.selectbox(
            "Adapter",
            ADAPTER_CHOICES,
            key=state.ADAPTER,
            bind="query-params",
            help="An adapter (LoRA or a similar one) lies beside this model. With it: merged into the weights, in memory.",
        )
        return
    st.text_input(
        "Base",
        key=state.BASE,
        placeholder=adapter.base or "org/name",
        bind="query-params",
        max_chars=500,
        help="This folder holds an adapter alone; it is merged into its base, in memory. Empty: the base that it "
        "names itself.",
    )
    if adapter.base:
        st.caption(f"An adapter of {plain(adapter.base)}")


def _loaded() -> None:
    """Say what is in memory, and offer to drop it."""
    info = runs.engine().model_slot.info
    st.divider()
    if info is None:
        st.caption("No model in memory. The first run loads it.")
        return
    st.caption("In memory")
    st.text(info.name)
    st.caption(
        f"{count(info.n_parameters)} parameters · {size(info.bytes_held)} · {info.n_layers} layers  \n"
        f"{plain(info.device_name)} · {info.precision}"
    )
    for note in info.notes:
        st.caption(plain(note))
    if info.n_padded_ids:
        st.caption(f"{count(info.n_padded_ids)} ids of the head belong to no token; they count in every sum.")
    st.button("Unload", key="unload", on_click=runs.unload, help="Free the model's memory.")
