"""The notebook lines that make the comparison on screen again."""

from __future__ import annotations

import streamlit as st

from app import state
from app.panels.compare import running

_SHORT = 400


def comparison_code(call: str) -> str:
    """Lines that give the comparison on screen and draw one picture of it."""
    request = st.session_state.get(state.COMPARED_REQUEST)
    head = "import analysis as an\n\n"
    if running.is_example() or request is None or request.run is None or request.change.kind == "file":
        c = running.shown().c
        swapped = ".swapped()" if running.is_swapped() else ""
        return f'{head}c = an.load_comparison("run.compare"){swapped}  # {c.a.spec.model}, saved behind File\n{call}\n'
    return f"{head}{_sides(request)}c = an.compare(a, b){'.swapped()' * running.is_swapped()}\n{call}\n"


def _sides(request: object) -> str:
    from app.compute.comparing import CompareRequest

    assert isinstance(request, CompareRequest) and request.run is not None
    run, change, options = request.run, request.change, dict(request.change.options)
    text = repr(run.text) if len(run.text) <= _SHORT else 'open("text.txt", encoding="utf-8").read()'
    source = "" if run.model.kind == "embedded" else repr(run.model.source)
    bos = "" if run.bos == "auto" else f", bos={run.bos!r}"
    own = {
        "text": ("model", repr(options.get("text")), ""),
        "before": ("model", "text", f", before={options.get('text')!r}"),
        "system": ("model", "text", f", system={options.get('text')!r}"),
        "bos": ("model", "text", f", bos={options.get('bos')!r}"),
        "adapter": ("model", "text", f", adapter={options.get('adapter')!r}, strength={options.get('strength')!r}"),
        "precision": ("model", "text", f", precision={options.get('dtype')!r}"),
        "rounded": ("model", "text", f", rounded={options.get('grid')!r}"),
        "untrained": ("model", "text", ", untrained=True"),
        "visibility": ("model", "text", ", visibility=an.Visibility("
            f"window={options.get('window')!r}, n_sink={options.get('sinks')!r})"),
        "eviction": ("model", "text", f", eviction=an.Eviction({options.get('method')!r}, {options.get('kept')!r})"),
        "model": (repr(options.get("source")), "text", ""),
    }  # fmt: skip
    model, words, more = own[change.kind]
    more = more if change.kind == "bos" else bos + more
    return f"model = an.load_model({source})\ntext = {text}\na = an.Side(model, text{bos})\nb = an.Side({model}, {words}{more})\n"
