"""A loaded vision-language model, and its input for one picture and one question."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.errors import (
    AnalysisError,
    InvalidTextError,
    OutOfMemoryError,
    TooLongError,
    UnsupportedModelError,
)
from analysis.models.loading import ModelInfo
from analysis.models.spec import ModelSpec
from analysis.models.stops import stop_ids
from analysis.models.tokenization import check_text, require_rows
from analysis.out_of_memory import when_memory_runs_out
from analysis.visual_tokens.boxes import TokenBoxes
from analysis.visual_tokens.images import Picture, read_image
from analysis.visual_tokens.parts import image_token_id, visual_positions
from analysis.visual_tokens.positions import token_boxes

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class PreparedQuestion:
    """A picture and a question as a model takes them."""

    inputs: dict[str, Any]
    """What its forward takes, on its device: ``input_ids`` (1, S), the pixels, and what else the family needs."""
    boxes: TokenBoxes
    """Rectangle of every position that bears the image's id, in their order."""
    picture: Picture
    text: str
    """The text with the image's place, as the processor was given it."""

    @property
    def n_prompt(self) -> int:
        """Positions, S."""
        return int(self.inputs["input_ids"].shape[1])


@dataclass(eq=False)
class VisionModel:
    """A loaded vision-language model. Hold it, or its ``lock``, for everything that touches it."""

    model: Any
    """transformers' model."""
    processor: Any
    """transformers' processor: pictures and text to the model's input."""
    tokenizer: Any
    spec: ModelSpec
    info: ModelInfo
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        """As a screen says it."""
        return self.info.name

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer: the model's own, and the image's, which stands for no word."""
        return frozenset((*stop_ids(self), image_token_id(self.model)))

    def full(self, doing: str) -> OutOfMemoryError:
        """What is said when the memory of its device runs out; ``doing`` ends the sentence."""
        return OutOfMemoryError(
            f"{self.info.device_name} ran out of memory {doing}.",
            "Take a smaller picture, choose a lower precision, or free the device.",
        )

    @contextmanager
    def held(self, doing: str) -> Iterator[None]:
        """Hold the model without gradients; :meth:`full` is raised when memory runs out."""
        with self.lock, torch.no_grad(), when_memory_runs_out(self.full(doing)):
            yield

    def prepare(self, image: bytes | str | Path | Image, question: str) -> PreparedQuestion:
        """Make the model's input of a picture and a question.

        Parameters
        ----------
        image : bytes, str, pathlib.Path or PIL.Image.Image
            As :func:`analysis.visual_tokens.images.read_image` takes it.
        question : str
            Put through the model's own chat template where it has one, behind the picture.

        Raises
        ------
        UnreadableImageError
            If the picture cannot be read.
        InvalidTextError
            If there is no question, or it holds a token that the model has no row for.
        TooLongError
            If the model does not read so many tokens.
        UnsupportedModelError
            If where the visual tokens lie on the picture is not known.
        """
        check_text(question)
        mark = str(getattr(self.processor, "image_token", ""))
        if mark and mark in question:
            raise AnalysisError(f"The question holds {mark}, the image's own place.", "Take it out.")
        picture = read_image(image)
        text = self._text_of(question)
        try:
            made = self.processor(images=[picture.image], text=text, return_tensors="pt")
        except ValueError as error:
            raise AnalysisError(
                f"{self.name} cannot read this picture ({str(error).splitlines()[0][:160].rstrip('.')}).",
                "Use a larger picture, or one that is less of a strip.",
            ) from error
        device, dtype = self.model.device, self.model.dtype
        inputs = {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in made.items()
            if isinstance(value, Tensor) and name != "labels"
        }
        ids = inputs["input_ids"][0]
        require_rows(self.tokenizer, ids.tolist())
        limit = self.info.context_length
        if limit is not None and len(ids) > limit:
            raise TooLongError(
                f"Picture and question have {len(ids):,} tokens and {self.name} reads at most {limit:,}.",
                "Shorten the question, or take a smaller picture.",
            )
        boxes = token_boxes(self.model, self.processor.image_processor, picture.image.size, inputs)
        found = len(visual_positions(self.model, ids))
        if found != len(boxes):
            raise UnsupportedModelError(
                f"{self.name} makes {found} visual tokens of this picture where {len(boxes)} were expected.",
                "Where they lie on the picture is not known for this processor.",
            )
        return PreparedQuestion(inputs, boxes, picture, text)

    def _text_of(self, question: str) -> str:
        """Text with the image's place: by the chat template, or the place and the question behind it."""
        if getattr(self.processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            return str(
                self.processor.apply_chat_template(
                    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
                )
            )
        return f"{self.processor.image_token}{question}"

    def answer_ids(self, text: str) -> list[int]:
        """Ids of an answer as the model would write it, without the token that ends it.

        Raises
        ------
        InvalidTextError
            If the answer is empty, or a part of it is not in the vocabulary.
        """
        check_text(text)
        ids = [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        unknown = self.tokenizer.unk_token
        if unknown and unknown not in text and self.tokenizer.unk_token_id in ids:
            raise InvalidTextError(
                f"{self.name} has no token for a part of the answer “{text.strip()}”.",
                "Use words that the model can write.",
            )
        return ids
