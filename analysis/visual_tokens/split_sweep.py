"""All questions of test scenes under many prunings of the shipped model, a few scenes at a time.

The tower reads a scene once. Questions of a scene share a row wherever a method does not read the question; what a
method prunes is physically gone. After every block of scenes the numbers so far are written, so that a run that was
killed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.progress import Progress, silent
from analysis.visual_tokens.budgets import Counting, check_counting, choice_for, drawn_with, tokens_of
from analysis.visual_tokens.picture_run import layers_read, parts_of_the_tower
from analysis.visual_tokens.policies import VisualPolicy, policy
from analysis.visual_tokens.policies.view import VisualView
from analysis.visual_tokens.scenes.questions import Question
from analysis.visual_tokens.scenes.scene import Scene
from analysis.visual_tokens.shipped.accuracy import blurred_pixels
from analysis.visual_tokens.shipped.build import N_VISUAL
from analysis.visual_tokens.shipped.packed_questions import (
    MEASURED,
    Block,
    PackedQuestions,
    everything,
    first_questions,
    require_scenes,
)
from analysis.visual_tokens.split_results import CONTROLS, SplitCell, SplitSweep, load_split_sweep
from analysis.visual_tokens.sweep import DEFAULT_KEPT
from analysis.visual_tokens.tower_view import read_tower
from analysis.visual_tokens.view import view_before

if TYPE_CHECKING:
    from analysis.visual_tokens.vision_model import VisionModel

_OF_THE_QUESTION = {"attention", "question", "text_keys", "text_states", "text_embedding"}
"""Parts of a view that another question changes: methods that need one choose for each question."""


def sweep_split(
    vlm: VisionModel,
    policies: Sequence[str | VisualPolicy],
    kept: Sequence[float] = DEFAULT_KEPT,
    *,
    questions: int = 500,
    split: str = "test",
    counting: Counting = "kept",
    seeds: int = 5,
    file: str | Path | None = None,
    on_progress: Progress = silent,
    on_partial: Callable[[SplitSweep], None] | None = None,
) -> SplitSweep:
    """Ask the shipped model many questions under many prunings.

    Parameters
    ----------
    vlm : VisionModel
        The shipped model, or one that was trained like it.
    policies : sequence of str or VisualPolicy
        Methods; random tokens, from layer 0 and from layer 2 on, and down-sampling are always among them.
    kept : sequence of float
        Tokens to keep: whole numbers, or shares of all of them.
    questions : int, default 500
        How many, about the first scenes of the split.
    split : {"test", "validation", "train"}
    counting : {"kept", "average"}
        Whether these are the tokens left after the last pruning, or their average over the layers.
    seeds : int, default 5
        Draws of each random method, of which every scene has its own.
    file : str or pathlib.Path, optional
        Where the numbers so far are kept. If it is there, the run goes on from it.
    on_progress : callable
        Called with the share that is done and a text; raising from it stops the run.
    on_partial : callable, optional
        Called with what is known after every block of scenes.

    Raises
    ------
    AnalysisError
        If the model cannot be asked about scenes, or the file is that of another sweep.
    BrokenFileError
        If the file cannot be read.
    """
    methods = _with_controls([policy(one) for one in policies])
    check_counting(counting)
    if seeds < 1:
        raise AnalysisError("A sweep has at least one seed.", "Use 1 or more.")
    tokens = [tokens_of(k, N_VISUAL) for k in kept]
    with vlm.held("while asking about scenes"):
        require_scenes(vlm)
        settings: dict[str, Any] = {
            "model": vlm.name,
            "revision": vlm.info.revision,
            "dtype": vlm.info.dtype,
            "methods": [{"name": m.name, **m.defaults} for m in methods],
            "tokens": tokens,
            "counting": counting,
            "seeds": seeds,
            "questions": questions,
            "split": split,
        }
        settings = json.loads(json.dumps(settings))  # as a file holds them: lists, no tuples
        sweep = _begin(settings, methods, tokens, file)
        asker = _Asker(vlm, methods, tokens, counting, seeds)
        for block in first_questions(split, questions, len(sweep)):
            started = time.process_time()
            on_progress(len(sweep) / questions, f"question {len(sweep) + 1} of {questions}")
            report = _within(on_progress, len(sweep), questions, sum(len(asked) for _, asked in block))
            sweep = _joined(sweep, block, *asker.ask(block, report))
            spent = sweep.seconds.get("cpu", 0.0) + time.process_time() - started
            sweep = replace(sweep, seconds={"cpu": spent})
            if file is not None:
                sweep.save(file)
            if on_partial is not None:
                on_partial(sweep)
    on_progress(1.0, "done")
    return sweep


def _with_controls(methods: Sequence[VisualPolicy]) -> list[VisualPolicy]:
    """The controls first; no method twice."""
    names = {one.name for one in methods}
    found = [policy(name) for name in CONTROLS if name not in names] + list(methods)
    if len({one.name for one in found}) < len(found):
        raise AnalysisError("A method is there twice.", "Name each method once.")
    return found


def _begin(
    settings: dict[str, Any], methods: Sequence[VisualPolicy], tokens: Sequence[int], file: str | Path | None
) -> SplitSweep:
    """What the file holds, or a sweep without a question."""
    if file is not None and Path(file).exists():
        found = load_split_sweep(file)
        if found.settings != settings:
            raise AnalysisError(
                f"{Path(file).name} belongs to a sweep with other settings.", "Choose another file."
            )
        return found
    cells = [SplitCell("full", "all tokens", N_VISUAL)]
    cells += [SplitCell(one.name, one.label, n) for one in methods for n in tokens]
    nothing: dict[str, Any] = dict.fromkeys(MEASURED, np.zeros((len(cells), 0)))
    return SplitSweep(
        settings,
        tuple(cells),
        np.zeros(0, np.int64),
        np.zeros(0, str),
        **nothing,
    )


def _within(report: Progress, done: int, of: int, n: int) -> Callable[[float, str], None]:
    return lambda share, what: report((done + share * n) / of, what)


def _joined(
    sweep: SplitSweep,
    block: Block,
    measured: dict[str, np.ndarray],
    whys: dict[int, str],
    blurred: np.ndarray,
) -> SplitSweep:
    """A sweep with the numbers of one more block of scenes."""
    picture = [one.seed for one, asked in block for _ in asked]
    kind = [q.kind for _, asked in block for q in asked]
    more: dict[str, Any] = {
        name: np.concatenate([getattr(sweep, name), values], 1) for name, values in measured.items()
    }
    return replace(
        sweep,
        cells=tuple(replace(c, why=c.why or whys.get(i, "")) for i, c in enumerate(sweep.cells)),
        picture=np.concatenate([sweep.picture, np.array(picture, np.int64)]),
        kind=np.concatenate([sweep.kind, np.array(kind, str)]),
        blurred=np.concatenate([sweep.blurred, blurred]),
        **more,
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """One scene of a block.

    Parameters
    ----------
    seed : int
    tokens : torch.Tensor
        (144, D), as the language model gets them.
    blurred : torch.Tensor
        The same of the picture with half its detail.
    views : tuple of VisualView
        One for each question.
    """

    seed: int
    tokens: Tensor
    blurred: Tensor
    views: tuple[VisualView, ...]


@dataclass(frozen=True, eq=False)
class _Asker:
    """Asks blocks of scenes."""

    vlm: VisionModel
    methods: Sequence[VisualPolicy]
    tokens: Sequence[int]
    counting: Counting
    seeds: int

    def ask(self, block: Block, report: Progress) -> tuple[dict[str, np.ndarray], dict[int, str], np.ndarray]:
        """Numbers of all cells for the questions of a block, (C, q) each, why a cell has none, and what is right blurred."""
        seen = [self._seen(*one) for one in block]
        questions = [list(asked) for _, asked in block]
        rows = PackedQuestions(self.vlm, [s.tokens for s in seen], questions)
        full = rows.measure([everything() for _ in seen], by_scene=True)
        found = {name: [full[name]] for name in MEASURED}
        whys: dict[int, str] = {}
        for m, method in enumerate(self.methods):
            for n in self.tokens:
                report((m + 1) / (len(self.methods) + 1), f"{method.label}, {n} tokens")
                try:
                    cell = self._cell(rows, seen, method, n)
                except AnalysisError as error:
                    whys[len(found["right"])] = error.message
                    cell = {name: np.full_like(full[name], np.nan) for name in MEASURED}
                for name in MEASURED:
                    found[name].append(cell[name])
        softer = PackedQuestions(self.vlm, [s.blurred for s in seen], questions)
        blurred = softer.measure([everything() for _ in seen], by_scene=True)["right"]
        return {name: np.stack(parts) for name, parts in found.items()}, whys, blurred

    def _seen(self, one: Scene, questions: Sequence[Question]) -> _Seen:
        """Read a scene once, and look at it with each question."""
        model = self.vlm.model
        layers = layers_read(model, self.methods)
        prepared = [self.vlm.prepare(one.image, question.text) for question in questions]
        parts = parts_of_the_tower(self.methods)
        reading = read_tower(model, prepared[0].inputs, prepared[0].boxes, parts)
        views = [view_before(model, reading.asking(p.inputs), p.boxes, layers) for p in prepared]
        softer = self.vlm.prepare(Image.fromarray(blurred_pixels(one)), questions[0].text)
        blurred = read_tower(model, softer.inputs, softer.boxes, ())
        tokens, half = (r.once["mm_encoder_outputs"]["image"].pooler_output[0] for r in (reading, blurred))
        return _Seen(one.seed, tokens, half, tuple(views))

    def _cell(
        self, rows: PackedQuestions, seen: Sequence[_Seen], method: VisualPolicy, n: int
    ) -> dict[str, np.ndarray]:
        """Mean numbers over the draws of a method."""
        by_scene = not set(method.needs) & _OF_THE_QUESTION
        drawn = []
        for draw in range(self.seeds if method.is_random else 1):
            choices = []
            for one in seen:
                own = drawn_with([method], [one.seed * self.seeds + draw])[0]
                views = one.views[:1] if by_scene else one.views
                choices += [choice_for(own, view, n, self.counting) for view in views]
            drawn.append(rows.measure(choices, by_scene=by_scene))
        return {name: np.mean([one[name] for one in drawn], 0) for name in MEASURED}
