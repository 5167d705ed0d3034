"""The shipped model without its weights: configuration, processor, and the folder they are saved in.

A LLaVA of the library's own classes: a CLIP tower cuts the picture of 96 x 96 pixels into 144 patches, a
projector hands one token a patch to a Llama.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from analysis.visual_tokens.scenes.drawing import PATCH
from analysis.visual_tokens.scenes.plan import SIDE
from analysis.visual_tokens.shipped.words import BOS, EOS, IMAGE, LONGEST, PAD, SPECIAL, build_tokenizer

WIDTH = 128
N_VISUAL = (SIDE // PATCH) ** 2
"""Visual tokens of one image: 144."""


def build_processor() -> LlavaProcessor:
    """Build what turns a picture and a text into the model's input: any picture is squashed to 96 x 96."""
    half = [0.5, 0.5, 0.5]
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_mean=half, image_std=half
        ),
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
    )


def build_config(n_words: int) -> LlavaConfig:
    """Describe the model.

    Parameters
    ----------
    n_words : int
        Tokens of the tokenizer.
    """
    ids = {
        "pad_token_id": SPECIAL.index(PAD),
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(EOS),
    }
    tower = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=WIDTH,
    )
    language = LlamaConfig(
        vocab_size=n_words,
        hidden_size=WIDTH,
        intermediate_size=320,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=LONGEST,
        initializer_range=0.5 / WIDTH**0.5,
        **ids,
    )
    return LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=SPECIAL.index(IMAGE),
        image_seq_length=N_VISUAL,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        **ids,
    )


def build_model(seed: int = 0) -> LlavaForConditionalGeneration:
    """Build the model with random weights (float32) that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(build_config(len(build_tokenizer())))


def save_folder(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Write a folder that ``AutoModelForImageTextToText`` and ``AutoProcessor`` open; weights in 16 bits.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        Left as it is: a copy is cast.
    folder : pathlib.Path
    """
    copy = LlavaForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = GenerationConfig(
        max_new_tokens=4,
        do_sample=False,
        **{
            name: getattr(model.config.text_config, name)
            for name in ("pad_token_id", "bos_token_id", "eos_token_id")
        },
    )
    copy.half().save_pretrained(folder)
    build_processor().save_pretrained(folder)
