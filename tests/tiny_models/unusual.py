"""Tiny random models beyond the plain decoder: hybrids, chunks, biases, several kinds of attention."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from analysis.models.anatomy import find_anatomy
from analysis.models.loading import LanguageModel, ModelInfo
from analysis.models.spec import ModelSpec
from analysis.models.speed import Speed
from tests.tiny_models.tokenizer import byte_tokenizer

_SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 1536,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
_FULL = {k: v for k, v in _SIZES.items() if k not in ("num_key_value_heads", "intermediate_size")}
_DELTA: dict[str, Any] = {
    "head_dim": 16,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_MAMBA: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 32,
    "mamba_expand": 2,
}
_EXPERTS: dict[str, Any] = {"num_local_experts": 2, "num_experts_per_tok": 1}
_GPT: dict[str, Any] = {
    "vocab_size": 320,
    "n_embd": 64,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 1536,
    "rotary_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

CONFIGS: dict[str, dict[str, Any]] = {
    "llama4_text": _SIZES
    | _EXPERTS
    | {
        "head_dim": 16,
        "attention_chunk_size": 128,
        "no_rope_layers": [1, 1, 1, 0],
        "intermediate_size_mlp": 128,
        "interleave_moe_layer_step": 2,
        "attn_temperature_tuning": True,
        "floor_scale": 16,
    },
    "bart": {
        "vocab_size": 320,
        "d_model": 64,
        "decoder_layers": 4,
        "encoder_layers": 1,
        "num_hidden_layers": 4,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 128,
        "max_position_embeddings": 1536,
        "is_decoder": True,
        "is_encoder_decoder": False,
        "forced_eos_token_id": None,
    },
    "qwen3_next": _SIZES
    | _DELTA
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 64,
    },
    "qwen3_5_text": _SIZES | _DELTA,
    "olmo_hybrid": _SIZES | _DELTA | {"linear_num_key_heads": 4},
    "falcon_h1": _SIZES | _MAMBA | {"head_dim": 16, "mamba_d_ssm": 64, "mamba_n_heads": 4},
    "zaya": _SIZES | {"head_dim": 16},
    "lfm2": _SIZES | {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "lfm3": _SIZES | {"layer_types": ["conv", "full_attention"] * 2},
    "granitemoehybrid": _SIZES
    | _MAMBA
    | _EXPERTS
    | {"layer_types": ["mamba", "attention"] * 2, "shared_intermediate_size": 64},
    "jamba": _SIZES
    | {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "mamba_d_state": 8,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_dt_rank": 8,
    },
    "bamba": _SIZES | _MAMBA | {"attn_layer_indices": [1, 3]},
    "nemotron_h": _SIZES
    | {
        "hybrid_override_pattern": "M*-*",
        "head_dim": 16,
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 16,
        "n_groups": 1,
        "chunk_size": 32,
        "n_routed_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 64,
        "moe_shared_expert_intermediate_size": 64,
    },
    "zamba2": _SIZES
    | {
        "layers_block_type": ["mamba", "hybrid"] * 2,
        "mamba_d_state": 16,
        "mamba_ngroups": 1,
        "n_mamba_heads": 8,
        "mamba_headdim": 16,
        "chunk_size": 32,
        "num_mem_blocks": 1,
        "use_mem_rope": True,
    },
    "minimax": _SIZES | _EXPERTS | {"head_dim": 16, "block_size": 32},
    "recurrent_gemma": _SIZES | {"lru_width": 64, "attention_window_size": 32},
    "afmoe": _SIZES
    | {
        "head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "num_dense_layers": 1,
        "sliding_window": 32,
    },
    "laguna": _SIZES | {"head_dim": 16},
    "nanochat": _SIZES | {"head_dim": 16},  # its one norm runs before the layers and after them
    "modernbert-decoder": _FULL
    | {
        "intermediate_size": 128,
        "local_attention": 32,
        "pad_token_id": 0,
    },  # a part of its head is not its body's
    "doge": _SIZES,
    "diffllama": _SIZES | {"head_dim": 16},
    "falcon": _FULL | {"new_decoder_architecture": False, "multi_query": False, "alibi": False},
    "falcon_alibi": _FULL | {"multi_query": False, "alibi": True},
    "mpt": {"vocab_size": 320, "d_model": 64, "n_layers": 4, "n_heads": 4, "max_seq_len": 1536},
    "bloom": {"vocab_size": 320, "hidden_size": 64, "n_layer": 4, "n_head": 4},
    "gptj": _GPT,
    "codegen": _GPT,
    "gpt_neo": {
        "vocab_size": 320,
        "hidden_size": 64,
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 32,
        "max_position_embeddings": 1536,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "xglm": {
        "vocab_size": 320,
        "d_model": 64,
        "num_layers": 4,
        "attention_heads": 4,
        "ffn_dim": 128,
        "max_position_embeddings": 1536,
    },
    "mamba": {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8},
    "falcon_mamba": {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8},
    "mamba2": {
        "vocab_size": 320,
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 16,
        "n_groups": 1,
        "chunk_size": 32,
    },
    "rwkv": {
        "vocab_size": 320,
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "attention_hidden_size": 64,
        "intermediate_size": 128,
        "context_length": 1536,
    },
}
"""Settings of every model's configuration class, by name; ``falcon_alibi`` is a second Falcon."""

