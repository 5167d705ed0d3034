"""A scene from its seed, and which seeds are for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.drawing import paint, patch_labels
from analysis.visual_tokens.scenes.ground import paint_ground
from analysis.visual_tokens.scenes.plan import SIDE, Item, plan_items
from analysis.visual_tokens.scenes.questions import Question, draw_questions

if TYPE_CHECKING:
    from PIL.Image import Image

SPLITS = {
    "test": range(1_000_000),
    "validation": range(1_000_000, 2_000_000),
    "train": range(2_000_000, 2**32),
}
"""Seeds of each split. They share none, and a seed that a person types has not been trained on."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A generated picture with questions about it.

    Parameters
    ----------
    seed : int
    pixels : numpy.ndarray
        (96, 96, 3) of uint8, red, green and blue.
    items : tuple of Item
        What is on it, and where.
    questions : tuple of Question
        Up to 6, with the right answers.
    """

    seed: int
    pixels: np.ndarray
    items: tuple[Item, ...]
    questions: tuple[Question, ...]

    @cached_property
    def image(self) -> Image:
        """The picture as a Pillow image."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    @cached_property
    def patch_labels(self) -> np.ndarray:
        """(5, 144) of int64: what each patch of 8 x 8 pixels shows."""
        return patch_labels(self.items)

    @property
    def split(self) -> str:
        """Split that the seed belongs to: "test", "validation" or "train"."""
        return next(name for name, seeds in SPLITS.items() if self.seed in seeds)


def scene(seed: int) -> Scene:
    """Make the scene of a seed: the same pixels, questions and answers on every machine.

    Parameters
    ----------
    seed : int
        0 to 4,294,967,295. Below a million: scenes the shipped model was never trained or chosen on.

    Returns
    -------
    Scene
        ``.image``, ``.questions`` (each with ``text``, ``answer``, ``kind``), ``.pixels``, ``.items``.

    Raises
    ------
    AnalysisError
        If the seed is not a whole number in that range.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise AnalysisError(
            f"There is no scene {seed!r}.", "A scene is a whole number from 0 to 4,294,967,295."
        )
    dice = Dice(int(seed))
    # RandomState is frozen by numpy's own rules: its bytes do not change between versions
    grain = np.frombuffer(np.random.RandomState(int(seed)).bytes(SIDE * SIDE), np.uint8)
    grain = grain.reshape(SIDE, SIDE).astype(np.int32)
    dark = dice.chance(0.5)
    items = plan_items(dice, dark)
    pixels = paint(paint_ground(dice, grain, dark), items, grain)
    return Scene(int(seed), pixels, items, draw_questions(dice, items))
