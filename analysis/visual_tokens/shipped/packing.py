"""Scenes as batches: pixels, and all questions of a picture in one row, none of which sees another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from analysis.visual_tokens.scenes.questions import Question
from analysis.visual_tokens.scenes.scene import Scene, scene
from analysis.visual_tokens.shipped.build import N_VISUAL
from analysis.visual_tokens.shipped.words import IMAGE


@dataclass(frozen=True, eq=False)
class Batch:
    """Questions of some scenes, packed: B pictures, S positions (1 + 144 + those of the questions).

    Parameters
    ----------
    ids : torch.Tensor
        (B, S) of int64: ``<s>``, the image, then question, answer and ``</s>`` of each question.
    positions : torch.Tensor
        (B, S) of int64, or float32 where ``places`` are not whole: each question goes on where the image ends.
    group : torch.Tensor
        (B, S) of int64: 0 for ``<s>`` and the image, 1, 2, ... for each question with its answer, -1 for nothing.
    rows, columns, targets : torch.Tensor
        (N,) of int64: where something is learned, and the token that follows there.
    question : torch.Tensor
        (N,) of int64: number of the question in the batch that each of them belongs to.
    is_end : torch.Tensor
        (N,) of bool: the token that follows is ``</s>``.
    kinds : tuple of str
        Kind of each question.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    group: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    question: torch.Tensor
    is_end: torch.Tensor
    kinds: tuple[str, ...]

    @cached_property
    def visible(self) -> torch.Tensor:
        """Who sees whom, (B, 1, S, S) of bool: the image and one's own question, up to oneself."""
        of = self.group
        causal = torch.ones(of.shape[1], of.shape[1], dtype=torch.bool, device=of.device).tril()
        return (((of[:, None, :] == 0) | (of[:, None, :] == of[:, :, None])) & causal)[:, None]

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return the batch with every tensor changed: moved to a device, for one."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kinds"}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


class Packer:
    """Packs questions; keeps the ids of the texts that it has seen.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        The shipped model's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._image = tokenizer.convert_tokens_to_ids(IMAGE)

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]

    def pack(
        self, questions: Sequence[Sequence[Question]], places: Sequence[float] = range(N_VISUAL)
    ) -> Batch:
        """Pack the questions of each picture into its row.

        Parameters
        ----------
        questions : sequence of sequence of Question
            Those of each picture.
        places : sequence of float
            Place in the image's 144 of each visual token that is there, rising; all by default. Questions
            stand where they always do.
        """
        prefix = [self._tokenizer.bos_token_id, *[self._image] * len(places)]
        start = 1 + N_VISUAL
        rows: list[list[int]] = []
        groups: list[list[int]] = []
        positions: list[list[float]] = []
        learned: list[tuple[int, int, int, int, bool]] = []
        kinds: list[str] = []
        for row, asked in enumerate(questions):
            ids, group, position = list(prefix), [0] * len(prefix), [0, *(1 + p for p in places)]
            for number, one in enumerate(asked, 1):
                answer = [*self._ids(one.answer), self._tokenizer.eos_token_id]
                text = [*self._ids(one.text), *answer]
                first = len(ids) + len(text) - len(answer) - 1
                learned += [
                    (row, first + i, token, len(kinds), i == len(answer) - 1)
                    for i, token in enumerate(answer)
                ]
                kinds.append(one.kind)
                ids += text
                group += [number] * len(text)
                position += range(start, start + len(text))
            rows.append(ids)
            groups.append(group)
            positions.append(position)
        row_, column, target, question, is_end = (
            torch.tensor(values) for values in zip(*learned, strict=True)
        )
        return Batch(
            ids=torch.from_numpy(_filled(rows, self._tokenizer.pad_token_id)),
            positions=torch.from_numpy(_filled(positions, 0)),
            group=torch.from_numpy(_filled(groups, -1)),
            rows=row_,
            columns=column,
            targets=target,
            question=question,
            is_end=is_end,
            kinds=tuple(kinds),
        )


def _filled(rows: Sequence[Sequence[float]], value: int) -> np.ndarray:
    """Rows of different lengths as one (B, S) array: of int64, of float32 where a number is not whole."""
    whole = all(isinstance(v, int) for row in rows for v in row)
    table = np.full((len(rows), max(map(len, rows))), value, np.int64 if whole else np.float32)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def draw(seeds: Sequence[int]) -> list[Scene]:
    """Make the scenes of these seeds."""
    return [scene(seed) for seed in seeds]


def pixels_of(pictures: Sequence[Scene | np.ndarray]) -> torch.Tensor:
    """Pixels as the processor would hand them over: (B, 3, 96, 96) of float32 from -1 to 1."""
    return scaled(np.stack([p if isinstance(p, np.ndarray) else p.pixels for p in pictures]))


def scaled(pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Pictures of 8 bits, (B, 96, 96, 3), as the processor would hand them over: see :func:`pixels_of`."""
    return (torch.as_tensor(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def labels_of(scenes: Sequence[Scene]) -> torch.Tensor:
    """What each patch shows: (B, 5, 144) of int64."""
    return torch.from_numpy(np.stack([s.patch_labels for s in scenes]))
