"""Text to tokens: every character in one cell, every byte with one token, honest names."""

from __future__ import annotations

import itertools
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.errors import InvalidTextError
from analysis.models.token_names import token_bytes, token_text
from analysis.models.tokenization import encode, limit_ids
from tests.tiny_models.splitters import TOKENIZERS, Slow, byte_fallback, gpt2_style, unigram, word_level
from tests.tiny_models.tokenizer import BOS_ID, EOS_ID, byte_tokenizer

TEXTS = {
    "plain": "The cat sat on the mat.",
    "one letter": "a",
    "leading spaces": "   and then",
    "trailing spaces": "and then   ",
    "newlines": "\n\n\ta\r\n\r\nb\n",
    "family emoji": "👩‍👩‍👧‍👦 and 👨🏽‍🚀",
    "flags": "🇩🇪🇫🇷 🏴󠁧󠁢󠁷󠁬󠁳󠁿",
    "keycap": "1️⃣ #️⃣",
    "combining": unicodedata.normalize("NFD", "Ünïcödé ệ"),
    "stacked marks": "Z̸̢̛a̷l͝g̵o",
    "cjk": "今日は天気がいいから、散歩しましょう。",
    "hangul parts": unicodedata.normalize("NFD", "한국어"),
    "rtl": "שלום עולם, مرحبا بالعالم",
    "rtl controls": "a\u202eb\u202cc\u200f",
    "control characters": "a\x00b\x07c\x1b[31m\x7f\x85",
    "zero width": "a\u200bb\ufeffc\u2060d",
    "astral": "𝔘𝔫𝔦 𐍈 🜁",
    "private use": "\ue000\U000f0000\U0010fffd",
    "noncharacter": "\ufffe\uffff",
    "replacement": "\ufffd\ufffd",
    "line separators": "a\u2028b\u2029c",
    "nbsp": "a\u00a0b\u3000c",
    "html": "<b>&amp;</b><script>alert(1)</script>",
    "special": "<s>hello</s> there<s>",
    "only special": "<s></s>",
    "underscore of sentencepiece": "a▁b ▁",
    "byte-level stand-ins": "Ġa Ċ ĉ",
    "byte token spelled out": "<0xE6><0x0A>",
    "digits": "2 + 12 = 14, 1024",
    "ligatures": "ﬁne ﬀ ½ ²",
    "long word": "x" * 300,
}


def letters_of(texts):
    return sorted({c for c in "".join(texts) if not 0xD800 <= ord(c) < 0xE000})


@pytest.fixture(scope="module")
def tokenizer(request):
    return TOKENIZERS[request.param]()


def assert_whole(text, tokens):
    """What a screen and the bits per byte rely on."""
    n = len(tokens)
    assert {len(getattr(tokens, f)) for f in ("start", "end", "n_bytes", "is_special", "cell")} == {n}
    assert "".join(name for c, name in enumerate(tokens.cell_text) if covers(tokens, c)) == text
    assert int(tokens.n_bytes.sum()) == len(text.encode())
    assert (tokens.n_bytes >= 0).all()
    assert tokens.cell[0] == 0 and set(np.diff(tokens.cell)) <= {0, 1}
    assert len(tokens.cell_text) == tokens.cell[-1] + 1
    inside = tokens.start >= 0
    assert (tokens.end >= tokens.start).all() and (tokens.end <= len(text)).all()
    assert ((tokens.start == -1) == (tokens.end == -1)).all()
    assert (np.diff(tokens.start[inside]) >= 0).all()
    outside_bytes = tokens.n_bytes[~inside & ~shared(tokens)]
    assert (outside_bytes == 0).all()
    seen = set(
        itertools.chain.from_iterable(range(a, b) for a, b in zip(tokens.start, tokens.end, strict=True))
    )
    assert seen - {-1} == set(range(len(text)))
    for c, name in enumerate(tokens.cell_text):
        own = (tokens.cell == c) & inside
        if own.any():
            assert name == text[tokens.start[own].min() : tokens.end[own].max()]


def covers(tokens, cell):
    return (tokens.start[tokens.cell == cell] >= 0).any()


