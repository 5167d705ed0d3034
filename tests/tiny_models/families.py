"""Tiny random models of each supported family, built from code alone.

They stand in for real checkpoints where only the arithmetic matters: every part
that tells one family from another (windows, soft caps, sinks, partial rotary
positions, head scales and biases) is switched on and large enough that leaving
it out changes the answer. Nothing is read from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from tests.tiny_models.tokenizer import BOS_ID, EOS_ID, MAX_POSITIONS, byte_tokenizer

VOCAB_SIZE = 320
"""Rows of the vocabulary head; the tokenizer has fewer ids, so the last rows are padding."""

WINDOW = 32
"""Keys a sliding-window layer may see, the query's own among them."""

_GAIN = 1.3  # a unit input gives attention logits of standard deviation near 1.7: neither flat nor one-hot
_LOGIT_STD = 2.8  # of the vocabulary logits, over the standard deviation of what the head reads


def _alternating(layers: int, every: int = 2) -> list[str]:
    """Windowed layers with a full one at every ``every``-th place."""
    return ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(layers)]


def _rotary(share: float) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": share}


# What each family adds to the common settings, given its number of layers.
# Mistral knows one window for all layers: transformers ignores `layer_types` there.
_SPECIAL: dict[str, Callable[[int], dict[str, Any]]] = {
    "llama": lambda _: {"tie_word_embeddings": False},
    "qwen2": lambda _: {"tie_word_embeddings": False},  # q, k and v have biases, o has none
    "qwen3": lambda _: {"tie_word_embeddings": False, "head_dim": 24},  # heads are wider than hidden / heads
    "mistral": lambda _: {"tie_word_embeddings": False, "sliding_window": WINDOW},
    "gemma2": lambda n: {
        "tie_word_embeddings": True,
        "head_dim": 16,
        "query_pre_attn_scalar": 8,  # the score scale is 8 ** -0.5, not head_dim ** -0.5
        "attn_logit_softcapping": 2.0,  # published 50 and 30; these bend ordinary scores and logits
        "final_logit_softcapping": 12.0,
        "sliding_window": WINDOW,
        "layer_types": _alternating(n),
    },
    "gemma3": lambda n: {
        "tie_word_embeddings": True,
        "head_dim": 16,
        "query_pre_attn_scalar": 8,
        "sliding_window": WINDOW,
        "layer_types": _alternating(n, every=3),
    },
    "phi3": lambda _: {"tie_word_embeddings": False, "rope_parameters": _rotary(0.75)},
    # scores are also divided by the number of the layer
    "gpt2": lambda _: {"tie_word_embeddings": True, "scale_attn_by_inverse_layer_idx": True},
    "gpt_neox": lambda _: {"tie_word_embeddings": False, "rope_parameters": _rotary(0.25)},
    "opt": lambda _: {"tie_word_embeddings": True, "ffn_dim": 128},
    "olmo2": lambda _: {"tie_word_embeddings": False},
    "smollm3": lambda _: {
        "tie_word_embeddings": True,
        "no_rope_layer_interval": 2,  # every second layer has no positions, and those are the windowed ones
        "use_sliding_window": True,
        "sliding_window": WINDOW,
    },
    "gpt_oss": lambda n: {
        "tie_word_embeddings": False,
        "head_dim": 16,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": WINDOW,
        "layer_types": _alternating(n),
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 150000.0,
            "factor": 4.0,
            "truncate": False,
            "original_max_position_embeddings": MAX_POSITIONS // 4,
        },
    },
    "mixtral": lambda _: {"tie_word_embeddings": False, "num_local_experts": 4, "num_experts_per_tok": 2},
    "phi": lambda _: {"tie_word_embeddings": False, "qk_layernorm": True, "rope_parameters": _rotary(0.5)},
    "cohere": lambda _: {"tie_word_embeddings": True, "logit_scale": 0.25, "use_qk_norm": True},
    "granite": lambda _: {
        "tie_word_embeddings": False,
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.6,
        "attention_multiplier": 0.4,  # the score scale itself
        "logits_scaling": 4.0,  # logits are divided by it
    },
}

FAMILIES_EXTRA: tuple[str, ...] = ("phi", "cohere", "granite")
"""Families kept for their heads: a bias, a factor, a divisor."""

FAMILIES: tuple[str, ...] = tuple(name for name in _SPECIAL if name not in FAMILIES_EXTRA)
"""Families every measure is checked on."""

_MODEL_TYPE = {"gemma3": "gemma3_text"}  # "gemma3" itself is the model with the vision tower
_FULL_HEADS = {"gpt2", "gpt_neox", "opt"}  # no grouped queries
_LAYERS = {"gemma2": 4, "smollm3": 4, "gpt_oss": 4, "gemma3": 3}


