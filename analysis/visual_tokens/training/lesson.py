"""What one step learns from: pictures, what their patches show, and packed questions; drawn here or by other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.drawing import PATCH
from analysis.visual_tokens.scenes.mentions import mentions
from analysis.visual_tokens.scenes.questions import Question, further_questions
from analysis.visual_tokens.scenes.scene import Scene
from analysis.visual_tokens.shipped.packing import Batch, Packer, draw, labels_of
from analysis.visual_tokens.training.recipe import Stage

FURTHER = 2**32
"""Added to a scene's seed for the questions that only the training asks."""

AHEAD = 3
"""Lessons that a process draws ahead."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """B scenes on one device.

    Parameters
    ----------
    pixels : torch.Tensor
        (B, 96, 96, 3) of uint8.
    labels : torch.Tensor
        (B, 5, 144) of int64: what each patch shows.
    batch : Batch
        The questions.
    named : torch.Tensor
        (M, 4) of int64: row and column in the batch where an item has just been named, and row and column of the
        patch in which its middle lies.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    batch: Batch
    named: torch.Tensor

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Lesson:
        """Return the lesson with every tensor changed."""
        return Lesson(change(self.pixels), change(self.labels), self.batch.each(change), change(self.named))

    def to(self, device: torch.device) -> Lesson:
        """Return the lesson on a device, without waiting for the copy."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Lesson:
        """Return the lesson in memory from which a device copies by itself."""
        return self.each(torch.Tensor.pin_memory)


def lesson_of(scenes: Sequence[Scene], packer: Packer, further: Sequence[str] = ()) -> Lesson:
    """Make a lesson of scenes; each is asked its own questions and one more of each kind in ``further``."""
    questions = [(*s.questions, *_more(s, further)) for s in scenes]
    pixels = torch.from_numpy(np.stack([s.pixels for s in scenes]))
    batch = packer.pack(questions)
    return Lesson(pixels, labels_of(scenes), batch, _named(scenes, questions, batch.group.numpy()))


def _named(
    scenes: Sequence[Scene], questions: Sequence[Sequence[Question]], group: np.ndarray
) -> torch.Tensor:
    """Where items are named in a batch of these groups, and where they lie: see :class:`Lesson`."""
    found = [
        (row, int(first) + number, *(at // (2 * PATCH) for at in reversed(item.middle)))
        for row, (s, asked) in enumerate(zip(scenes, questions, strict=True))
        for first, one in zip(np.flatnonzero(np.diff(group[row])) + 1, asked, strict=False)
        for number, item in mentions(one.text, s.items)
    ]
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 4)


def _more(s: Scene, kinds: Sequence[str]) -> tuple[Question, ...]:
    return further_questions(Dice(FURTHER + s.seed), s.items, kinds, s.questions) if kinds else ()


@dataclass(frozen=True, eq=False)
class _Lessons(Dataset[Lesson]):
    """Lessons of a stage by the number of the step; ``start`` is the seed of the first scene."""

    stage: Stage
    packer: Packer
    start: int

    def __getitem__(self, step: int) -> Lesson:
        at = self.start + step * self.stage.batch
        return lesson_of(draw(range(at, at + self.stage.batch)), self.packer, self.stage.further)


def lessons(
    stage: Stage, packer: Packer, start: int, done: int, *, device: torch.device, workers: int = 0
) -> Iterator[Lesson]:
    """Draw the lessons of the rest of a stage, in order.

    Parameters
    ----------
    stage : Stage
    packer : Packer
    start : int
        Seed of the first scene of the stage.
    done : int
        Steps that are done.
    device : torch.device
        Where the lessons are wanted.
    workers : int, default 0
        Processes that draw ahead; 0 draws here, when a lesson is due. The lessons are the same.
    """
    loader = DataLoader(
        _Lessons(stage, packer, start),
        batch_size=None,
        sampler=range(done, stage.steps),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,
        pin_memory=device.type == "cuda",
    )
    for lesson in loader:
        yield lesson.to(device)
