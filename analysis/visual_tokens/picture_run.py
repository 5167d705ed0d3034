"""A picture and a question read once, and what any choice of its tokens does to an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.models.stops import stop_ids
from analysis.visual_tokens.accounting import (
    LanguageShape,
    average_floor,
    cache_bytes,
    flops,
    language_shape,
    tokens_per_layer,
    traced,
)
from analysis.visual_tokens.answering import answer_logp
from analysis.visual_tokens.apply import pruned
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.budgets import first_pruned
from analysis.visual_tokens.decoding import write_greedily
from analysis.visual_tokens.parts import image_token_id, language_layers, visual_positions
from analysis.visual_tokens.policies import VisualPolicy
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.policies.view import VisualView
from analysis.visual_tokens.sweep_results import VisualSetting
from analysis.visual_tokens.tower_view import read_tower
from analysis.visual_tokens.view import view_before

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.vision_model import VisionModel


@dataclass(frozen=True, eq=False)
class PictureRun:
    """A picture and a question, read once for any number of prunings; the model's lock is held by the caller.

    Parameters
    ----------
    vlm : VisionModel
    once : dict
        The model's input with the tower's features.
    places : torch.Tensor
        (N,) of int64: positions in the text of the tokens with a place on the picture.
    view : VisualView
    shape : LanguageShape
    n_newlines, n_text : int
        Learned ends of rows, and other tokens of the prompt.
    """

    vlm: VisionModel
    once: dict[str, Any]
    places: Tensor
    view: VisualView
    shape: LanguageShape
    n_newlines: int
    n_text: int

    def everything(self) -> Choice:
        """Nothing is pruned."""
        return Choice(len(self.view), (Stage(0, torch.arange(len(self.view))),))


def read_once(
    vlm: VisionModel, image: bytes | str | Path | Image, question: str, methods: Sequence[VisualPolicy]
) -> PictureRun:
    """Read a picture and a question, and what some methods need of them."""
    prepared = vlm.prepare(image, question)
    reading = read_tower(vlm.model, prepared.inputs, prepared.boxes)
    n_layers = len(language_layers(vlm.model))
    layers = {layer for one in methods for layer in one.layers_read(n_layers) if layer < n_layers}
    view = view_before(vlm.model, reading, prepared.boxes, layers)
    visual = visual_positions(vlm.model, prepared.inputs["input_ids"][0])
    with_place = torch.as_tensor(prepared.boxes.view != NEWLINE, device=visual.device)
    return PictureRun(
        vlm,
        reading.once,
        visual[with_place],
        view,
        language_shape(vlm.model),
        len(visual) - len(view),
        prepared.n_prompt - len(visual),
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """What the answers of a run are held against.

    Parameters
    ----------
    run : PictureRun
    ids : tuple of int
        Of the answer, without its end.
    text : str
    ends : bool
        Whether the end belongs to it: not where writing stopped at the limit.
    logp : torch.Tensor
        (A + 1, V), float64: log-probabilities with all tokens at the places that predict it and its end.
    max_new : int
    """

    run: PictureRun
    ids: tuple[int, ...]
    text: str
    ends: bool
    logp: Tensor
    max_new: int

    @classmethod
    def of(cls, run: PictureRun, answer: str | None, max_new: int) -> Reference:
        """The right answer, or what is written with all tokens."""
        if answer is not None:
            ids, ends = tuple(run.vlm.answer_ids(answer)), True
        else:
            ids, ends = _written(run, max_new)
        text = answer.strip() if answer is not None else _text(run, ids)
        return cls(run, ids, text, ends, answer_logp(run.vlm.model, run.once, (*ids, 0)), max_new)

    def measure(self, choice: Choice, setting: VisualSetting) -> VisualSetting:
        """Fill a setting with the numbers of a choice."""
        run, model = self.run, self.run.vlm.model
        with pruned(model, choice, run.places):
            logp = answer_logp(model, run.once, (*self.ids, 0))
            said = tuple(logp.argmax(-1).tolist())
            same = said[:-1] == self.ids and (not self.ends or said[-1] in _ends(run))
            answer = self.text if same else _text(run, _written(run, self.max_new)[0])
        kl = (self.logp.exp() * (self.logp - logp)).sum(-1).clamp(min=0)
        counts = tokens_per_layer(choice, run.shape.n_layers)
        with_newlines = counts + run.n_newlines
        gone_from, merged_into = traced(choice, run.shape.n_layers)
        return replace(
            setting,
            kept=len(choice.kept),
            average=float(counts.mean()),
            floor=average_floor(choice.n, first_pruned(choice), run.shape.n_layers),
            gone_from=gone_from,
            merged_into=merged_into,
            flops=flops(with_newlines, run.n_text, run.shape),
            kv_bytes=cache_bytes(with_newlines, run.n_text, run.shape, model.dtype.itemsize),
            seconds=self._seconds(choice),
            answer=answer,
            right=answer == self.text,
            kl_first=float(kl[0]),
            kl=float(kl.mean()),
            answer_logp=float(
                logp[:-1].gather(1, torch.tensor(self.ids, device=logp.device)[:, None].long()).sum()
            ),
        )

    def _seconds(self, choice: Choice) -> float:
        """Time of one pass over the prompt with the states physically dropped."""
        model = self.run.vlm.model
        with pruned(model, choice, self.run.places, physically=True):
            started = time.perf_counter()
            # the number is read, so that a device has finished
            float(model(**self.run.once, use_cache=False, logits_to_keep=1).logits[0, -1, 0])
            return time.perf_counter() - started


def _written(run: PictureRun, max_new: int) -> tuple[tuple[int, ...], bool]:
    """Ids that the model writes, without the end, and whether it came."""
    ends = _ends(run)
    ids = write_greedily(run.vlm.model, run.once, ends, max_new).ids
    return (ids[:-1], True) if ids[-1] in ends else (ids, False)


def _ends(run: PictureRun) -> set[int]:
    """Ids that end an answer: the image's is one, which no model can read again."""
    return {*stop_ids(run.vlm), image_token_id(run.vlm.model)}


def _text(run: PictureRun, ids: Sequence[int]) -> str:
    return str(run.vlm.tokenizer.decode(ids, skip_special_tokens=True)).strip()
