"""Token text and values as they are shown: seen, unambiguous, and in one way everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.drawing.labels import SIGNS, hover_label, runs, spelled, spelled_all, visible
from analysis.drawing.numbers import MINUS, THIN_SPACE, exact, short
from tests.counting import calls

ASTRONAUT = "\U0001f9d1\u200d\U0001f680"
SHOWN = {
    "": "∅",
    " the": "·the",
    "  two": "··two",
    "a\tb\nc\r": "a→b↵c\\r",
    "日本\u3000語": "日本・語",
    "a\u200bb": "a‹U+200B›b",
    "\u00a0": "‹U+00A0›",
    "\u3164": "‹U+3164›",
    "\x00\x7f\u202e\u2028": "‹U+0000›‹U+007F›‹U+202E›‹U+2028›",
    "\ue000": "‹U+E000›",
    "\U000e0041": "‹U+E0041›",
    "\ud800x": "?x",
    ASTRONAUT: ASTRONAUT,
    "❤\ufe0f\u200d🔥": "❤\ufe0f\u200d🔥",
    "\u200d🚀": "‹U+200D›🚀",
    "🧑\u200d": "🧑‹U+200D›",
    "🧑\u200dx": "🧑‹U+200D›x",
    "क\u200dष": "क‹U+200D›ष",
    "\u0301": "◌\u0301",
    "e\u0301": "e\u0301",
    " \u0301e": "·◌\u0301e",
    "\u200b\u0301": "‹U+200B›◌\u0301",
    "x\u200d\u0301": "x‹U+200D›◌\u0301",
    "constructor": "constructor",
    "__proto__": "__proto__",
    "‹U+200B›": "‹U+200B›",
    "<b>&": "<b>&",
    "\u05e9\u05dc\u05d5\u05dd": "\u05e9\u05dc\u05d5\u05dd",
}
TEXTS = tuple(SHOWN)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_everything_is_seen(text):
    assert visible(text) == SHOWN[text]
    assert hover_label(text) == SHOWN[text].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert spelled(spelled(text)) == spelled(text), "nothing is left to spell out"


def test_white_space_stays_in_a_spelled_text():
    assert spelled(" a\n\tb\u200b") == " a\n\tb‹U+200B›"
    assert list(runs(" a\n\u200b")) == [
        ("·", "sign"),
        ("a", "letters"),
        ("↵", "sign"),
        ("‹U+200B›", "spelled"),
    ]


def test_many_texts_are_spelled_like_each():
    assert spelled_all(TEXTS) == [text if text == "\ud800x" else spelled(text) for text in TEXTS]
    assert spelled_all(()) == [] and spelled_all(["a", " b"]) == ["a", " b"]
    many = [f" w{k % 500}" for k in range(32_768)]
    assert calls(lambda: spelled_all(many)) < 1000, "nothing is asked of a text without anything odd"
    assert calls(lambda: spelled_all([*many, "\u00a0"])) < 2 * 32_768


def test_a_sign_stands_for_one_character():
    assert all(len(key) <= 1 for key in SIGNS) and len(set(SIGNS.values())) == len(SIGNS)


@pytest.mark.parametrize(
    ("value", "text", "signed"),
    [
        (0.0, "0", "0"),
        (7.0, "7", "+7"),
        (-7.0, f"{MINUS}7", f"{MINUS}7"),
        (0.5, "0.5", "+0.5"),
        (1.5, "1.5", "+1.5"),
        (0.1, "0.1", "+0.1"),
        (0.00012345, "0.000123", "+0.000123"),
        (-1234.5, f"{MINUS}1{THIN_SPACE}230", f"{MINUS}1{THIN_SPACE}230"),
        (100.0, "100", "+100"),
        (123456.0, f"123{THIN_SPACE}000", f"+123{THIN_SPACE}000"),
        (math.inf, "∞", "+∞"),
    ],
)
def test_ends_of_a_scale(value, text, signed):
    assert short(value) == text and short(value, signed=True) == signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.5, "3.50000"),
        (0.0, "0.00000"),
        (-0.0, "0.00000"),
        (-2.0, f"{MINUS}2.00000"),
        (123456.0, "123456"),
        (100000.5, "100001"),
        (999999.5, "1.00000e+6"),
        (1234567.0, "1.23457e+6"),
        (1e-6, "0.00000100000"),
        (1e-7, f"1.00000e{MINUS}7"),
        (1.25e-5, "0.0000125000"),
        (math.pi, "3.14159"),
        (math.inf, "∞"),
        (np.float32(0.1), "0.100000"),
    ],
)
def test_exact_values(value, text):
    assert exact(value) == text