def tiny_config(family: str, **overrides: Any) -> PreTrainedConfig:
    """Build the configuration of a tiny model.

    Parameters
    ----------
    family : str
        One of :data:`FAMILIES` or :data:`FAMILIES_EXTRA`.
    **overrides
        Settings of the family's configuration class that replace the tiny ones.

    Returns
    -------
    PreTrainedConfig
        2 to 4 layers, 64 channels, 4 query heads, 2 key-value heads if the family groups queries.

    Raises
    ------
    ValueError
        If the family is not known.
    """
    if family not in _SPECIAL:
        raise ValueError(f"family must be one of {FAMILIES + FAMILIES_EXTRA}, got {family!r}")
    layers = overrides.get("num_hidden_layers", _LAYERS.get(family, 2))
    settings: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_POSITIONS,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        # Defaults of several classes lie above this vocabulary, and a padding id zeroes an embedding row.
        "pad_token_id": None,
    }
    if family not in ("gpt2", "opt"):  # these name it otherwise and would keep it as a dead attribute
        settings["intermediate_size"] = 128
    if family not in _FULL_HEADS:
        settings["num_key_value_heads"] = 2
    settings |= _SPECIAL[family](layers) | overrides
    return AutoConfig.for_model(_MODEL_TYPE.get(family, family), **settings)


def tiny_model(
    family: str, *, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any
) -> PreTrainedModel:
    """Build a tiny random model.

    Parameters
    ----------
    family : str
        One of :data:`FAMILIES` or :data:`FAMILIES_EXTRA`.
    seed : int, default 0
        The same seed gives the same weights; other dtypes get them rounded.
    dtype : torch.dtype, default torch.float32
        Type of the weights. Rotary tables stay float32, as in a loaded checkpoint.
    **overrides
        As for :func:`tiny_config`; ``attn_implementation`` is one of them.

    Returns
    -------
    PreTrainedModel
        On the CPU, in eval mode. The global random state is left as it was.
    """
    if dtype == torch.float64:  # the default grouped matrix product of experts has no float64
        overrides = {"experts_implementation": "eager"} | overrides
    config = tiny_config(family, **overrides)
    # The constructor draws from the global generator, whatever is written over its weights later.
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    _randomise(model, config, torch.Generator().manual_seed(seed))
    return model.eval()


@torch.no_grad()
def _randomise(model: PreTrainedModel, config: PreTrainedConfig, generator: torch.Generator) -> None:
    """Overwrite every weight, so that none stays at a neutral 0 or 1."""
    head = model.get_output_embeddings()
    head_std = _LOGIT_STD / config.hidden_size**0.5
    head_std *= getattr(config, "logits_scaling", 1.0) / getattr(config, "logit_scale", 1.0)
    zero_centred = config.model_type.startswith("gemma")  # its norms multiply by 1 + weight
    done: set[int] = set()
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in done:  # a tied head
                continue
            done.add(id(weight))
            draw = torch.randn(weight.shape, generator=generator)
            if name.endswith("bias"):
                draw *= 0.3
            elif name == "sinks":  # one learned logit a head
                draw += 1.0
            elif "Norm" in type(module).__name__:
                # Random signs, or a tied head would answer every token with that token itself.
                signs = torch.randn(weight.shape, generator=generator).sign()
                draw = signs * torch.exp(0.4 * draw) - float(zero_centred)
            elif weight is head.weight:
                draw *= head_std
            elif isinstance(module, nn.Embedding):
                draw *= 0.5
            else:
                # GPT-2's Conv1D and GPT-OSS's experts keep (in, out); all else keeps (out, in).
                transposed = type(module).__name__ in ("Conv1D", "GptOssExperts")
                draw *= _GAIN / weight.shape[-2 if transposed else -1] ** 0.5
            weight.copy_(draw)


def save_tiny(
    family: str,
    folder: str | Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    add_bos: bool = False,
    **overrides: Any,
) -> Path:
    """Write a tiny model and its tokenizer as a local model folder.

    Parameters
    ----------
    family, seed, dtype, **overrides
        As for :func:`tiny_model`.
    folder : str or Path
        Made if missing.
    add_bos : bool, default False
        As for :func:`~tests.tiny_models.tokenizer.byte_tokenizer`.

    Returns
    -------
    Path
        The folder, with safetensors weights, ready for ``from_pretrained``.
    """
    folder = Path(folder)
    tiny_model(family, seed=seed, dtype=dtype, **overrides).save_pretrained(folder)
    byte_tokenizer(add_bos=add_bos).save_pretrained(folder)
    return folder
