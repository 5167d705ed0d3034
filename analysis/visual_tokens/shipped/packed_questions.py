"""Questions about some scenes, packed: how the shipped model answers each under a choice of visual tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.visual_tokens.accounting import flops, language_shape, tokens_per_layer
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.scenes.questions import Question
from analysis.visual_tokens.scenes.scene import SPLITS, Scene, scene
from analysis.visual_tokens.shipped.build import N_VISUAL
from analysis.visual_tokens.shipped.packed_pass import answered_right
from analysis.visual_tokens.shipped.packing import Batch, Packer
from analysis.visual_tokens.shipped.pruned_pass import pruned_logits, shape_of
from analysis.visual_tokens.shipped.words import build_tokenizer

if TYPE_CHECKING:
    from analysis.visual_tokens.vision_model import VisionModel

Block = list[tuple[Scene, tuple[Question, ...]]]
BLOCK = 8
"""Scenes in one pass."""
MEASURED = ("right", "answer_logp", "kl", "kept", "average", "flops")
"""Numbers of a question under a choice, as :class:`analysis.visual_tokens.split_results.SplitSweep` has them."""


def scenes_asked(split: str, questions: int, done: int = 0) -> Iterator[Block]:
    """First scenes of a split with their questions, a few scenes at a time.

    Parameters
    ----------
    split : {"test", "validation", "train"}
    questions : int
        How many there are; the last scene's may not be all of them.
    done : int, default 0
        Questions of the first scenes that are left out.

    Raises
    ------
    AnalysisError
        If there is no such split, or no question.
    """
    if split not in SPLITS or questions < 1:
        raise AnalysisError("There are no such questions.", f"Choose at least one, of {', '.join(SPLITS)}.")
    left, block = questions, []
    for seed in SPLITS[split]:
        if not left:
            break
        one = scene(seed)
        asked = one.questions[:left]
        left -= len(asked)
        if done:  # files are written after whole scenes
            done -= len(asked)
            continue
        block.append((one, asked))
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def require_scenes(vlm: VisionModel) -> None:
    """Refuse a model that does not read 144 tokens a picture and the words of the scenes."""
    same = vlm.info.family == "llava" and vlm.tokenizer.get_vocab() == build_tokenizer().get_vocab()
    if not same or vlm.model.config.image_seq_length != N_VISUAL:
        raise AnalysisError(
            f"{vlm.name} is not asked about scenes in one pass.",
            "Use the shipped vision model, or ask one question at a time.",
        )


class PackedQuestions:
    """The questions of a block, one row a scene or one row a question; all tokens are measured first.

    Parameters
    ----------
    vlm : VisionModel
    tokens : sequence of torch.Tensor
        (144, D) of each scene, as the language model gets them.
    questions : sequence of sequence of Question
        Of each scene.
    """

    def __init__(
        self, vlm: VisionModel, tokens: Sequence[Tensor], questions: Sequence[Sequence[Question]]
    ) -> None:
        self._model, self._packer = vlm.model, Packer(vlm.tokenizer)
        self._shape = language_shape(vlm.model)
        single = [[q] for asked in questions for q in asked]
        of = [i for i, asked in enumerate(questions) for _ in asked]
        self._asked: dict[bool, list[list[Question]]] = {True: [list(a) for a in questions], False: single}
        self._tokens = {
            True: torch.stack(list(tokens)),
            False: torch.stack([tokens[i] for i in of]),
        }
        self._full: Sequence[Tensor] = ()
        self._packed: dict[tuple[bool, tuple[int, ...]], Batch] = {}
        self._n_text = [len(vlm.tokenizer(q.text)["input_ids"]) for (q,) in single]

    def measure(self, choices: Sequence[Choice], *, by_scene: bool) -> dict[str, np.ndarray]:
        """Numbers of each question, (q,), under the choice of its row."""
        asked = self._asked[by_scene]
        first = np.cumsum([0, *map(len, asked)])
        rows_of: defaultdict[Any, list[int]] = defaultdict(list)
        for row, choice in enumerate(choices):
            rows_of[shape_of(choice)].append(row)
        found = {name: np.zeros(first[-1]) for name in MEASURED}
        for rows in rows_of.values():
            where = np.concatenate([np.arange(first[r], first[r + 1]) for r in rows])
            measured = self._one_shape([choices[r] for r in rows], tuple(rows), where, by_scene)
            for name, values in measured.items():
                found[name][where] = values
        counts = [tokens_per_layer(c, self._shape.n_layers) for c in choices]
        of = [row for row, questions in enumerate(asked) for _ in questions]
        found["kept"] = np.array([len(choices[r].kept) for r in of], float)
        found["average"] = np.array([counts[r].mean() for r in of])
        found["flops"] = np.array(
            [flops(counts[r], n, self._shape) for r, n in zip(of, self._n_text, strict=True)], float
        )
        return found

    def _one_shape(
        self, choices: Sequence[Choice], rows: tuple[int, ...], where: np.ndarray, by_scene: bool
    ) -> dict[str, np.ndarray]:
        """Numbers of the questions ``where``, whose rows are pruned to the same numbers of tokens."""
        key = (by_scene, rows)
        if key not in self._packed:
            self._packed[key] = self._packer.pack([self._asked[by_scene][r] for r in rows])
        batch = self._packed[key]
        logits = pruned_logits(self._model, self._tokens[by_scene][list(rows)], batch, choices)
        logp = logits.double().log_softmax(-1)
        places = batch.question.bincount()
        if not self._full:
            self._full = logp.split(places.tolist())
        full = torch.cat([self._full[i] for i in where])
        of_answer = logp[range(len(logp)), batch.targets].masked_fill(batch.is_end, 0)
        kl = (full.exp() * (full - logp)).sum(-1).clamp(min=0)

        def summed(values: Tensor) -> Tensor:
            return torch.zeros(len(where), dtype=torch.float64).index_add_(0, batch.question, values.double())

        return {
            "right": answered_right(logits, batch).double().numpy(),
            "answer_logp": summed(of_answer).numpy(),
            "kl": (summed(kl) / places).numpy(),
        }


def everything() -> Choice:
    """Nothing is pruned."""
    return Choice(N_VISUAL, (Stage(0, torch.arange(N_VISUAL)),))
