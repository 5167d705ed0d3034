"""How often the shipped model is right, by kind of question, beside what needs no picture and half a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from analysis.progress import Progress, silent
from analysis.visual_tokens.intervals import Interval, wilson
from analysis.visual_tokens.scenes.plan import SIDE
from analysis.visual_tokens.scenes.scene import Scene
from analysis.visual_tokens.scenes.words import KINDS
from analysis.visual_tokens.shipped.packed_pass import answer_logits, answered_right, patch_states, project
from analysis.visual_tokens.shipped.packing import Packer, draw, pixels_of

BATCH = 32
CONDITIONS = ("full", "blind", "blurred", "pooled")
"""The picture; another scene's picture; one of half the detail; 2 x 2 visual tokens averaged to one."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Which questions were answered rightly, under each condition.

    Parameters
    ----------
    picture : numpy.ndarray
        (Q,) of int: seed of the scene of each question.
    kind : numpy.ndarray
        (Q,) of str.
    right : dict of str to numpy.ndarray
        Name of the condition to (Q,) of bool. "majority" is the most frequent answer of each kind.
    """

    picture: np.ndarray
    kind: np.ndarray
    right: dict[str, np.ndarray]

    def share(self, condition: str, kind: str | None = None) -> Interval:
        """Share of right answers with its 95 % interval; of one kind, or of all."""
        chosen = np.ones(len(self.kind), bool) if kind is None else self.kind == kind
        return wilson(int(self.right[condition][chosen].sum()), int(chosen.sum()))

    def lost(self, condition: str) -> Interval:
        """Share of all questions that are right in full and wrong under a condition (group A of VTC-Bench)."""
        lost = self.right["full"] & ~self.right[condition]
        return wilson(int(lost.sum()), len(lost))

    def rows(self) -> list[dict[str, object]]:
        """One row a kind and one for all: questions, and the shares under every condition in percent."""
        rows = []
        for kind in (*KINDS, None):
            n = len(self.kind) if kind is None else int((self.kind == kind).sum())
            row: dict[str, object] = {"kind": kind or "all", "questions": n}
            for condition in self.right:
                share = self.share(condition, kind)
                row[condition] = round(100 * share.value, 1)
                row[f"{condition} low"], row[f"{condition} high"] = (
                    round(100 * share.low, 1),
                    round(100 * share.high, 1),
                )
            rows.append(row)
        return rows


@torch.no_grad()
def measure_answers(
    model: LlavaForConditionalGeneration, packer: Packer, seeds: Sequence[int], *, progress: Progress = silent
) -> Answers:
    """Ask the model all questions of some scenes, under every condition.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        The shipped model.
    packer : Packer
    seeds : sequence of int
        At least two; no block of 32 may end with one alone.
    progress : callable
        Called with the share that is done and a text.

    Returns
    -------
    Answers
        With "majority" after :data:`CONDITIONS`.
    """
    right: dict[str, list[torch.Tensor]] = {condition: [] for condition in CONDITIONS}
    pictures: list[int] = []
    kinds: list[str] = []
    answers: list[str] = []
    for start in range(0, len(seeds), BATCH):
        progress(start / len(seeds), f"scene {start + 1} of {len(seeds)}")
        scenes = draw(seeds[start : start + BATCH])
        asked = [s.questions for s in scenes]
        whole = packer.pack(asked)
        states = patch_states(model, pixels_of(scenes))
        for condition, tokens in (
            ("full", project(model, states)),
            ("blind", project(model, states).roll(1, 0)),
            ("blurred", project(model, patch_states(model, pixels_of([blurred_pixels(s) for s in scenes])))),
        ):
            right[condition].append(answered_right(answer_logits(model, tokens, whole), whole))
        tokens, places = pool(project(model, states), 2)
        few = packer.pack(asked, places)
        right["pooled"].append(answered_right(answer_logits(model, tokens, few), few))
        pictures += [s.seed for s in scenes for _ in s.questions]
        kinds += whole.kinds
        answers += [q.answer for s in scenes for q in s.questions]
    of = np.array(kinds)
    usual = {kind: Counter(np.array(answers)[of == kind].tolist()).most_common(1) for kind in set(kinds)}
    found = {condition: torch.cat(parts).numpy() for condition, parts in right.items()}
    found["majority"] = np.array([usual[k][0][0] == a for k, a in zip(kinds, answers, strict=True)])
    return Answers(np.array(pictures), of, found)


def pool(tokens: torch.Tensor, side: int) -> tuple[torch.Tensor, list[float]]:
    """Average blocks of visual tokens: plain down-sampling where a model's number of tokens is fixed.

    Parameters
    ----------
    tokens : torch.Tensor
        (B, 144, width), a square grid row by row.
    side : int
        Tokens along each side of a block; must divide the grid's side.

    Returns
    -------
    torch.Tensor
        (B, 144 / side², width), blocks row by row.
    list of float
        Mean place of each block's tokens.
    """
    n = round(tokens.shape[1] ** 0.5)
    blocks = tokens.unflatten(1, (n // side, side, n // side, side)).mean((2, 4)).flatten(1, 2)
    place = np.arange(n * n).reshape(n // side, side, n // side, side).mean((1, 3))
    return blocks, place.ravel().tolist()


def blurred_pixels(s: Scene) -> np.ndarray:
    """The picture made half as large (bicubic) and as large as before again: half its detail, all its tokens."""
    half = s.image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC)
    return np.asarray(half.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
