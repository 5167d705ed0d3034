"""A tiny random llama written as a ``.gguf`` file, the way llama.cpp's converter does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from tests.tiny_models.families import tiny_model
from tests.tiny_models.tokenizer import BOS_ID, EOS_ID, byte_tokenizer

_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def save_tiny_gguf(
    path: str | Path, *, seed: int = 0, pre: str | None = "smollm", add_bos: bool = False, **overrides: Any
) -> Path:
    """Write the tiny llama and its tokenizer as one GGUF file.

    Parameters
    ----------
    path : str or Path
        File to write; its folder is made if missing.
    seed : int, default 0
        The weights are those of ``tiny_model("llama", seed=seed)``, in float32.
    pre : str or None, default "smollm"
        What ``tokenizer.ggml.pre`` says: the way text is split before merging. None leaves it out.
    add_bos : bool, default False
        What ``tokenizer.ggml.add_bos_token`` says.
    **overrides
        As for :func:`tests.tiny_models.families.tiny_config`.

    Returns
    -------
    Path
        The file.
    """
    import gguf  # only files of this kind need the package

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = tiny_model("llama", seed=seed, **overrides)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    # Readers look for "mistral" in the name of a llama file, so the name must exist.
    writer.add_name("tiny llama")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, config.vocab_size, pre=pre, add_bos=add_bos)
    for name, values in _tensors(model).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, rows: int, *, pre: str | None, add_bos: bool) -> None:
    """Write tokens, their types and merges as a ``gpt2`` tokenizer."""
    import gguf

    tokenizer = byte_tokenizer()
    tokens: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    types = [
        gguf.TokenType.CONTROL if i in (BOS_ID, EOS_ID) else gguf.TokenType.NORMAL for i in range(len(tokens))
    ]
    # A file lists as many tokens as the head has rows: the converter names the padding like this.
    types += [gguf.TokenType.UNUSED] * (rows - len(tokens))
    tokens += [f"[PAD{i}]" for i in range(len(tokens), rows)]
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(EOS_ID)
    writer.add_add_bos_token(add_bos)


def _tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return the weights under llama.cpp's names, in its order of rows."""
    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    tensors = {}
    for name, weight in model.state_dict().items():
        values = weight.detach().to(torch.float32).numpy()
        if name in _OUTER_NAMES:
            # No "output.weight" in a file means: the head is the embedding.
            if not (name == "lm_head.weight" and config.tie_word_embeddings):
                tensors[_OUTER_NAMES[name]] = values
            continue
        _, _, layer, part = name.removesuffix(".weight").split(".", 3)
        if (count := heads.get(part.rsplit(".")[-1])) is not None:
            values = _interleave(values, count)
        tensors[f"blk.{layer}.{_LAYER_NAMES[part]}.weight"] = values
    return tensors


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder each head's rows from halves (x..., y...) to pairs (x, y, x, y...).

    transformers rotates channel i with channel i + d/2, llama.cpp channel 2i with
    2i + 1; both turn back to the other's order on loading.
    """
    pairs = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)
