"""Tiny vision-language models as the package hands them around: with a processor and words."""

from __future__ import annotations

from typing import Any

import torch
from PIL.Image import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from analysis.models.loading import ModelInfo
from analysis.models.spec import ModelSpec
from analysis.visual_tokens.vision_model import VisionModel
from tests.tiny_models.vision import FIRST_WORD, IMAGE_ID, VOCAB, build_vision, image_processor, vision_inputs

_SPECIAL = {0: "<pad>", 1: "<s>", 2: "</s>", 3: "<unk>", IMAGE_ID: "<image>", 7: "<start>", 8: "<end>"}
QUESTION = " ".join(f"w{i}" for i in range(6))
"""Six words."""


def tiny_words() -> PreTrainedTokenizerFast:
    """Build a tokenizer of made-up words, one a token: "w0" is the first after the special ones."""
    words = {_SPECIAL.get(i, f"w{i - FIRST_WORD}" if i >= FIRST_WORD else f"u{i}"): i for i in range(VOCAB)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )


class TinyProcessor:
    """Puts a picture and as many words as a question has into a model's input."""

    image_token = "<image>"
    chat_template = None

    def __init__(self, family: str, model: Any) -> None:
        self.family, self.model = family, model
        self.image_processor, self.tokenizer = image_processor(family), tiny_words()

    def __call__(self, images: list[Image], text: str, return_tensors: str) -> dict[str, torch.Tensor]:
        """The input, tensors alone."""
        n_words = len(text.removeprefix(self.image_token).split())
        found = vision_inputs(self.family, self.model, images[0], n_words)
        if self.family == "paligemma":  # as its own processor says: all of it is a prefix, seen both ways
            found["token_type_ids"] = torch.zeros_like(found["input_ids"])
        return found


def tiny_vision_model(family: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> VisionModel:
    """Build a tiny model of a family as :func:`analysis.load_vision_model` would give it.

    Parameters
    ----------
    family : str
        Of :data:`tests.tiny_models.vision.FAMILIES`.
    seed : int
        Of its weights.
    dtype : torch.dtype
    """
    model = build_vision(family, seed).to(dtype)
    processor = TinyProcessor(family, model)
    info = ModelInfo(
        name=f"tiny {family}",
        family=model.config.model_type,
        revision="made",
        device="cpu",
        device_name="CPU",
        dtype=str(dtype).removeprefix("torch."),
        n_parameters=sum(p.numel() for p in model.parameters()),
        bytes_held=0,
        n_layers=4,
        hidden_size=32,
        vocab_size=VOCAB,
        n_padded_ids=0,
        context_length=1024,
        head_error=0.0,
    )
    return VisionModel(model, processor, processor.tokenizer, ModelSpec(f"made/{family}"), info)
