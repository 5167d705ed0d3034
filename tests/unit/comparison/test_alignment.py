"""Tokens of two sides: by ids and by bytes, worked examples and random texts under other tokenizers."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from analysis.comparison.alignment import LEAST_RUN, align
from analysis.errors import AnalysisError
from analysis.models.tokenization import TokenizedText, encode
from tests.tiny_models.splitters import SPLITTERS
from tests.tiny_models.tokenizer import byte_tokenizer

POOL = [
    *"abcde the cat .,;\n\t 0123", "é", "ß", "e\u0301", "o\u0323\u0302", "ﬁ", "½", "İ", "K", "語", "日", "한", "각", "\u200d",
    "😀", "👩‍👩‍👧‍👦", "🇩🇪", "🏽", "ا", "ש", "\u202e", "\u200b", "\ufeff", "▁", "Ġ", "\u3000", "\u00a0", "\r\n", "𝔘", "\ufffd",
    "<s>", "</s>", "<0xE6>", "\x00", "\ufdfa", "\u1e9b\u0323",
]  # fmt: skip


def tokens_of(n_bytes, ids=None, cell=None):
    """Tokens of which only their bytes, ids and cells matter."""
    n = len(n_bytes)
    zeros = np.zeros(n, np.int32)
    ids = np.arange(n) if ids is None else ids
    cell = np.arange(n) if cell is None else cell
    return TokenizedText(
        np.array(ids, np.int64),
        zeros,
        zeros,
        np.array(n_bytes, np.int32),
        zeros > 0,
        np.array(cell, np.int32),
        (),
    )


def by_ids(ids_a, ids_b, text_a=None, text_b=None, **more):
    """Alignment of tokens of one letter each; id 0 is a token without bytes."""
    a, b = (tokens_of([int(i > 0) for i in ids], ids) for ids in (ids_a, ids_b))
    letters = ["".join(chr(96 + i) for i in ids if i) for ids in (ids_a, ids_b)]
    text_a, text_b = (given or made for given, made in zip((text_a, text_b), letters, strict=True))
    return align(a, b, text_a=text_a, text_b=text_b, same_tokenizer=True, **more)


def by_bytes(text, a, b, text_b=None):
    return align(a, b, text_a=text, text_b=text if text_b is None else text_b, same_tokenizer=False)


# One tokenizer ----------------------------------------------------------------------------------------


def test_equal_ids_are_the_same():
    found = by_ids([0, 1, 2, 3], [0, 1, 2, 3])
    assert found.kind == "same" and found.pairs.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert found.span_a.tolist() == found.span_b.tolist() == [0, 1, 2, 3]
    assert found.span_bytes.tolist() == [0, 1, 1, 1] and found.dropped == 0 and not found.notes


def test_a_beginning_of_text_token_on_one_side():
    found = by_ids([1, 2, 3], [0, 1, 2, 3])
    assert found.kind == "suffix" and found.pairs.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert found.span_b.tolist() == [-1, 0, 1, 2] and found.dropped == 0


def test_an_end_token_on_one_side():
    found = by_ids([1, 2, 0], [1, 2])
    assert found.kind == "prefix" and found.pairs.tolist() == [[0, 0], [1, 1]]
    assert found.span_a.tolist() == [0, 1, -1]


def test_another_continuation():
    found = by_ids([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9, 8, 7])
    assert found.kind == "prefix" and found.pairs[:, 0].tolist() == [0, 1, 2, 3]


def test_a_prompt_in_front_and_a_seam_that_the_tokenizer_splits_otherwise():
    """A: |ab|c|d|e|, B: |x|ya|b|c|d|e|: the a and b of A are one token, those of B two others."""
    a = tokens_of([2, 1, 1, 1], [50, 3, 4, 5])
    b = tokens_of([1, 2, 1, 1, 1, 1], [24, 60, 2, 3, 4, 5])
    found = align(a, b, text_a="abcde", text_b="xyabcde", same_tokenizer=True)
    assert found.kind == "suffix" and found.pairs.tolist() == [[1, 3], [2, 4], [3, 5]]
    assert found.dropped == 1  # |ab| on A, |b| on B; |ya| is not of the common text
    assert found.span_a.tolist() == [-1, 0, 1, 2] and found.span_b.tolist() == [-1, -1, -1, 0, 1, 2]


def test_two_prompts_in_front_of_one_text():
    found = by_ids([7, 8, 7, 1, 2, 3, 4, 5], [9, 1, 2, 3, 4, 5])
    assert found.kind == "suffix" and len(found.pairs) == 5 and found.dropped == 0
    forced = by_ids([1, 2, 3, 4, 9, 1, 2], [1, 2, 3, 4, 8, 1, 2], kind="suffix")
    assert forced.pairs.tolist() == [[5, 5], [6, 6]]


def test_two_texts_match_in_stretches():
    one = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    other = [1, 2, 3, 4, 20, 6, 7, 21, 9, 10, 22, 11, 12]
    found = by_ids(one, other)
    assert found.kind == "prefix" and "stretch" not in "".join(found.notes)
    other = [1, 2, 3, 4, 20, 6, 7, 21, 8, 9, 10, 11, 12]
    found = by_ids(one, other)
    assert found.kind == "diff"
    assert found.pairs.tolist() == [[i, i] for i in range(4)] + [[i, i + 1] for i in range(7, 12)]
    assert found.span_a[4:7].tolist() == [-1] * 3 and found.span_b[4:8].tolist() == [-1] * 4
    assert found.notes == ("2 tokens that match in stretches of fewer than 4 are left out.",)
    assert (np.diff(found.pairs, axis=0) > 0).all()


def test_texts_without_a_common_stretch_are_refused():
    with pytest.raises(AnalysisError, match="no stretch"):
        by_ids([1, 2, 3, 4, 5], [6, 1, 2, 3, 7])
    with pytest.raises(AnalysisError, match="no stretch"):
        by_bytes("abcdefgh", tokens_of([4, 4]), tokens_of([4, 4]), "hgfedcba")


def test_one_text_that_is_split_otherwise_in_between_loses_nothing():
    """As where one side reads a special token in the text, and the other its letters."""
    a = tokens_of([1, 1, 1, 3, 1, 1], [1, 2, 3, 70, 4, 5])
    b = tokens_of([1, 1, 1, 1, 1, 1, 1, 1], [1, 2, 3, 60, 61, 60, 4, 5])
    found = align(a, b, text_a="abc<s>de", text_b="abc<s>de", same_tokenizer=True)
    assert found.kind == "spans" and found.span_b.tolist() == [0, 1, 2, 3, 3, 3, 4, 5]
    assert found.pairs.tolist() == [[0, 0], [1, 1], [2, 2], [4, 6], [5, 7]]
    other = tokens_of([1, 1, 1, 3, 1, 1], [1, 2, 3, 71, 4, 5])  # as many bytes, another token
    found = align(a, other, text_a="abc<s>de", text_b="abc<s>de", same_tokenizer=True)
    assert found.n_spans == 6 and [3, 3] not in found.pairs.tolist()


def test_a_short_text_with_a_token_more_at_either_end():
    found = by_ids([0, 1, 2], [1, 2, 0])
    assert found.pairs.tolist() == [[1, 0], [2, 1]] and len(found.pairs) < LEAST_RUN


# Two tokenizers ---------------------------------------------------------------------------------------


def test_a_worked_example():
    """Two tokenizers' pieces of a text with a split letter, three bytes of a character, and an emoji in three pieces.

    A: na · ïve · ␣E8 · AA · 9E · F09F · 98 · 80 · ␣ok. B: na · ï · ve · ␣E8 · AA · 9E · 😀 · ␣ok.
    """
    text = "naïve 語😀 ok"
    a = tokens_of([2, 4, 2, 1, 1, 2, 1, 1, 3], cell=[0, 1, 2, 2, 2, 3, 3, 3, 4])
    b = tokens_of([2, 2, 2, 2, 1, 1, 4, 3], cell=[0, 1, 2, 3, 3, 3, 4, 5])
    found = by_bytes(text, a, b)
    assert found.kind == "spans" and found.n_spans == 7
    assert found.span_a.tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 6]
    assert found.span_b.tolist() == [0, 1, 1, 2, 3, 4, 5, 6]
    assert found.span_bytes.tolist() == [2, 4, 2, 1, 1, 4, 3] and found.span_bytes.sum() == len(text.encode())
    assert found.pairs.tolist() == [[0, 0], [2, 3], [3, 4], [4, 5], [8, 7]]


def test_tokens_without_bytes_are_in_no_span():
    found = by_bytes("abc", tokens_of([0, 1, 2, 0]), tokens_of([2, 0, 1]))
    assert found.span_a.tolist() == [-1, 0, 0, -1] and found.span_b.tolist() == [0, -1, 0]
    assert found.span_bytes.tolist() == [3] and len(found.pairs) == 0


def test_two_tokenizers_and_a_prompt_on_one_side():
    """Only the common end is matched: nothing is invented in between."""
    found = by_bytes("abcdefgh", tokens_of([2] * 4), tokens_of([3, 1, 1, 2, 2, 2]), "xyzabcdefgh")
    assert found.span_a.tolist() == [0, 1, 2, 3] and found.span_b.tolist() == [-1, 0, 0, 1, 2, 3]


def test_two_tokenizers_and_a_word_changed_in_between():
    one, other = "abcdefgh12345678", "abcdefghXX12345678"
    found = by_bytes(one, tokens_of([2] * 8), tokens_of([2, 1, 1, 2, 2, 2, 1, 1, 2, 4]), other)
    assert found.span_a.tolist() == [0, 1, 2, 3, -1, -1, -1, -1]  # behind it are three spans: too few
    assert found.span_b.tolist() == [0, 1, 1, 2, 3, -1, -1, -1, -1, -1]
    assert found.span_bytes.tolist() == [2, 2, 2, 2] and found.pairs.tolist() == [[0, 0], [2, 3], [3, 4]]


def test_tokens_that_are_not_of_the_text_are_refused():
    with pytest.raises(AnalysisError, match="side B"):
        by_bytes("abc", tokens_of([3]), tokens_of([2]))


def assert_tiles(text, a, b):
    """What every alignment of one text by two tokenizers keeps."""
    found = by_bytes(text, a, b)
    rng = np.random.default_rng(0)
    for tokens, span in ((a, found.span_a), (b, found.span_b)):
        inside = tokens.n_bytes > 0
        assert ((span >= 0) == inside).all()
        own = span[inside]
        assert own[0] == 0 and own[-1] == found.n_spans - 1 and set(np.diff(own)) <= {0, 1}
        sizes = np.bincount(own, tokens.n_bytes[inside], found.n_spans)
        np.testing.assert_array_equal(sizes, found.span_bytes)
        surprisal = np.where(inside, rng.exponential(3, len(tokens)), 0.0)
        assert np.bincount(own, surprisal[inside]).sum() == pytest.approx(surprisal.sum(), rel=1e-12)
    assert (found.span_bytes > 0).all() and found.span_bytes.sum() == len(text.encode())
    # No smaller spans: within one, no token of A ends where one of B does
    ends = [set(np.cumsum(tokens.n_bytes)[tokens.n_bytes > 0].tolist()) for tokens in (a, b)]
    assert set(np.cumsum(found.span_bytes).tolist()) == ends[0] & ends[1]
    i, j = found.pairs.T
    np.testing.assert_array_equal(found.span_a[i], found.span_b[j])
    np.testing.assert_array_equal(a.n_bytes[i], b.n_bytes[j])


def random_text(draw):
    pieces = draw.choice(POOL, draw.integers(1, 40)).tolist()
    pieces.insert(draw.integers(len(pieces) + 1), "a")  # something that every tokenizer reads
    text = "".join(pieces)
    return unicodedata.normalize(draw.choice(["NFC", "NFD", "NFKC"]), text) if draw.random() < 0.2 else text


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.parametrize("n", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_spans_of_random_texts_tile_them(name, n):
    other, plain = SPLITTERS[name](), byte_tokenizer(add_bos=True)
    draw = np.random.default_rng(7)
    for _ in range(n):
        text = random_text(draw)
        parse = bool(draw.integers(2))
        assert_tiles(text, encode(plain, text, parse_special=parse), encode(other, text))


@pytest.mark.embedded
@pytest.mark.parametrize("n", [100])
def test_spans_of_random_texts_under_the_embedded_tokenizer(smollm2, n):
    plain, draw = byte_tokenizer(), np.random.default_rng(8)
    for _ in range(n):
        text = random_text(draw)
        assert_tiles(text, encode(smollm2.tokenizer, text), encode(plain, text))


@pytest.mark.embedded
def test_the_worked_example_under_the_embedded_tokenizer(smollm2):
    a = encode(smollm2.tokenizer, "naïve 語😀 ok")
    assert a.n_bytes.tolist() == [2, 4, 2, 1, 1, 2, 1, 1, 3]


def test_the_work_grows_with_the_text_alone():
    """Fifty thousand tokens against twice as many: no table of pairs."""
    n = 50_000
    found = by_bytes("ab" * n, tokens_of([2] * n), tokens_of([1] * 2 * n))
    assert found.n_spans == n and len(found.pairs) == 0
