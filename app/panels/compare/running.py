"""The comparison on screen: the stored example, the last one that was run, or an opened file; and the one that runs now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app import one_choice, state
from app.compute import comparing
from app.compute import requests as runs
from app.compute.job import Job
from app.widgets.run_status import finished_run, is_file_opened

if TYPE_CHECKING:
    from analysis.comparison.items import Items
    from analysis.comparison.results import Comparison
    from analysis.results.trace import Trace
    from app.compute.comparing import CompareRequest

EXAMPLE_COMPARISON = Path(__file__).resolve().parents[2] / "example.compare"


@dataclass(frozen=True, eq=False)
class Shown:
    """What is drawn."""

    c: Comparison
    items: Items
    swapped: bool
    """Whether the run on the other pages is side B here."""
    source: Comparison
    """Before it was swapped."""
    _made: dict[str, Any] = field(default_factory=dict, init=False)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What takes a moment, made when it is first drawn."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


@st.cache_resource(show_spinner=False, max_entries=1)
def example_comparison() -> Comparison:
    """One word is another in the first example, read by the embedded model; stored with the app."""
    from analysis.comparison.comparison_file import load_comparison

    return load_comparison(EXAMPLE_COMPARISON)


def is_example() -> bool:
    """Whether nothing was compared or opened yet."""
    return state.COMPARISON not in st.session_state


def shown() -> Shown:
    """What is on screen; made once for a comparison and a direction."""
    source = example_comparison() if is_example() else st.session_state[state.COMPARISON]
    swapped = is_swapped()
    held: Shown | None = st.session_state.get(state.SHOWN_COMPARISON)
    if held is None or held.source is not source or held.swapped != swapped:
        from analysis.comparison.items import items_of

        c = source.swapped() if swapped else source
        held = Shown(c, items_of(c), swapped, source)
        st.session_state[state.SHOWN_COMPARISON] = held
    return held


def is_swapped() -> bool:
    """Whether the sides are exchanged; also in the address."""
    return bool(st.session_state.setdefault(state.SWAPPED, st.query_params.get(state.SWAPPED) == "on"))


def swap() -> None:
    """Exchange the sides; nothing is computed again."""
    now = not is_swapped()
    st.session_state[state.SWAPPED] = now
    if now:
        st.query_params[state.SWAPPED] = "on"
    else:
        st.query_params.pop(state.SWAPPED, None)


def show(c: Comparison) -> None:
    """Put a comparison on screen."""
    st.session_state[state.COMPARISON] = c
    st.session_state.pop(state.COMPARED_ITEM, None)


def chosen_item(on_screen: Shown) -> int:
    """The chosen item: of the token that all pages share, else the one that changed most."""
    token, items = state.number_of(state.TOKEN), on_screen.items
    held = st.session_state.get(state.COMPARED_ITEM)
    if held is not None and held[1] == token and held[0] < len(items):
        return int(held[0])
    of_run = items.item_of_b if on_screen.swapped else items.item_of_a
    if token is not None and token < len(of_run):
        return int(of_run[token])
    from analysis.comparison.findings import most_changed_item

    return most_changed_item(on_screen.c, items)


def choose_item(item: int) -> None:
    """Choose an item here, and its token of the run on all pages, where that has one here."""
    on_screen = shown()
    items = on_screen.items
    has, start = (items.has_b, items.start_b) if on_screen.swapped else (items.has_a, items.start_a)
    if has[item]:
        one_choice.choose_token(int(start[item]))
    st.session_state[state.COMPARED_ITEM] = (item, state.number_of(state.TOKEN))


def choose_position(position: int) -> None:
    """Choose the item of a token of the side that is drawn as A."""
    of_a = shown().items.item_of_a
    if 0 <= position < len(of_a):
        choose_item(int(of_a[position]))


def live_job() -> Job | None:
    """The job that compares now."""
    request: CompareRequest | None = st.session_state.get(state.COMPARE_REQUEST)
    job = runs.find(request) if request is not None else None
    return job if job is not None and job.is_live else None


def start(request: CompareRequest) -> None:
    """Ask for a comparison, or keep why it is refused."""
    st.session_state.pop(state.COMPARE_SAID, None)
    before = live_job()
    if before is not None:
        runs.cancel(before.key)
    try:
        comparing.submit_comparison(request, **runs_that_are_there(request))
    except AnalysisError as refused:
        st.session_state[state.COMPARE_SAID] = refused
        return
    st.session_state[state.COMPARE_REQUEST] = request
    take_finished()  # where the same was compared before


def runs_that_are_there(request: CompareRequest) -> dict[str, Trace | None]:
    """Side A where it is an opened run, and side B where that is one."""
    held = st.session_state.get(state.SECOND_RUN)
    b = held[2] if held is not None and request.change.kind == "file" else None
    return {"a": finished_run() if is_file_opened() else None, "b": b}


def take_finished() -> None:
    """Put on screen what was compared since."""
    request = st.session_state.get(state.COMPARE_REQUEST)
    if request is None or live_job() is not None:
        return
    del st.session_state[state.COMPARE_REQUEST]
    job = runs.find(request)
    if job is None:
        return
    if job.error is not None:
        st.session_state[state.COMPARE_SAID] = job.error
    elif job.result is not None:
        show(job.result)
        st.session_state[state.COMPARED_REQUEST] = request