ATTENTION_LAYERS: dict[str, list[int]] = {
    "llama4_text": [0, 1, 2, 3],
    "bart": [0, 1, 2, 3],
    "qwen3_next": [3],
    "qwen3_5_text": [3],
    "olmo_hybrid": [3],
    "falcon_h1": [0, 1, 2, 3],
    "zaya": [0, 1, 2, 3],
    "lfm2": [1, 3],
    "lfm3": [1, 3],
    "granitemoehybrid": [1, 3],
    "jamba": [1, 3],
    "bamba": [1, 3],
    "nemotron_h": [1, 3],
    "zamba2": [1, 3],
    "minimax": [0, 2],
    "recurrent_gemma": [2],
    "afmoe": [0, 1, 2, 3],
    "laguna": [0, 1, 2, 3],
    "nanochat": [0, 1, 2, 3],
    "modernbert-decoder": [0, 1, 2, 3],
    **{
        name: [0, 1, 2, 3]
        for name in ("falcon", "mpt", "bloom", "gptj", "codegen", "gpt_neo", "xglm", "doge")
    },
}
"""Layers whose attention can be measured."""
BY_MAPS = ("falcon", "mpt", "bloom", "gptj", "codegen", "gpt_neo", "xglm", "doge")
"""Models that hand over maps, but no queries, keys and values."""
GATED = ("qwen3_next", "qwen3_5_text", "lfm3", "afmoe", "laguna")
RECURRENT = [
    "qwen3_next",
    "qwen3_5_text",
    "olmo_hybrid",
    "falcon_h1",
    "zaya",
    "lfm2",
    "lfm3",
    "granitemoehybrid",
    "jamba",
    "bamba",
    "nemotron_h",
    "zamba2",
]
"""Models whose layers keep a state in the library's cache."""
NOT_MEASURED = {
    "diffllama": "twice",
    "falcon_alibi": "eager attention",  # the library's eager ALiBi is another computation than its fused one
    "mamba": "softmax",
    "falcon_mamba": "softmax",
    "mamba2": "softmax",
    "rwkv": "Rwkv",
}
"""Models whose attention is not available, and a word of the reason."""


def unusual_model(name: str, *, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """A tiny model whose matrices are random with standard deviation 1.2 / sqrt(fan in)."""
    config = AutoConfig.for_model(name.removesuffix("_alibi"), **CONFIGS[name] | overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    draw = torch.Generator().manual_seed(seed)
    done: set[int] = set()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2 and id(weight) not in done:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 1.2 / weight.shape[-1] ** 0.5)
            done.add(id(weight))
    return model.requires_grad_(False)


def language_model(model: PreTrainedModel, name: str = "tiny") -> LanguageModel:
    """A model built in code as if it had been loaded, with the byte tokenizer."""
    anatomy, tokenizer = find_anatomy(model), byte_tokenizer()
    info = ModelInfo(
        name=name,
        family=str(model.config.model_type),
        revision="",
        device="cpu",
        device_name="CPU",
        dtype=str(model.dtype).removeprefix("torch."),
        n_parameters=sum(p.numel() for p in model.parameters()),
        bytes_held=sum(p.numel() * p.element_size() for p in model.parameters()),
        n_layers=len(anatomy.layers),
        hidden_size=int(anatomy.head.weight.shape[1]),
        vocab_size=anatomy.head.vocab_size,
        n_padded_ids=0,
        context_length=1536,
        head_error=anatomy.head_error,
    )
    return LanguageModel(
        model,
        tokenizer,
        ModelSpec("embedded"),
        info,
        anatomy,
        Speed.measure(torch.device("cpu"), torch.float32),
    )
