"""Reading a ``.gguf`` file as a plain transformers model.

Weights are expanded to ordinary tensors, so every measure works on them. The
tokenizer is rebuilt from the file's own tables; where transformers does not split
text the way the file asks for, the split is put right here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.errors import BrokenFileError, OutOfMemoryError, UnsupportedModelError

_MAGIC = b"GGUF"


def check_gguf(path: Path) -> None:
    """Refuse a file that is missing or does not begin like a GGUF file.

    Raises
    ------
    BrokenFileError
        One sentence that says which.
    """
    if not path.is_file():
        raise BrokenFileError(f"There is no file {path.name} in {path.parent}.", "Check the path.")
    with path.open("rb") as file:
        start = file.read(4)
    if start != _MAGIC:
        raise BrokenFileError(
            f"{path.name} is not a GGUF file.", "Choose a .gguf file as llama.cpp writes it."
        )


def read_gguf(path: Path, dtype: Any = None) -> tuple[Any, Any]:
    """Model and tokenizer of a ``.gguf`` file, weights expanded.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dtype : torch.dtype, optional
        Precision of the expanded weights, float32 by default.

    Returns
    -------
    tuple of (PreTrainedModel, PreTrainedTokenizerBase)

    Raises
    ------
    BrokenFileError
        If the file is truncated or not GGUF.
    UnsupportedModelError
        If transformers does not know the architecture named in the file.
    """
    check_gguf(path)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from analysis.models.load_errors import is_out_of_memory, require_all_weights

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(path.parent), gguf_file=path.name, trust_remote_code=False
        )
        model, loaded = AutoModelForCausalLM.from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            dtype=dtype or torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            trust_remote_code=False,
        )
    except ImportError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{path.name}, expanded, does not fit into memory.", "Choose a smaller model."
            ) from None
        text = str(error)
        if "not supported" in text or "architecture" in text.lower():
            raise UnsupportedModelError(
                f"The architecture in {path.name} is not one that transformers can read from GGUF.",
                "Use the model's safetensors folder or hub id instead.",
            ) from error
        raise BrokenFileError(
            f"{path.name} is damaged or cut short.",
            "Download or copy the file again.",
        ) from error
    require_all_weights(loaded, path.name)
    _drop_quantization(model)
    _repair_split(tokenizer, path)
    return model, tokenizer


def _drop_quantization(model: Any) -> None:
    """Forget that the weights came from 4-bit blocks: they are plain tensors now."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False


def _repair_split(tokenizer: Any, path: Path) -> None:
    """Split digits one by one where the file asks for it (``tokenizer.ggml.pre`` = smollm)."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