def shared(tokens):
    return np.bincount(tokens.cell)[tokens.cell] > 1


@pytest.mark.parametrize("tokenizer", TOKENIZERS, indirect=True)
@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
@pytest.mark.parametrize("parse_special", [True, False])
def test_every_character_and_byte_is_accounted_for(tokenizer, text, parse_special):
    assert_whole(text, encode(tokenizer, text, parse_special=parse_special))
    if tokenizer.bos_token_id is not None:
        assert_whole(text, encode(tokenizer, text, bos="always", parse_special=parse_special))
    assert_whole(text, encode(tokenizer, text, bos="never", parse_special=parse_special))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, indirect=True)
@pytest.mark.parametrize("seed", range(8))
def test_random_unicode_is_accounted_for(tokenizer, seed):
    draw = np.random.default_rng(seed)
    pool = [*"ab \n", *letters_of(TEXTS.values())]
    text = "".join(draw.choice(pool, 60)) + "z"
    assert_whole(text, encode(tokenizer, text))


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_byte_level_pieces_are_the_text(text):
    """For a byte-level tokenizer the bytes of the tokens, put together, are the text itself."""
    tokens = encode(byte_tokenizer(), text, parse_special=False)
    data = [token_bytes(byte_tokenizer(), i) for i in tokens.token_id]
    assert b"".join(data) == text.encode()
    assert tokens.n_bytes.tolist() == [len(d) for d in data]


def test_pieces_of_a_character_share_a_cell():
    tokens = encode(byte_tokenizer(), "é🙂 the")
    assert tokens.cell.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert tokens.cell_text == ("é", "🙂", " the")
    assert tokens.start.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert tokens.end.tolist() == [1, 1, 2, 2, 2, 2, 6]
    assert tokens.n_bytes.tolist() == [1, 1, 1, 1, 1, 1, 4]


def test_byte_fallback_pieces_share_a_cell():
    tokens = encode(byte_fallback(), "the 今é")
    assert [token_text(byte_fallback(), i) for i in tokens.token_id] == [
        *("<s>", " the", " ", "‹E4›", "‹BB›", "‹8A›", "é")
    ]
    assert tokens.cell_text[-3:] == (" ", "今", "é")
    assert tokens.n_bytes.tolist() == [0, 3, 1, 1, 1, 1, 2]


def test_a_space_trimmed_from_the_span_goes_to_its_token():
    tokenizer = gpt2_style()
    raw = tokenizer("on the mat", return_offsets_mapping=True)["offset_mapping"]
    assert (3, 6) in raw  # " the", its space left out
    tokens = encode(tokenizer, "on the mat")
    plain = encode(byte_tokenizer(), "on the mat")
    assert tokens.cell_text == plain.cell_text
    assert tokens.start.tolist() == plain.start.tolist()
    assert tokens.n_bytes.tolist() == plain.n_bytes.tolist()


def test_a_tokenizer_without_offsets_finds_the_same_spans():
    text = "The cat, the dog and the <b>.\n\n  Then rain."
    fast, slow = encode(byte_tokenizer(), text), encode(Slow(byte_tokenizer()), text)
    assert slow.start.tolist() == fast.start.tolist() and slow.cell_text == fast.cell_text


def test_characters_at_the_end_that_no_token_covers_stay_visible():
    tokens = encode(word_level(), "the cat  \n")
    assert tokens.cell_text == ("the", " cat  \n")
    assert tokens.end.tolist() == [3, 10]
    assert tokens.n_bytes.tolist() == [3, 7]


def test_an_end_token_after_trailing_space_takes_no_text():
    """The last cell may belong to an added token: the gap before it goes to the last word."""
    tokens = encode(unigram(), "the cat \u00ad")
    assert tokens.token_id[-1] == 2
    assert (tokens.start[-1], tokens.end[-1], tokens.n_bytes[-1]) == (-1, -1, 0)
    assert tokens.cell_text[-1] == "</s>"


