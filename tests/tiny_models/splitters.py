"""Tokenizers of the kinds that split texts otherwise than the byte-level one, built from code alone."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.tiny_models.tokenizer import byte_tokenizer


def gpt2_style(trim_offsets=True):
    """As GPT-2's own tokenizer.json: spans leave out the leading space."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


def byte_fallback():
    """Llama-2 style BPE: ``▁`` for a space, unknown characters as bytes such as ``<0xE6>``."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    letters = ["▁", *(chr(c) for c in range(33, 127)), "é"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "a"), ("▁", "▁")]
    pieces += letters + [a + b for a, b in merges]
    vocab = {p: i for i, p in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def unigram():
    """SentencePiece Unigram with Metaspace, NFKC and bytes for the rest."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{b:02X}>", -12.0) for b in range(256))]
    pieces += [("▁", -3.0), ("▁the", -2.0), ("▁cat", -3.0), ("at", -3.5)]
    pieces += [(chr(c), -6.0) for c in range(33, 127)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def word_level():
    """Lower-cased words between white space, everything else unknown: most of the text lies in gaps."""
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cat": 2}, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Strip()])
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


class Slow:
    """A tokenizer without offsets, as the pure Python ones are."""

    is_fast = False

    def __init__(self, inside):
        self._inside = inside

    def __call__(self, text, *, return_offsets_mapping=False, **options):
        assert not return_offsets_mapping, "a slow tokenizer raises here"
        return {"input_ids": self._inside(text, **options)["input_ids"]}

    def __len__(self):
        return len(self._inside)

    def __getattr__(self, name):
        return getattr(self._inside, name)


TOKENIZERS = {
    "byte level": byte_tokenizer,
    "byte level, bos": lambda: byte_tokenizer(add_bos=True),
    "gpt2, trimmed": gpt2_style,
    "byte fallback": byte_fallback,
    "unigram": unigram,
    "words": word_level,
    "slow byte level": lambda: Slow(byte_tokenizer(add_bos=True)),
    "slow byte fallback": lambda: Slow(byte_fallback()),
}

SPLITTERS = {name: TOKENIZERS[name] for name in ("byte fallback", "unigram", "words")}
"""Those that split a text otherwise than the first: bytes of unknown letters, normalised pieces, whole words."""
