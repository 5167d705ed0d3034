"""Pruning effects: the bill of a sweep, and the panels that test it: needle grid, horizon, stability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import runs, state
from app.components import pruning_readings as readings
from app.components.figure_card import figure_card, notebook_code
from app.components.layout import side_by_side
from app.components.run_status import ask, outcome

if TYPE_CHECKING:
    from analysis.forward.results import Trace
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.bill import Shape
    from analysis.pruning_effects.needle import NeedleGrid
    from analysis.pruning_effects.results import Sweep
    from app.components.eviction_asked import Asked
    from app.jobs import Job

_LENGTHS = (128, 256, 512, 1024, 2048)
_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHARES = (0.1, 0.25, 0.5, 0.75)


def _methods(asked: Asked) -> tuple[tuple[str, object], ...]:
    """What of a comparison decides its methods, for a key."""
    return (("policies", asked.policies), ("voters", asked.voters))


def sizes(request: runs.RunRequest) -> Any:
    """Ask for the sizes of the model that decide the bill; a small job."""
    experiment = runs.Experiment(request, "sizes")

    def compute(model: LanguageModel, _job: Job) -> tuple[Shape, float | None]:
        from analysis.pruning_effects.bill import measured_flops, shape_of

        return shape_of(model), measured_flops(model, 128)

    return runs.submit_experiment(experiment, compute)


@st.fragment
def bill(trace: Trace, sweep: Sweep, request: runs.RunRequest, asked: Asked) -> None:
    """Bytes and operations of every setting."""
    from analysis.drawing.charts import chart_svg
    from analysis.drawing.numbers import count, significant, size
    from analysis.pruning_effects.bill import bill as bill_of
    from analysis.pruning_effects.cost_figures import bill_chart

    found = outcome(sizes(request), (250,))
    if found is None:
        return
    shape, measured = found
    frame = bill_of(shape, sweep)

    def chart() -> Any:
        return bill_chart(frame, shape.weight_bytes, theme_name=state.theme_name())

    with figure_card(
        "Bill",
        "Memory of keys and values while the next token is generated, alone and for 16 texts at once.",
        name="bill",
        table=lambda: frame,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=notebook_code(
            trace,
            f"{asked.code(trace.text)}shape = an.shape_of(model)\n"
            "an.figures.bill_chart(an.bill(shape, sweep), shape.weight_bytes)",
        ),
        spec=sweep.spec.subtitle,
        more=readings.BILL,
    ):
        st.altair_chart(chart(), theme=None, alt="Bytes of keys and values by share kept", key="bill_chart")
        heavy = count(round(shape.tokens_as_heavy_as_weights))
        formula = shape.flops(128, 128)
        check = (
            f"; torch counts **{significant(measured / 1e9)}** billion for 128 tokens, the formula **{significant(formula / 1e9)}**"
            if measured
            else ""
        )
        st.caption(
            f"One token takes **{size(shape.bytes_per_token)}**; keys and values weigh as much as the weights at **{heavy}** tokens. "
            f"A step of decoding on the full cache takes **{significant(shape.flops(1, sweep.spec.n_context + 1) / 1e9)}** billion operations{check}."
        )
        spent = ", ".join(f"{name} {significant(seconds)} s" for name, seconds in sweep.seconds.items())
        st.caption(f"This sweep of {len(sweep.settings)} settings: {spent}.")


@st.fragment
def needle(trace: Trace, request: runs.RunRequest, asked: Asked) -> None:
    """A fact hidden at every depth, asked for after pruning."""
    with st.container(border=True):
        st.markdown("**Needle in a haystack**")
        st.caption(
            "A made-up fact in a generated text. The cache is pruned before the question is asked: was the fact kept?"
        )
        columns = side_by_side("controls_needle", [2, 2, 1.2, 1], "bottom")
        lengths = columns[0].multiselect("Tokens", _LENGTHS, [256, 512], key="needle_lengths")
        depths = columns[1].multiselect(
            "Depths", _DEPTHS, [0.0, 0.5, 1.0], key="needle_depths", format_func=lambda d: f"{d:.0%}"
        )
        share = columns[2].selectbox(
            "Share kept", _SHARES, 1, key="needle_share", format_func=lambda s: f"{s:.0%}"
        )
        ready = bool(lengths and depths)
        imports, methods = asked.methods_code()
        call = f"grid = an.needle_grid(model, {sorted(lengths)}, {sorted(depths)}, {methods}, [{share:g}])\n"
        code = notebook_code(trace, f"{imports}{call}an.figures.needle_chart(grid)")
        experiment = runs.Experiment(
            request,
            "needle",
            (("lengths", sorted(lengths)), ("depths", sorted(depths)), ("share", share), *_methods(asked)),
        )
        found = runs.find(experiment)
        if columns[3].button("Hide and ask", key="needle_button", width="stretch", disabled=not ready):

            def compute(model: LanguageModel, job: Job) -> NeedleGrid:
                from analysis.pruning_effects.needle import needle_grid

                return needle_grid(
                    model,
                    sorted(lengths),
                    sorted(depths),
                    asked.methods(),
                    [share],
                    on_progress=job.report,
                    on_partial=job.show,
                )

            found = ask(experiment, compute)
        if found is None:
            return
        grid = outcome(found, (260,), draw=lambda part: _draw_needle(part, share, code))
    if grid is not None:
        _draw_needle(grid, share, code)


def _draw_needle(grid: NeedleGrid, share: float, code: str) -> None:
    from analysis.drawing.charts import chart_svg
    from analysis.pruning_effects.cost_figures import needle_chart

    unit = state.unit()

    def chart() -> Any:
        return needle_chart(grid, unit=unit, theme_name=state.theme_name())

    with figure_card(
        "Was the needle found?",
        "Stronger: the answer was more likely. A ring: greedy decoding would have said it.",
        name="needle",
        table=lambda: grid.frame,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=code,
        spec=f"{grid.model} · {share:.0%} of the context kept",
        more=readings.NEEDLE,
    ):
        st.altair_chart(
            chart(), theme=None, alt="Retrieval by length and depth, one panel per method", key="needle_chart"
        )
        full = grid.frame[grid.frame["policy"] == "full"]
        st.caption(f"With the full cache the model answers **{int(full['answered'].sum())} of {len(full)}**.")


@st.fragment
def horizon(trace: Trace, request: runs.RunRequest, sweep: Sweep, asked: Asked) -> None:
    """From which layer on chosen tokens are no longer needed."""
    from analysis.pruning_effects.spelling import find_phrase

    with st.container(border=True):
        st.markdown("**Knock-out horizon**")
        st.caption(
            "Hides a phrase of the context from layer l on, for every l: when has the model read all it needs from it? "
            "Followed is the log-probability of the answer, or without one of the whole continuation."
        )
        left, right = side_by_side("controls_horizon", [3, 1], "bottom")
        phrase = left.text_input(
            "Phrase to hide", key="horizon_phrase", placeholder="words of the context, as they stand"
        )
        tokens = [int(t) for t in find_phrase(sweep.context_tokens, phrase)] if (phrase or "").strip() else []
        question, answer = (asked.continuation, asked.answer) if asked.answer else ("", asked.continuation)
        experiment = runs.Experiment(
            request,
            "horizon",
            (("c", asked.context), ("q", question), ("a", answer), ("tokens", tokens)),
        )
        found = runs.find(experiment) if tokens else None
        if right.button("Knock out", key="horizon_button", width="stretch", disabled=not tokens):

            def compute(model: LanguageModel, job: Job) -> Any:
                from analysis.pruning_effects.horizon import knock_out_horizon

                return knock_out_horizon(
                    model, asked.context, question, answer, tokens, on_progress=job.report
                )

            found = ask(experiment, compute)
        if phrase and not tokens:
            st.caption("The context has no such phrase.")
        if found is None:
            return
        frame = outcome(found, (240,))
    if frame is not None:
        call = f"tokens = {tokens}\nhorizon = an.knock_out_horizon(\n    model, {asked.context!r}, {question!r}, {answer!r}, tokens\n)\n"
        _draw_horizon(frame, len(tokens), notebook_code(trace, f"{call}an.figures.horizon_chart(horizon)"))


def _draw_horizon(frame: Any, n_tokens: int, code: str) -> None:
    from analysis.drawing.charts import chart_svg
    from analysis.pruning_effects.cost_figures import horizon_chart

    unit = state.unit()

    def chart() -> Any:
        return horizon_chart(frame, unit=unit, theme_name=state.theme_name())

    with figure_card(
        "Without the phrase, from each layer on",
        "Where the curve meets the dashed line, the phrase is no longer needed.",
        name="horizon",
        table=lambda: frame,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=code,
        spec=f"{n_tokens} tokens hidden",
        more=readings.HORIZON,
    ):
        st.altair_chart(
            chart(), theme=None, alt="Log-probability of the answer by layer", key="horizon_chart"
        )


@st.fragment
def stability(trace: Trace, request: runs.RunRequest, asked: Asked) -> None:
    """Whether small noise makes a method keep other tokens."""
    with st.container(border=True):
        st.markdown("**Stability**")
        st.caption(
            "Adds small noise to the context's embeddings: do the methods still keep the same tokens, and who pays for it?"
        )
        left, right = side_by_side("controls_stability", [1.2, 1], "bottom")
        share = left.selectbox(
            "Share kept", _SHARES, 1, key="stability_share", format_func=lambda s: f"{s:.0%}"
        )
        continuation = asked.continuation + asked.answer
        experiment = runs.Experiment(
            request,
            "stability",
            (("c", asked.context), ("q", continuation), ("share", share), *_methods(asked)),
        )
        found = runs.find(experiment)
        if right.button("Disturb", key="stability_button"):

            def compute(model: LanguageModel, job: Job) -> Any:
                from analysis.pruning_effects.stability import rank_stability

                return rank_stability(
                    model, asked.context, continuation, asked.methods(), share, on_progress=job.report
                )

            found = ask(experiment, compute)
        if found is None:
            return
        frame = outcome(found, (220,))
    if frame is not None:
        imports, methods = asked.methods_code()
        call = f"stable = an.rank_stability(\n    model, {asked.context!r}, {continuation!r},\n    {methods}, {share:g},\n)\n"
        _draw_stability(
            frame, share, notebook_code(trace, f"{imports}{call}an.figures.stability_chart(stable)")
        )


def _draw_stability(frame: Any, share: float, code: str) -> None:
    from analysis.drawing.charts import chart_svg
    from analysis.pruning_effects.cost_figures import stability_chart

    unit = state.unit()

    def chart() -> Any:
        return stability_chart(frame, unit=unit, theme_name=state.theme_name())

    with figure_card(
        "Ranks under noise, and what the noise costs",
        "Left: 1 means that the noise changed nothing. Right: what it did to the predictions, with and without pruning.",
        name="stability",
        table=lambda: frame,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=code,
        spec=f"{share:.0%} of the context kept · 2 draws per noise",
        more=readings.STABILITY,
    ):
        st.altair_chart(
            chart(), theme=None, alt="Rank stability and damage by method and noise", key="stability_chart"
        )
