"""What small bounded changes of pictures do to a model whose visual tokens are pruned, and not to the whole one.

A safety measurement, on pictures with known answers: a method may look as good as all tokens on pictures as they
are, and lose what it keeps when no one could see a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from analysis.errors import AnalysisError
from analysis.models.stops import stop_ids
from analysis.progress import Progress, silent
from analysis.visual_tokens.answering import answer_logp
from analysis.visual_tokens.apply import pruned
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.budgets import tokens_of
from analysis.visual_tokens.fragility_results import FragileCell, Fragility
from analysis.visual_tokens.parts import image_token_id, language_layers, visual_positions
from analysis.visual_tokens.perturbation import Noise, Shown, as_picture
from analysis.visual_tokens.policies import VisualPolicy, VisualView, policy
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.stability import rank_stability
from analysis.visual_tokens.tower_view import read_tower
from analysis.visual_tokens.view import view_before

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.vision_model import PreparedQuestion, VisionModel


class HasAnswer(Protocol):
    """A question with its answer, such as those of :func:`analysis.scene`."""

    @property
    def text(self) -> str:
        """The question."""

    @property
    def answer(self) -> str:
        """The right answer."""


class HasQuestions(Protocol):
    """A picture with questions, such as an :func:`analysis.scene`."""

    @property
    def image(self) -> Image:
        """The picture."""

    @property
    def questions(self) -> Sequence[HasAnswer]:
        """At least one."""


def measure_fragility(
    vlm: VisionModel,
    pictures: Sequence[HasQuestions],
    policies: Sequence[str | VisualPolicy],
    kept: Sequence[float],
    noise: Noise,
    *,
    progress: Progress = silent,
) -> Fragility:
    """Ask the same questions of pictures as they are and changed, with all tokens and with few.

    Parameters
    ----------
    vlm : VisionModel
        Of :func:`analysis.load_vision_model`.
    pictures : sequence
        With questions whose answers are known, such as some :func:`analysis.scene`.
    policies : sequence of str or VisualPolicy
        Methods; a random one is one draw, that of its seed, the same for all pictures, changed or not.
    kept : sequence of float
        Tokens to keep: whole numbers, or shares of all of them.
    noise : Noise
        :class:`analysis.RandomSigns` or :class:`analysis.AgainstAttention`. Each picture has a seed of its own.
    progress : callable
        Called with the share that is done and a text.

    Returns
    -------
    Fragility

    Raises
    ------
    AnalysisError
        If there is no picture with a question, for an unknown method, and as :meth:`VisionModel.prepare` and
        :meth:`Noise.perturbed` do.

    Examples
    --------
    >>> scenes = [an.scene(seed) for seed in range(10)]
    >>> found = an.measure_fragility(vlm, scenes, ["random", "fastv"], [36, 16], an.AgainstAttention(2))
    >>> an.figures.fragility_chart(found)
    """
    methods = [policy(one) for one in policies]
    if not pictures or not all(one.questions for one in pictures):
        raise AnalysisError("There is no picture with a question.", "Give scenes with their questions.")
    rows: list[_Answers] = []
    changed, number = [], []
    with vlm.held("while asking about changed pictures"):
        for i, one in enumerate(pictures):
            progress(i / len(pictures), f"picture {i + 1} of {len(pictures)}")
            prepared = [vlm.prepare(one.image, question.text) for question in one.questions]
            shown = Shown(vlm.model, vlm.processor.image_processor, prepared[0].inputs, prepared[0].boxes)
            after = replace(noise, seed=noise.seed + i).perturbed(shown)
            both = [_read(vlm, pixels, prepared, methods) for pixels in (prepared[0].inputs, after)]
            changed.append(as_picture(after["pixel_values"], shown.processor))
            for question, clean, noisy in zip(one.questions, *both, strict=True):
                ids = tuple(vlm.answer_ids(question.answer))
                rows.append(_Answers.of(clean, noisy, ids, methods, kept))
                number.append(i)
    progress(1.0, "done")
    cells = [_joined([row.cells[c] for row in rows]) for c in range(len(methods) * len(kept))]
    full = np.array([row.full for row in rows])
    return Fragility(noise, np.array(number), full[:, 0], full[:, 1], tuple(cells), tuple(changed))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A question about a picture, read once."""

    vlm: VisionModel
    once: dict[str, Any]
    view: VisualView
    places: torch.Tensor

    def right(self, choice: Choice, ids: tuple[int, ...]) -> bool:
        """Whether a greedy answer with what is left is this one and ends there."""
        model = self.vlm.model
        with pruned(model, choice, self.places):
            said = answer_logp(model, self.once, (*ids, 0)).argmax(-1).tolist()
        return tuple(said[:-1]) == ids and said[-1] in {*stop_ids(self.vlm), image_token_id(model)}


