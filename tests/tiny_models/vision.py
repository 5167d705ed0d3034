"""Tiny random vision-language models of eleven classes, built from code alone, with an image and a text for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

IMAGE_ID, BOS_ID, FIRST_WORD, VOCAB = 5, 1, 20, 64
SIDE, PATCH = 32, 8
"""Pixels of a crop of the towers with a fixed size, and of a patch."""

_TEXT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": BOS_ID,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
_CROPS = [[32, 64], [64, 32], [64, 64], [32, 96], [96, 32]]


def _llava() -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**_TOWER),
            text_config=LlamaConfig(**_TEXT),
            image_token_index=IMAGE_ID,
        )
    )


def _llava_next() -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

    return LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=CLIPVisionConfig(**_TOWER),
            text_config=LlamaConfig(**_TEXT),
            image_token_index=IMAGE_ID,
            image_grid_pinpoints=_CROPS,
        )
    )


def _llava_onevision() -> Any:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=SiglipVisionConfig(**_TOWER, vision_use_head=False),
            text_config=Qwen2Config(**_TEXT),
            image_token_index=IMAGE_ID,
            video_token_index=6,
            image_grid_pinpoints=_CROPS,
            vision_feature_layer=-1,
        )
    )


def _idefics3() -> Any:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig

    config = Idefics3Config(
        image_token_id=IMAGE_ID, vision_config=dict(_TOWER), text_config=LlamaConfig(**_TEXT), scale_factor=2
    )
    return Idefics3ForConditionalGeneration(config)


def _smolvlm() -> Any:
    from transformers import LlamaConfig, SmolVLMConfig, SmolVLMForConditionalGeneration

    config = SmolVLMConfig(
        image_token_id=IMAGE_ID, vision_config=dict(_TOWER), text_config=LlamaConfig(**_TEXT), scale_factor=2
    )
    return SmolVLMForConditionalGeneration(config)


_QWEN_IDS = {
    "image_token_id": IMAGE_ID,
    "video_token_id": 6,
    "vision_start_token_id": 7,
    "vision_end_token_id": 8,
}


def _qwen_text(**more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], **more}
    return {**_TEXT, "rope_parameters": rope}


def _qwen2_vl() -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tower = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 32,
        "num_heads": 4,
        "mlp_ratio": 2,
        "patch_size": PATCH,
    }
    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(text_config=_qwen_text(), vision_config=tower, **_QWEN_IDS)
    )


def _qwen2_5_vl() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tower = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "patch_size": PATCH,
        "window_size": 32,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [2],
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=_qwen_text(), vision_config=tower, **_QWEN_IDS)
    )


def _qwen3_vl() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tower = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "patch_size": PATCH,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    text = _qwen_text(mrope_interleaved=True) | {"head_dim": 8}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=tower, **_QWEN_IDS))


def _gemma3() -> Any:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    text = Gemma3TextConfig(
        **_TEXT,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text,
            vision_config=SiglipVisionConfig(**_TOWER, vision_use_head=False),
            mm_tokens_per_image=4,
            image_token_index=IMAGE_ID,
            boi_token_index=7,
            eoi_token_index=8,
        )
    )


def _internvl() -> Any:
    from transformers import (
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        Qwen2Config,
    )

    tower = InternVLVisionConfig(**_TOWER | {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]})
    return InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=tower,
            text_config=Qwen2Config(**_TEXT),
            image_token_id=IMAGE_ID,
            image_seq_length=4,
        )
    )


def _paligemma() -> Any:
    from transformers import (
        GemmaConfig,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        SiglipVisionConfig,
    )

    return PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config=SiglipVisionConfig(**_TOWER, vision_use_head=False, projection_dim=32),
            text_config=GemmaConfig(**_TEXT, head_dim=8),
            image_token_index=IMAGE_ID,
            projection_dim=32,
            hidden_size=32,
        )
    )


_BUILDERS: dict[str, Callable[[], Any]] = {
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "gemma3": _gemma3,
    "internvl": _internvl,
    "paligemma": _paligemma,
}
FAMILIES = tuple(_BUILDERS)


def build_vision(family: str, seed: int = 0) -> Any:
    """Build a tiny random model in evaluation mode; matrices are large enough that attention is not flat."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _BUILDERS[family]().eval()
        for name, value in model.named_parameters():
            if value.ndim > 1 and isinstance(value, nn.Parameter):
                fan = value[0].numel()
                nn.init.normal_(value, std=1.3 / fan**0.5 if "embed" not in name else 1.0)
    return model


