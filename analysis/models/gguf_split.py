"""How the text of a GGUF model is split before merging: by llama.cpp's rules, by name.

A file with a byte-level vocabulary names its rule in ``tokenizer.ggml.pre``. transformers knows some
names and splits everything else as GPT-2 does, in silence; what it does not know is put right here, and
a name that nobody here knows is said.

Source: ``llama-vocab.cpp`` of llama.cpp, which maps each name to the patterns it splits with, one after
the other.
"""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, pre_tokenizers

from analysis.models.library_parts import gguf_splits

_DIGITS_ALONE = frozenset(
    [
        "starcoder",
        "refact",
        "command-r",
        "smollm",
        "codeshell",
        "exaone",
        "minerva-7b",
        "mellum2",
    ]  # then as GPT-2
)
_AS_GPT2 = frozenset(
    [
        "gpt-2",
        "phi-2",
        "mpt",
        "olmo",
        "jais",
        "trillion",
        "granite-docling",
        "gigachat",
        "a.x-4.0",
        "mellum",
        "exaone4",
        "modern-bert",
        "jina-es",
        "jina-de",
        "jina-v2-es",
        "jina-v2-de",
        "jina-v1-en",
        "jina-v2-code",
        "roberta-bpe",
    ]
)
_SAME_AS = {
    **dict.fromkeys(("glm4", "chatglm-bpe"), "llama-bpe"),
    **dict.fromkeys(("stablelm2", "hunyuan", "grok-2", "solar-open"), "qwen2"),
}
"""Names that transformers does not know, and the one it knows for the same rule."""
_WHOLE_WORDS = frozenset(
    [
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
    ]
)
"""Vocabularies in which a word that is a token is taken whole, whatever the merges would make of it."""
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def split_like_llama_cpp(tokenizer: Any, name: str | None) -> str:
    """Let a byte-level tokenizer split text as llama.cpp does for a name.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        As transformers built it from the file; its pre-tokenizer may be replaced.
    name : str or None
        What ``tokenizer.ggml.pre`` says; None where the file does not say.

    Returns
    -------
    str
        What a person should know about the split; empty where it is known to be right.
    """
    backend = tokenizer.backend_tokenizer
    if name in _WHOLE_WORDS:
        backend.model.ignore_merges = True
    if name in _DIGITS_ALONE:
        backend.pre_tokenizer = _sequence(pre_tokenizers.Digits(individual_digits=True))
    elif name in _SAME_AS:
        rule = Regex(gguf_splits()[_SAME_AS[name]])
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(rule, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
    elif name == "falcon":
        backend.pre_tokenizer = _sequence(_punctuation(more="`"), after=("[0-9]{3}",))
    elif name in (None, "default"):
        backend.pre_tokenizer = _sequence(_punctuation(), after=(r"\p{N}+", "[0-9]{3}"))
        return (
            "The file does not say how its text was split in training; it is split by llama.cpp's default "
            "rule, and tokens may differ from the original model's."
        )
    elif name not in _AS_GPT2 and name not in gguf_splits():
        return (
            f"The file asks for the split {name!r:.60}, which is not known here; text is split as GPT-2 "
            "does, and tokens may differ from llama.cpp's."
        )
    return ""


def _punctuation(more: str = "") -> Any:
    """Runs of punctuation and of the symbols that keyboards have."""
    return pre_tokenizers.Split(Regex(rf"[\p{{P}}$+<=>^|~{more}]+"), "isolated")


def _sequence(first: Any, after: tuple[str, ...] = ()) -> Any:
    """A rule, then GPT-2's, then further patterns, each within the pieces of the one before."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not after)
    if not after:
        return pre_tokenizers.Sequence([first, byte_level])
    rules = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in (_GPT2, *after)]
    return pre_tokenizers.Sequence([first, *rules, byte_level])
