"""Reading a ``.gguf`` file as a plain transformers model.

Weights are expanded to ordinary tensors, so every measure works on them. The
tokenizer is rebuilt from the file's own tables, and splits text as llama.cpp does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, BrokenFileError, OutOfMemoryError, UnsupportedModelError

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


@dataclass(frozen=True)
class GgufFacts:
    """What a file says before its weights are read."""

    n_weights: int
    vocabulary: str
    """Kind of its vocabulary: "gpt2" is byte-level."""
    split: str | None
    """Name of the rule that splits text, if it says."""
    blocks: str
    """Name of its quantisation, such as Q4_K_M; empty for plain weights."""


def read_gguf(
    path: Path, dtype: Any = None, place: Callable[[int], dict[str, Any]] | None = None
) -> tuple[Any, Any, GgufFacts, str]:
    """Model and tokenizer of a ``.gguf`` file, weights expanded.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dtype : torch.dtype, optional
        Precision of the expanded weights, float32 by default.
    place : callable, optional
        From the number of weights to what ``from_pretrained`` is told of devices; the CPU by default.

    Returns
    -------
    tuple of (PreTrainedModel, PreTrainedTokenizerBase, GgufFacts, str)
        Last, what a person should know about the split of text; empty where it is known to be right.

    Raises
    ------
    BrokenFileError
        If the file is truncated or not GGUF.
    UnsupportedModelError
        If transformers does not know the architecture named in the file, or the file holds a classifier.
    """
    check_gguf(path)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from analysis.models.load_errors import require_all_weights
    from analysis.out_of_memory import is_out_of_memory

    try:
        facts = _read_facts(path)
        placed = place(facts.n_weights) if place else {}
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
            **placed,
        )
    except (ImportError, AnalysisError):
        raise
    except Exception as error:
        if is_out_of_memory(error) or "Disk offload" in str(error) or "offload_folder" in str(error):
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
    drop_quantization(model)
    return model, tokenizer, facts, _set_split(tokenizer, facts)


def drop_quantization(model: Any) -> None:
    """Forget that the weights came from few bits: they are plain tensors now."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False


def _read_facts(path: Path) -> GgufFacts:
    """Read the tables of a file; a classifier is refused."""
    from gguf import GGUFReader, LlamaFileType

    reader = GGUFReader(path)
    if any(tensor.name.startswith("cls.") for tensor in reader.tensors):
        raise UnsupportedModelError(
            f"{path.name} holds a classifier or reranker, not a language model.",
            "Choose a causal language model; a classifier predicts no next token.",
        )
    kind, split = (reader.get_field(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    kinds = {int(member): member.name.partition("_")[2] for member in LlamaFileType}
    file_type = reader.get_field("general.file_type")
    blocks = kinds.get(int(file_type.contents()), "") if file_type else ""
    n_weights = sum(int(tensor.n_elements) for tensor in reader.tensors)
    return GgufFacts(
        n_weights,
        str(kind.contents()) if kind else "",
        str(split.contents()) if split else None,
        "" if blocks in ("F32", "F16", "BF16") else blocks,
    )


def _set_split(tokenizer: Any, facts: GgufFacts) -> str:
    """Split text as llama.cpp does; only byte-level vocabularies are split by a rule with a name."""
    from analysis.models.gguf_split import split_like_llama_cpp

    return split_like_llama_cpp(tokenizer, facts.split) if facts.vocabulary == "gpt2" else ""