def _read(
    vlm: VisionModel,
    pixels: dict[str, Any],
    prepared: Sequence[PreparedQuestion],
    methods: Sequence[VisualPolicy],
) -> list[_Seen]:
    """All questions about one picture, which is read once."""
    n_layers = len(language_layers(vlm.model))
    layers = {layer for one in methods for layer in one.layers_read(n_layers) if layer < n_layers}
    reading = read_tower(vlm.model, pixels, prepared[0].boxes)
    found = []
    for one in prepared:
        own = reading.asking(one.inputs)
        visual = visual_positions(vlm.model, one.inputs["input_ids"][0])
        places = visual[torch.as_tensor(one.boxes.view != NEWLINE, device=visual.device)]
        found.append(_Seen(vlm, own.once, view_before(vlm.model, own, one.boxes, layers), places))
    return found


@dataclass(frozen=True, eq=False)
class _Answers:
    """One question: right with all tokens on both pictures, and a cell of one question for each method and number."""

    full: tuple[bool, bool]
    cells: tuple[FragileCell, ...]

    @classmethod
    def of(
        cls,
        clean: _Seen,
        noisy: _Seen,
        ids: tuple[int, ...],
        methods: Sequence[VisualPolicy],
        kept: Sequence[float],
    ) -> _Answers:
        n = len(clean.view)
        everything = Choice(n, (Stage(0, torch.arange(n)),))
        cells = [_cell(clean, noisy, ids, method, amount) for method in methods for amount in kept]
        return cls((clean.right(everything, ids), noisy.right(everything, ids)), tuple(cells))


def _cell(
    clean: _Seen, noisy: _Seen, ids: tuple[int, ...], method: VisualPolicy, amount: float
) -> FragileCell:
    none = np.zeros(0)
    label = f"{method.label}, one draw" if method.is_random else method.label
    try:
        tokens = tokens_of(amount, len(clean.view))
        choices = [method.choose(one.view, tokens) for one in (clean, noisy)]
    except AnalysisError as error:
        return FragileCell(method.name, label, amount, 0, none, none, none, none, none, error.message)
    again = torch.isin(choices[0].kept, choices[1].kept).float().mean() if tokens else torch.tensor(1.0)
    correlation = infiltrated = float("nan")
    scores = [method.ranking(one.view) for one in (clean, noisy)]
    if scores[0] is not None and scores[1] is not None:
        stability = rank_stability(scores[0], scores[1], tokens)
        correlation, infiltrated = stability.correlation, stability.infiltrated
    right = [one.right(choice, ids) for one, choice in zip((clean, noisy), choices, strict=True)]
    return FragileCell(
        method.name,
        label,
        amount,
        tokens,
        clean=np.array(right[:1]),
        noisy=np.array(right[1:]),
        kept_again=np.array([float(again)]),
        correlation=np.array([correlation]),
        infiltrated=np.array([infiltrated]),
    )


def _joined(cells: Sequence[FragileCell]) -> FragileCell:
    """Cells of single questions as one; the first that has none says why for all."""
    first = next((cell for cell in cells if cell.why), cells[0])
    if first.why:
        return first

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(cell, name) for cell in cells])

    return replace(
        first,
        clean=together("clean"),
        noisy=together("noisy"),
        kept_again=together("kept_again"),
        correlation=together("correlation"),
        infiltrated=together("infiltrated"),
    )
