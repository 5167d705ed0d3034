"""One picture and one question under many prunings: one pass of the tower, one look at all tokens, then a pass each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.progress import Progress, silent
from analysis.visual_tokens.budgets import Counting, check_counting, choice_for, drawn_with, tokens_of
from analysis.visual_tokens.picture_run import PictureRun, Reference, read_once
from analysis.visual_tokens.policies import POLICIES, VisualPolicy, policy
from analysis.visual_tokens.sweep_results import VisualSetting, VisualSweep

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.vision_model import VisionModel

DEFAULT_KEPT = (0.5, 1 / 4, 1 / 9, 1 / 16)
"""Shares of the tokens: the last three are those that down-sampling by 2, 3 and 4 leaves."""


def sweep_visual(
    vlm: VisionModel,
    image: bytes | str | Path | Image,
    question: str,
    policies: Sequence[str | VisualPolicy] = tuple(POLICIES),
    kept: Sequence[float] = DEFAULT_KEPT,
    *,
    answer: str | None = None,
    counting: Counting = "kept",
    seeds: int = 5,
    max_new: int = 16,
    on_progress: Progress = silent,
    on_partial: Callable[[VisualSweep], None] | None = None,
) -> VisualSweep:
    """Prune a picture's tokens in many ways and see what that does to the answer.

    Parameters
    ----------
    vlm : VisionModel
        Of :func:`load_vision_model`.
    image : bytes, str, pathlib.Path or PIL.Image.Image
        As :meth:`VisionModel.prepare` takes it.
    question : str
    policies : sequence of str or VisualPolicy
        Methods, see :data:`analysis.visual_tokens.policies.POLICIES`; all by default. One that the model cannot run is
        in the result with the reason.
    kept : sequence of float
        Tokens to keep: whole numbers, or shares of all of them.
    answer : str, optional
        The right answer. What is written with all tokens stands for it by default.
    counting : {"kept", "average"}
        Whether these are the tokens left after the last pruning, or their average over the layers.
    seeds : int, default 5
        How often a random method is drawn.
    max_new : int, default 16
        Most tokens of an answer.
    on_progress : callable
        Called with the share that is done and a text.
    on_partial : callable, optional
        Called with the sweep so far, after every setting.

    Returns
    -------
    VisualSweep
        Setting 0 has all tokens.

    Raises
    ------
    AnalysisError
        As :meth:`VisionModel.prepare` does; an unknown method; a number that is more than there are.
    """
    methods = drawn_with([policy(one) for one in policies], range(seeds))
    check_counting(counting)
    if seeds < 1 or max_new < 1:
        raise AnalysisError("A sweep has at least one seed and one token of answer.", "Use 1 or more.")
    with vlm.held("while pruning visual tokens"):
        on_progress(0.0, "vision tower")
        run = read_once(vlm, image, question, methods)
        amounts = [(k, tokens_of(k, len(run.view))) for k in kept]
        on_progress(0.05, "all tokens")
        reference = Reference.of(run, answer, max_new)
        settings = [
            reference.measure(run.everything(), VisualSetting("full", "all tokens", 0, len(run.view)))
        ]
        sweep = VisualSweep(
            vlm.name,
            question,
            reference.text,
            answer is not None,
            counting,
            len(run.view),
            run.n_newlines,
            run.n_text,
            run.shape.n_layers,
            tuple(settings),
        )
        todo = [(one, asked, n) for one in methods for asked, n in amounts]
        for i, (one, asked, n) in enumerate(todo):
            on_progress(0.1 + 0.9 * i / len(todo), f"{one.label}, {n} tokens")
            settings.append(_setting(run, reference, one, asked, n, counting))
            sweep = replace(sweep, settings=tuple(settings))
            if on_partial is not None:
                on_partial(sweep)
    on_progress(1.0, "done")
    return sweep


def _setting(
    run: PictureRun, reference: Reference, method: VisualPolicy, asked: float, tokens: int, counting: Counting
) -> VisualSetting:
    """Numbers of one method and one number of tokens, or why there are none."""
    empty = VisualSetting(method.name, method.label, int(getattr(method, "seed", 0)), asked)
    try:
        choice = choice_for(method, run.view, tokens, counting)
    except AnalysisError as error:
        return replace(empty, why=error.message)
    return reference.measure(choice, empty)
