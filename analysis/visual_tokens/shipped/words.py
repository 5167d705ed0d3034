"""The shipped model's tokenizer: one token a word, one token a digit."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.visual_tokens.scenes.words import vocabulary

PAD, BOS, EOS, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
SPECIAL = (PAD, BOS, EOS, UNKNOWN, IMAGE)
"""Special tokens; their ids are their places here."""

LONGEST = 256
"""Context of the model in tokens: 144 of the image and the question with its answer."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from the words of the scenes.

    Returns
    -------
    PreTrainedTokenizerFast
        Small letters; ``▁`` before what follows a blank, so that "47" is ``▁4`` and ``7`` and is read back as
        it was; ``<s>`` before every text; a word that no question has is ``<unk>``.
    """
    digits = "0123456789"
    pieces = (
        *SPECIAL,
        "?",
        "▁?",
        *digits,
        *(f"▁{d}" for d in digits),
        *(f"▁{word}" for word in vocabulary()),
    )
    backend = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"▁?[0-9?]"), behavior="isolated"),
        ]
    )
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, SPECIAL.index(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        extra_special_tokens={"image_token": IMAGE},
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
    )
