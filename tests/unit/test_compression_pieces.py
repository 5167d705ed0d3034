"""Words, sentences, what is left of a text, and how a budget is filled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analysis.models.tokenization import encode
from analysis.pruning_effects.compression.fitting import fit, ranking, spread, top
from analysis.pruning_effects.compression.pieces import (
    joined,
    kept_spans,
    paragraphs,
    sentences,
    units_of,
    words,
)
from analysis.pruning_effects.compression.stop_words import is_stop_word
from tests.tiny_models.tokenizer import byte_tokenizer

NASTY = "The naïve café’s 3.5 € cake —  don't!\n\n猫が二匹。Ω 👩‍👩‍👧 é done\n"


def cut(text, spans):
    assert spans[0][0] == 0 and spans[-1][1] == len(text)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    return [text[a:b] for a, b in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay 3.5 now.", ["Don't", " pay", " 3.5", " now", "."]),
        ("a (well-known) b", ["a", " (", "well-known", ")", " b"]),
        ("  two\n", ["  two\n"]),
        ("猫が二匹 いる", ["猫", "が", "二", "匹", " い", "る"]),
        ("한국어 텍스트", ["한국어", " 텍스트"]),
        ("cafe\u0301s हिन्दी", ["cafe\u0301s", " हिन्दी"]),
        ("wait...what", ["wait", "...", "what"]),
        (" ", [" "]),
    ],
)
def test_words(text, expected):
    assert cut(text, words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ("He paid 3.5 euros. Then he left.", ["He paid 3.5 euros.", " Then he left."]),
        ("Dr. Weber met J. R. Hart. They sat.", ["Dr. Weber met J. R. Hart.", " They sat."]),
        ("Fruit, e.g. pears. Good.", ["Fruit, e.g. pears.", " Good."]),
        ("It is I. You know.", ["It is I.", " You know."]),
        ('"Stop!" he said. Then (at last.) Peace.', ['"Stop!" he said.', " Then (at last.)", " Peace."]),
        ("猫がいる。犬もいる！終わり", ["猫がいる。", "犬もいる！", "終わり"]),
        ("Title\n\nFirst line. second\n- item", ["Title", "\n\nFirst line. second", "\n- item"]),
        ("Well... maybe. No", ["Well... maybe.", " No"]),
        ("¿Qué? ¡Sí! Ähm… Öl.", ["¿Qué?", " ¡Sí!", " Ähm…", " Öl."]),
        ("No end", ["No end"]),
        ("End.  \n", ["End.  \n"]),
        ("See www.example.org/a.b now. Yes.", ["See www.example.org/a.b now.", " Yes."]),
    ],
)
def test_sentences(text, expected):
    assert cut(text, sentences(text)) == expected


def test_paragraphs():
    assert cut("a\nb\n\nc\n\n\n\nd\n\n", paragraphs("a\nb\n\nc\n\n\n\nd\n\n")) == [
        "a\nb",
        "\n\nc",
        "\n\n\n\nd\n\n",
    ]
    assert words("") == sentences("") == paragraphs("") == []


@pytest.mark.parametrize("unit", ["token", "word", "sentence"])
def test_units_share_out_every_token_and_character(unit):
    tokens = encode(byte_tokenizer(), NASTY, bos="never")
    units = units_of(NASTY, tokens, unit)
    assert units.start[0] == 0 and units.end[-1] == len(NASTY)
    assert (units.start[1:] == units.end[:-1]).all() and (units.end > units.start).all()
    assert set(np.diff(units.of_token)) <= {0, 1} and units.of_token[-1] == len(units) - 1
    for cell in range(len(tokens.cell_text)):  # a character never comes apart
        assert len(set(units.of_token[tokens.cell == cell])) == 1
    for u in range(len(units)):
        assert units.start[u] == tokens.start[units.of_token == u].min()
    assert joined(NASTY, kept_spans(NASTY, units, np.ones(len(units), bool))) == NASTY
    if unit == "sentence":
        assert len(units) == 3


def test_a_choice_is_made_of_pieces_and_no_words_grow_together():
    text = "one (two) three\n\nfour, five"
    tokens = encode(byte_tokenizer(), text, bos="never")
    units = units_of(text, tokens, "word")
    pieces = [text[a:b] for a, b in zip(units.start, units.end, strict=True)]
    assert pieces == ["one", " (", "two", ")", " three", "\n\nfour", ",", " five"]

    def without(*gone):
        spans = kept_spans(text, units, np.array([p not in gone for p in pieces]))
        assert (spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] > spans[:-1, 1]).all()
        return joined(text, spans)

    assert without("two") == "one () three\n\nfour, five"  # nothing to mend
    assert without(" (") == "one two) three\n\nfour, five"  # its space stays
    assert without("\n\nfour") == "one (two) three, five"
    assert without(" three", "\n\nfour") == "one (two), five"
    assert without(" three", "\n\nfour", ",", ")") == "one (two five"
    lines = "one\n\n(two) three"
    other = units_of(lines, encode(byte_tokenizer(), lines, bos="never"), "word")
    keep = np.array([True, False, True, True, True])
    assert joined(lines, kept_spans(lines, other, keep)) == "one\ntwo) three"  # the line break, once
    assert without("one") == " (two) three\n\nfour, five"
    assert without(*pieces) == ""


def test_units_mean_is_the_mean_of_tokens():
    text = "The the"
    tokens = encode(byte_tokenizer(), text, bos="never")
    units = units_of(text, tokens, "word")
    values = np.arange(len(tokens), dtype=float)
    expected = [values[units.of_token == u].mean() for u in range(2)]
    assert units.mean(values).tolist() == expected


# Filling a budget -------------------------------------------------------------------------------------


def test_ranking():
    values = np.array([1.0, 3.0, np.nan, 3.0, -1.0])
    assert ranking(values).tolist() == [2, 1, 3, 0, 4]
    assert ranking(values, preferred=np.array([0, 0, 0, 0, 1], bool)).tolist() == [4, 2, 1, 3, 0]
    shuffled = [tuple(ranking(np.zeros(6), seed=s)) for s in range(5)]
    assert len(set(shuffled)) == 5 and all(sorted(r) == list(range(6)) for r in shuffled)
    mixed = ranking(np.array([0.0, 1.0] * 4), seed=3)
    assert (
        set(mixed[:4]) == {1, 3, 5, 7}
        and mixed.tolist() == ranking(np.array([0.0, 1.0] * 4), seed=3).tolist()
    )


def test_spread_is_even():
    assert np.flatnonzero(spread(10)(5)).tolist() == [1, 3, 5, 7, 9]
    assert np.flatnonzero(spread(9)(3)).tolist() == [1, 4, 7]
    assert [int(spread(37)(k).sum()) for k in range(38)] == list(range(38))


@pytest.mark.parametrize("budget", range(1, 21))
def test_a_budget_is_filled_by_what_fits(budget):
    lengths = np.array([3, 1, 5, 2, 4, 1, 3, 1])  # sums to 20
    order = np.array([2, 4, 0, 6, 3, 1, 5, 7])
    keep = fit(top(order), 8, budget, lambda k: int(lengths[k].sum()), order)
    assert int(lengths[keep].sum()) == budget  # single tokens at the end fill every hole
    best = [u for i, u in enumerate(order) if lengths[order[: i + 1]].sum() <= budget]
    assert keep[best].all()


def test_a_budget_below_every_unit_is_said():
    order = np.arange(3)
    assert fit(top(order), 3, 2, lambda k: 5 * int(k.sum()), order) is None
    assert fit(spread(3), 3, 15, lambda k: 5 * int(k.sum())).all()


def test_a_longer_choice_with_fewer_tokens_is_found():
    sizes = {0: 0, 1: 4, 2: 9, 3: 8, 4: 8, 5: 12}
    keep = fit(top(np.arange(5)), 5, 8, lambda k: sizes[int(k.sum())], np.arange(5))
    assert keep.sum() >= 3


def test_stop_words_and_their_switches():
    assert is_stop_word(" The") and is_stop_word("it’s") and not is_stop_word(" lighthouse")
    assert not is_stop_word("not") and is_stop_word("not", keep_negations=False)
    assert not is_stop_word("seven") and is_stop_word(" seven", keep_numerals=False)
    assert not is_stop_word("7", keep_numerals=False) and not is_stop_word(",")
