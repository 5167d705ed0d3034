"""The byte-level tokenizer of the tiny random models, built from code alone."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

MAX_POSITIONS = 2048
"""Longest context of every tiny model, in tokens."""

BOS_ID = 0
"""Id of ``<s>`` in :func:`byte_tokenizer`."""

EOS_ID = 1
"""Id of ``</s>`` in :func:`byte_tokenizer`."""

_MERGES = (
    "h e|i n|r e|o n|e r|a n|a t|o r|e n|o u|i t|e s|a l|e d|i s|l e|an d|in g|Ġ t|Ġ a|Ġt he|Ġ s|Ġ w|Ġ o|Ġ in"
    "|Ġ and|Ġt o|Ġo f|Ġ c|Ġ b|Ġ m|Ġ p|Ġ f|Ġa t|Ġ Ġ|Ġ it"
)


def byte_tokenizer(*, add_bos: bool = False) -> PreTrainedTokenizerFast:
    """Build a byte-level tokenizer with a few English pieces.

    Parameters
    ----------
    add_bos : bool, default False
        Put ``<s>`` before every text.

    Returns
    -------
    PreTrainedTokenizerFast
        ``<s>`` is 0, ``</s>`` is 1, then the 256 bytes, then one id a merge.
        Any text comes back unchanged. Tokens of one multi-byte character share
        that character's offsets.
    """
    merges = [(left, right) for left, right in (pair.split(" ") for pair in _MERGES.split("|"))]
    pieces = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if add_bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS_ID)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