def test_special_tokens_in_the_text_are_parsed_or_not():
    text = "a<s>b</s>"
    parsed = encode(byte_tokenizer(), text)
    assert parsed.token_id[1] == BOS_ID and parsed.token_id[-1] == EOS_ID
    assert parsed.is_special.tolist() == [False, True, False, True]
    assert parsed.start.tolist() == [0, 1, 4, 5]
    letters = encode(byte_tokenizer(), text, parse_special=False)
    assert not letters.is_special.any() and len(letters) == 9
    again = encode(byte_tokenizer(), text)  # asking for letters once does not stay
    assert again.token_id.tolist() == parsed.token_id.tolist()


def test_bos_as_the_tokenizer_says_always_or_never():
    plain, adding = byte_tokenizer(), byte_tokenizer(add_bos=True)
    for tokenizer, bos, expected in [
        *((plain, "auto", 0), (plain, "always", 1), (plain, "never", 0)),
        *((adding, "auto", 1), (adding, "always", 1), (adding, "never", 0)),
    ]:
        tokens = encode(tokenizer, "ab", bos=bos)
        assert (tokens.token_id == BOS_ID).sum() == expected
        assert tokens.token_id[-2:].tolist() == encode(plain, "ab").token_id.tolist()
        if expected:
            assert tokens.is_special[0] and tokens.start[0] == -1 and tokens.cell_text[0] == "<s>"


class Prefixed:
    """A tokenizer that puts two tokens in front of any text, as GLM's does."""

    def __new__(cls):
        tokenizer = byte_tokenizer()
        tokenizer.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"]})
        ids = [("[gMASK]", len(tokenizer) - 2), ("<sop>", len(tokenizer) - 1)]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="[gMASK] <sop> $A", special_tokens=ids
        )
        return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "lead"),
    [(byte_tokenizer(add_bos=True), "<s>"), (Prefixed(), "[gMASK]<sop>"), (byte_fallback(), "<s>")],
    ids=["one", "two", "byte fallback"],
)
def test_a_text_that_begins_with_it_gets_no_second_one(tokenizer, lead):
    text = "the cat"
    plain, pasted = encode(tokenizer, text), encode(tokenizer, lead + text)
    assert pasted.token_id.tolist() == plain.token_id.tolist() and not plain.note
    assert lead in pasted.note and pasted.note.endswith(".")
    assert "".join(pasted.cell_text) == lead + text and pasted.start[0] == 0
    twice = encode(tokenizer, lead + lead + text)
    assert len(twice) == len(plain) + len(lead.split("][")) * (2 if lead.startswith("[") else 1)
    assert encode(tokenizer, f" {lead}{text}").note == "", "a blank goes first"
    letters = encode(tokenizer, lead + text, parse_special=False)
    assert not letters.note and letters.token_id[0] == plain.token_id[0]
    assert not encode(tokenizer, lead + text, bos="never").note


def test_a_tokenizer_that_adds_none_is_left_alone():
    tokens = encode(byte_tokenizer(), "<s>ab")
    assert tokens.token_id.tolist().count(BOS_ID) == 1 and not tokens.note


@pytest.mark.parametrize("adds", [True, False])
def test_always_adds_and_says_when_it_is_a_second(adds):
    tokens = encode(byte_tokenizer(add_bos=adds), "<s>ab", bos="always")
    assert tokens.token_id.tolist().count(BOS_ID) == 2 and "twice" in tokens.note
    assert not encode(byte_tokenizer(add_bos=adds), "ab", bos="always").note


@pytest.mark.parametrize("bos", ["auto", "always", "never"])
def test_a_tokenizer_without_offsets_gets_no_second_one_either(bos):
    text = "<s>The cat."
    fast, slow = (
        encode(byte_tokenizer(add_bos=True), text, bos=bos),
        encode(Slow(byte_tokenizer(add_bos=True)), text, bos=bos),
    )
    assert fast.token_id.tolist() == slow.token_id.tolist() and fast.note == slow.note
    assert fast.start.tolist() == slow.start.tolist()


