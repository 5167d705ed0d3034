"""Entropy collapse over layers: other models, a folder of checkpoints, the untrained twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.paths import clean_path
from analysis.progress import part
from app import state
from app.panels.entropy_collapse.layers import help as explained
from app.widgets.layout import picture_and_choice
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.entropy_collapse.layers.checkpoints import ModelShape
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest

_WAYS = ("untrained twin", "other models", "checkpoints")
_MOST_MODELS = 12


@st.fragment
def models(trace: Trace) -> None:
    """The same text in other models, one in memory at a time."""
    from analysis.entropy_collapse.layers.checkpoints import model_shape

    left, right = picture_and_choice("models", follows=False)
    read: list[tuple[list[ModelShape], str]] = []

    def controls(request: RunRequest, left: Any, middle: Any) -> Wanted:
        way = left.selectbox("Compare with", _WAYS, key=state.COMPARE_MODELS, bind="query-params")
        where = missing = ""
        if way == "other models":
            missing = "Name at least one model."
            where = middle.text_area(
                "Models, one per line",
                key="other_models",
                height=68,
                placeholder="org/name, a folder, or a .gguf file",
            )
        elif way == "checkpoints":
            missing = "Name a folder."
            where = middle.text_input(
                "Folder of checkpoints",
                key="checkpoint_folder",
                placeholder="a folder with checkpoint-100, checkpoint-200, …",
            )
        else:
            middle.caption(
                "The same architecture with the random weights it began with. It takes the memory of a second model for a moment."
            )
        lines = tuple(line.strip() for line in where.splitlines() if line.strip())
        if len(lines) > _MOST_MODELS:
            st.caption(f"At most {_MOST_MODELS} models at a time.")
        ready = way == _WAYS[0] or 0 < len(lines) <= _MOST_MODELS
        return Wanted(
            _compare(trace, request, way, lines) if ready else None,
            lambda shapes: read.append((shapes, _shapes_code(way, lines))),
            (("way", way), ("where", lines), ("seen", _seen(lines))),
            missing="" if lines else missing,
        )

    with right:
        on_demand(
            "models",
            "Other models",
            "The same text in the untrained twin, in other models, or in every checkpoint of a training run.",
            "Compare",
            controls,
            why="An opened file has no model to compare with.",
            widths=3,
            height=120,
        )
    with left:
        shapes, code = read[0] if read else ([model_shape(trace)], "[an.model_shape(trace)]")
        _draw(trace, shapes, code, live=not read)


def _shapes_code(way: str, lines: tuple[str, ...]) -> str:
    """The expression that makes the same comparison in a notebook."""
    if way == "checkpoints":
        return f"an.compare_checkpoints({lines[0]!r}, trace.text)"
    if way == "other models":
        return f"[an.model_shape(trace), *an.compare_models({[(line, None) for line in lines]}, trace.text)]"
    return "[an.model_shape(trace), an.model_shape(an.trace(an.untrained_twin(model), trace.text))]"


def _seen(lines: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """What stands in the folders that were named, so that a new checkpoint makes a new comparison."""
    found = []
    for line in lines:
        try:
            inside = sorted(Path(clean_path(line)).expanduser().iterdir())[:1000]
            found += [(str(path), path.stat().st_mtime_ns) for path in inside]
        except (OSError, RuntimeError, ValueError):
            continue  # a hub id, or a path whose error the comparison tells
    return tuple(found)


def _compare(trace: Trace, request: RunRequest, way: str, lines: tuple[str, ...]) -> Any:
    def compute(model: LanguageModel, job: Job) -> list[ModelShape]:
        from analysis.entropy_collapse.layers.checkpoints import (
            compare_checkpoints,
            compare_models,
            model_shape,
        )

        device, dtype = request.model.device, request.model.dtype
        if way == "checkpoints":
            return compare_checkpoints(
                lines[0], trace.text, device=device, dtype=dtype, on_progress=job.report, on_partial=job.show
            )
        mine = model_shape(trace)
        if way == "other models":
            mine = replace(mine, name=f"{mine.name}, on screen")
            others = compare_models(
                [(line, None) for line in lines],
                trace.text,
                device=device,
                dtype=dtype,
                on_progress=job.report,
                on_partial=lambda done: job.show([mine, *done]),
            )
            return [mine, *others]
        from analysis.forward.trace import trace as read
        from analysis.models.memory import require_weights_fit
        from analysis.models.untrained import untrained_twin

        job.report(0.05, "making the untrained twin")
        require_weights_fit(model.info.bytes_held, model.anatomy.head.weight.device, "the untrained twin")
        twin = untrained_twin(model)
        run = read(
            twin,
            trace.text,
            bos=request.bos,
            parse_special=request.parse_special,
            attention=False,
            spectra=["states"],
            on_progress=part(job.report, 0.3, 1, of=0.7),
        )
        return [mine, model_shape(run, "untrained twin")]

    return compute


def _draw(trace: Trace, shapes: list[ModelShape], code: str, *, live: bool = False) -> None:
    from analysis.drawing.numbers import significant
    from analysis.entropy_collapse.layers import checkpoint_figures as figures
    from analysis.entropy_collapse.layers.checkpoints import phases, shapes_frame
    from app.widgets.figure_card import altair_card, notebook_code

    unit, name = state.unit(), state.theme_name()
    is_training = all(shape.step is not None for shape in shapes)
    selected = None
    if is_training and len(shapes) > 1 and not live:
        labels = [shape.name for shape in shapes]
        selected = st.select_slider("Checkpoint", labels, labels[-1], key=state.CHECKPOINT)
    first_token = live or not st.toggle("Leave token 0 out", key="models_without_first")

    with altair_card(
        "Matrix entropy of several models over layers",
        "The same text, one curve per model." + (" Darker: later in training." if is_training else ""),
        lambda: figures.model_curves(
            shapes, unit=unit, theme_name=name, selected=selected, first_token=first_token
        ),
        alt="Matrix entropy over layers, one line per model",
        name="models",
        table=lambda: shapes_frame(shapes),
        code=notebook_code(trace, f"shapes = {code}\nan.figures.model_curves(shapes, unit={unit!r})"),
        spec=f"{len(shapes)} models · {shapes[0].n_tokens} tokens",
        more=explained.MODELS,
    ) as draw:
        draw()
        if len(shapes) == 2 and shapes[1].name == "untrained twin":
            mine, twin = shapes
            st.caption(
                f"Diff-eRank **{significant(twin.erank - mine.erank, signed=True)}** directions: the untrained twin's final states "
                f"fill **{significant(twin.erank)}**, the trained model's **{significant(mine.erank)}**. Over this text alone; its "
                "paper averages over a data set."
            )
    if is_training and len(shapes) > 1 and not live:
        _draw_training(trace, shapes, code, [f"{p.name} {p.first}–{p.last}" for p in phases(shapes)])


def _draw_training(trace: Trace, shapes: list[ModelShape], code: str, told: list[str]) -> None:
    from analysis.entropy_collapse.layers import checkpoint_figures as figures
    from analysis.entropy_collapse.layers.checkpoints import shapes_frame
    from app.widgets.figure_card import altair_card, notebook_code

    name = state.theme_name()
    with altair_card(
        "Effective rank of the final states over training steps",
        (
            "Phases: " + ", ".join(told) + "."
            if told
            else "No phase changes the rank by 5 % or more, or there are fewer than four checkpoints."
        )
        + f" {explained.ROWS}",
        lambda: figures.rank_panels(shapes, theme_name=name)[0],
        name="ranks",
        table=lambda: shapes_frame(shapes),
        code=notebook_code(trace, f"an.figures.rank_panels({code})[0]"),
        spec=f"{len(shapes)} checkpoints · {shapes[0].n_tokens} tokens",
        more=explained.MODELS,
    ) as draw:
        for number, panel in enumerate(figures.rank_panels(shapes, theme_name=name)):
            draw(panel, alt="Effective rank or alpha-ReQ over training steps", key=f"ranks_{number}")
