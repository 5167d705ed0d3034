"""Pruning effects: what the model writes with a pruned cache, and where it first differs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.panels.pruning_effects import help as explained
from app.panels.pruning_effects.eviction.options import share_kept
from app.panels.pruning_effects.eviction.sweep_request import tokenization_code, tokenization_options
from app.widgets.figure_card import notebook_code, table_card
from app.widgets.on_demand import Wanted, on_demand
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.generation import Generations
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest

_LENGTHS = (16, 32, 64)
_START_WORDS = 6


@st.fragment
def writing(trace: Trace, sweep_request: SweepRequest) -> None:
    """Let the model write on, greedily, under every method."""

    def controls(request: RunRequest, *columns: Any) -> Wanted:
        start = columns[0].text_input(
            "Begins with", _start(sweep_request), key="writing_start", max_chars=2000
        )
        share = share_kept(columns[1], "writing", 2)
        n_new = columns[2].selectbox("Tokens", _LENGTHS, 1, key="writing_length")
        imports, methods = sweep_request.methods_code()
        call = (
            f"written = an.generate_greedy(\n    model, {sweep_request.context!r}, {start!r},\n    {methods}, [{share:g}], "
            f"n_new={n_new}{tokenization_code(trace)},\n)\nwritten.to_frame()"
        )

        def compute(model: LanguageModel, job: Job) -> Generations:
            from analysis.pruning_effects.eviction.generation import generate_greedy

            return generate_greedy(
                model,
                sweep_request.context,
                start,
                sweep_request.methods(),
                [share],
                n_new=n_new,
                **tokenization_options(request),
                on_progress=job.report,
                on_partial=job.show,
            )

        def draw(written: Generations) -> None:
            _draw(written, notebook_code(trace, f"{imports}{call}"))

        options = (
            ("c", sweep_request.context),
            ("start", start),
            ("share", share),
            ("n", n_new),
            *sweep_request.methods_key(),
        )
        return Wanted(compute if (start or "").strip() else None, draw, options, draw)

    on_demand(
        "writing",
        "Generated text",
        "The model continues the text, always with its most likely token: does a pruned cache change the text?",
        "Generate",
        controls,
        widths=[3, 1, 1, 1],
        height=200,
    )


def _start(sweep_request: SweepRequest) -> str:
    """The question, or the first words of the continuation."""
    if sweep_request.answer:
        return sweep_request.continuation
    words = sweep_request.continuation.split(" ")
    return " ".join(words[: _START_WORDS + 1])


def _draw(written: Generations, code: str) -> None:
    frame = written.to_frame()
    with table_card(
        "Texts with full and pruned cache",
        "Highlighted: words that the full cache did not write. Struck out: its words that are missing.",
        name="writing",
        table=lambda: frame,
        code=code,
        spec=f"{written.model} · greedy",
        more=explained.WRITING,
    ):
        full = written.texts[0]
        st.markdown(f"**full cache**  \n{plain(full)}")
        for setting, text, place in zip(
            written.settings[1:], written.texts[1:], written.first_divergence[1:], strict=True
        ):
            where = "same text" if place < 0 else f"first differs at token {place}"
            st.markdown(
                f"**{plain(setting.label)}**, {setting.kept:.0%} kept · {where}  \n{_difference(full, text)}"
            )
        for name, reason in written.skipped.items():
            st.caption(f"{plain(name)}: {plain(reason)}")


def _difference(full: str, pruned: str) -> str:
    """Markdown of a text with what changed against the full cache's, word by word."""
    before, after = full.split(), pruned.split()
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(plain(" ".join(after[c:d])))
            continue
        if b > a:
            parts.append(f"~~{plain(' '.join(before[a:b]))}~~")
        if d > c:
            parts.append(f":orange-background[{plain(' '.join(after[c:d]))}]")
    return " ".join(parts)