@pytest.mark.parametrize("fast", [True, False])
def test_tokens_past_the_head_are_refused_by_name_and_only_where_they_occur(fast):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<|t{i}|>" for i in range(40)])
    n_ids = len(tokenizer) - 3
    over = limit_ids(tokenizer, n_ids)
    assert over == ["<|t37|>", "<|t38|>", "<|t39|>"]
    ours = tokenizer if fast else Slow(tokenizer)
    assert encode(ours, "a <|t36|> b").token_id.max() == n_ids - 1
    with pytest.raises(InvalidTextError) as caught:
        encode(ours, "a <|t38|> b <|t39|>")
    assert "<|t38|>" in caught.value.message and f"{n_ids:,}" in caught.value.message and caught.value.hint
    assert limit_ids(byte_tokenizer(), 320) == []


def test_always_is_refused_without_a_bos():
    with pytest.raises(InvalidTextError) as caught:
        encode(word_level(), "the cat", bos="always")
    assert "beginning-of-text" in caught.value.message and "auto" in caught.value.hint


@pytest.mark.parametrize("text", ["\ud83d", "ab\udc00c", "\udfff\ud800"])
def test_half_a_surrogate_pair_is_named(text):
    with pytest.raises(InvalidTextError) as caught:
        encode(byte_tokenizer(), text)
    assert f"U+{next(ord(c) for c in text if 0xD800 <= ord(c) < 0xE000):04X}" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000"])
def test_nothing_to_read_is_said(text):
    with pytest.raises(InvalidTextError) as caught:
        encode(byte_tokenizer(), text)
    assert caught.value.message and caught.value.hint


def test_a_text_the_tokenizer_drops_whole_is_said():
    """A normalizer may leave nothing of a text that is not empty."""
    tokenizer = word_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("."), "")
    with pytest.raises(InvalidTextError) as caught:
        encode(tokenizer, "abc")
    assert caught.value.message and caught.value.hint


def test_names_of_tokens():
    tokenizer = byte_tokenizer()
    ids = tokenizer("今 the\n<s>").input_ids
    names = [token_text(tokenizer, i) for i in ids]
    assert names == ["‹E4›", "‹BB›", "‹8A›", " the", "\n", "<s>"]
    assert token_text(tokenizer, len(tokenizer)) == f"‹unused {len(tokenizer)}›"
    assert token_text(tokenizer, 310) == "‹unused 310›"
    assert token_text(tokenizer, np.int64(BOS_ID)) == "<s>"


def test_names_of_a_piece_with_whole_and_broken_characters():
    tokenizer = byte_tokenizer()
    backend = tokenizer.backend_tokenizer
    stand_in = {b: c for c, b in zip("æÄ", (0xE6, 0xC4), strict=True)}
    tokenizer.add_tokens(["plain added", stand_in[0xE6] + "a"])
    assert token_text(tokenizer, len(tokenizer) - 1) == "æa"  # added as text, not as bytes
    assert backend.token_to_id("æ") is not None
    assert token_text(tokenizer, backend.token_to_id("æ")) == "‹E6›"
    fallback = byte_fallback()
    assert token_text(fallback, fallback.convert_tokens_to_ids("<0xE6>")) == "‹E6›"
    assert token_text(fallback, fallback.convert_tokens_to_ids("<0x0A>")) == "\n"
    assert token_text(fallback, fallback.convert_tokens_to_ids("▁the")) == " the"


def test_holes_in_the_vocabulary_are_unused():
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cat": 7}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert token_text(tokenizer, 2) == "‹unused 2›"
    assert token_text(tokenizer, 7) == "cat"


def test_every_byte_has_the_letter_that_byte_level_vocabularies_write_for_it():
    from tokenizers.decoders import ByteLevel
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()
    assert letters[0xE6] == "æ" and letters[ord(" ")] == "Ġ" and letters[0x7F] == "ġ"

    class Tokenizer:
        backend_tokenizer = SimpleNamespace(decoder=ByteLevel())

        def convert_ids_to_tokens(self, token_id):
            return letters[token_id]

    assert [token_bytes(Tokenizer(), b) for b in range(256)] == [bytes([b]) for b in range(256)]