_OUTPUTS = re.compile(r"(vision|visual).*(out_proj|attn\.proj|projection_layer)\.(weight|bias)$")


def silenced_vision(family: str) -> Any:
    """Build a model whose tower's attention adds nothing: a token depends on its own patches alone."""
    model = build_vision(family)
    found = [value for name, value in model.named_parameters() if _OUTPUTS.search(name)]
    assert len(found) >= 2, "no attention output of a tower was found"
    for value in found:
        nn.init.zeros_(value)
    return model


def image_processor(family: str) -> Any:
    """Build the image processor of a family that needs Pillow only."""
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    square = {"height": SIDE, "width": SIDE}
    if family == "llava":
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square, **half)
    if family == "llava_next":
        from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

        return LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size=square, image_grid_pinpoints=_CROPS, **half
        )
    if family == "llava_onevision":
        from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
            LlavaOnevisionImageProcessorPil,
        )

        return LlavaOnevisionImageProcessorPil(size=square, image_grid_pinpoints=_CROPS, **half)
    if family == "idefics3":
        from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

        return Idefics3ImageProcessorPil(
            size={"longest_edge": 3 * SIDE}, max_image_size={"longest_edge": SIDE}, **half
        )
    if family == "smolvlm":
        from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

        return SmolVLMImageProcessorPil(
            size={"longest_edge": 3 * SIDE}, max_image_size={"longest_edge": SIDE}, **half
        )
    if family.startswith("qwen"):
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        return Qwen2VLImageProcessorPil(
            patch_size=PATCH, merge_size=2, size={"shortest_edge": 256, "longest_edge": 64 * 96}, **half
        )
    if family == "gemma3":
        from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

        return Gemma3ImageProcessorPil(size=square, **half)
    if family == "internvl":
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

        return GotOcr2ImageProcessorPil(
            size=square, crop_to_patches=True, min_patches=1, max_patches=6, **half
        )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    return SiglipImageProcessorPil(size=square, **half)


def vision_inputs(family: str, model: Any, image: Image, n_words: int = 6) -> dict[str, Tensor]:
    """Make a model's input for an image and a question of some made-up words.

    The number of visual tokens is the one that the model itself makes of the pixels.
    """
    processor = image_processor(family)
    options = {"return_row_col_info": True} if family in ("idefics3", "smolvlm") else {}
    pixels = {
        k: v
        for k, v in processor(images=image, return_tensors="pt", **options).items()
        if isinstance(v, Tensor)
    }
    for unused in ("num_crops", "batch_num_images", "num_patches"):
        pixels.pop(unused, None)
    pixels["pixel_values"] = pixels["pixel_values"].to(model.dtype)
    with torch.no_grad():
        found = model.get_image_features(**pixels).pooler_output
    n = sum(f.reshape(-1, f.shape[-1]).shape[0] for f in found)
    words = [FIRST_WORD + i % 30 for i in range(n_words)]
    if family == "paligemma":
        ids = [*[IMAGE_ID] * n, BOS_ID, *words]
    else:
        ids = [BOS_ID, *words[:2], 7, *[IMAGE_ID] * n, 8, *words[2:]]
    pixels["input_ids"] = torch.tensor([ids])
    kind = (pixels["input_ids"] == IMAGE_ID).long()
    if family.startswith("qwen"):
        pixels["mm_token_type_ids"] = kind
    if family == "gemma3":
        pixels["token_type_ids"] = kind
    return pixels
