"""Answers in written texts: found, brought to one form, grouped."""

from __future__ import annotations

import pytest

from analysis.errors import AnalysisError
from analysis.writing import patterns
from analysis.writing.answers import RULES, boxed, extract, find_answers, group, normalise, said
from analysis.writing.number_text import last_number, plain

TEXT = """First 12 apples.
So \\boxed{\\frac{1}{2}} at first.
The answer is 3.5 apples. I am sure.
#### 1,234
In short: 7 - 3 = 4."""


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("automatic", "\\frac{1}{2}"),
        ("boxed", "\\frac{1}{2}"),
        ("####", "1,234"),
        ("answer is", "3.5 apples"),
        ("number", "4"),
        ("last line", "In short: 7 - 3 = 4."),
        ("whole", TEXT),
        (r"is (\d+)\.(\d+)", "3"),
        (r"\d+ apples|(\d+) bears", "5 apples"),
        (r"^So.*$", "So \\boxed{\\frac{1}{2}} at first."),
        (r"elephants: (\d+)", None),
        (r"\d*", "4"),
    ],
)
def test_each_way_finds_its_own(how, answer):
    assert extract(TEXT, how) == answer


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("text", ["", " \n ", "\\boxed{}", "#### "])
def test_nothing_is_no_answer(how, text):
    assert extract(text, how) in (None, text.strip() or None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no box", None),
        ("\\boxed{1} and \\boxed{2", "1"),
        ("\\boxed{a\\}b} c}", "a\\}b"),
        ("\\boxed{\\boxed{3}}", "3"),
        ("{ \\fbox {4}", "4"),
        ("\\boxed{x^{2}_{\\text{y}}} }", "x^{2}_{\\text{y}}"),
        ("\\boxed{" * 20_000 + "5}", "5"),
    ],
)
def test_braces_balance(text, answer):
    assert boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("**Answer:** 42", " 42"),
        ("The answer is: the sea! Really.", "the sea"),
        ("Answer:\n7", "7"),
        ("The answer is 1. No: the answer is 2.", "2"),
        ("The answer isn't 5", None),
        ("My answers are 3", None),
    ],
)
def test_what_is_said_to_be_the_answer(text, answer):
    assert (said(text) or "").strip() == (answer or "").strip()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3-4", "4"),
        ("x2 = -7.", "-7"),
        ("(\u22123)", "-3"),
        ("(2)-3", "3"),
        ("1,234,567 km", "1,234,567"),
        ("1,2,3", "3"),
        ("p=.5", ".5"),
        ("5!", "5"),
        ("$1,200.50", "1,200.50"),
        ("2/3 of 50%", "50%"),
        ("or 2/3 of it", "2/3"),
        ("so -1 1/2.", "-1 1/2"),
        ("1 2/3 of 12 34", "34"),
        ("x = 1e-3.", "1e-3"),
        ("wait...42", "42"),
        ("1'000", "1,000"),
        ("v1.2.3", None),
        ("none", None),
    ],
)
def test_the_last_number(text, number):
    assert last_number(plain(text)) == number


SAME = [
    ["1/2", ".50", "0.5", "½", "$\\frac{1}{2}$", "0.500.", "5e-1", "+0.5", "1 / 2", "\\dfrac{ 1 }{2}"],
    ["-0.5", "\u22121/2", "-½"],
    ["1,234", "1234", "1 234".replace(" ", "\u202f"), "1'234", "1_234", "1234.0", "**1,234**"],
    ["1.234.567", "1,234,567", "1234567"],
    ["1.234,5", "1,234.5", "1234.5"],
    ["1.234", "1,234/1000"],
    ["3/2", "1 1/2", "1½", "1.5"],
    ["1,5"],
    ["1 234"],
    ["0,123"],
    ["0.333"],
    ["1/3", "2/6"],
    ["50%", "50 %", "50\\%"],
    ["50"],
    ["4", "4.", "four", "Four!", "`4`", "0004"],
    ["4!"],
    ["2^2", "2²"],
    ["22"],
    ["x^10", "x¹⁰"],
    ["0", "-0", "zero"],
    ["1/0"],
    ["1e999999999"],
    ["the sea", "The Sea.", "“sea”", "  sea ", "SEA;", "a sea"],
    ["the cat in the hat", "cat in the hat"],
    ["vitamin a"],
    ["vitamin"],
    ["a", "A.", "a"],
    ["the"],
    ["straße", "STRASSE"],
    ["don’t", "don't"],
    ["\\text{Paris}", "paris"],
    ["ﬁne", "fine"],
    ["9" * 5000],
]


@pytest.mark.parametrize("same", SAME, ids=lambda same: same[0][:12])
def test_equal_answers_have_one_form_and_others_another(same):
    forms = {normalise(one) for one in same}
    assert len(forms) == 1
    assert forms.isdisjoint(normalise(one) for other in SAME if other is not same for one in other)
    assert {normalise(form) for form in forms} == forms


def test_numbers_are_written_with_a_point_where_they_end():
    assert [normalise(n) for n in ("7/8", "-1/4", "1/3", "1e3", "1e-3", "10/4")] == [
        "0.875", "-0.25", "1/3", "1000", "0.001", "2.5",
    ]  # fmt: skip


def test_a_long_repetition_ends():
    assert normalise("the " * 5000 + "sea" + "." * 5000) == "sea"


def test_groups_count_who_gave_no_answer():
    groups = group(["4", None, "four", "5", None, "4.0"])
    assert [(g.answer, g.members) for g in groups] == [("4", (0, 2, 5)), (None, (1, 4)), ("5", (3,))]
    assert group([]) == []


def test_answers_of_samples():
    found = find_answers(["It is 4.", "four", "The answer is 4", ""], r"(\d+)")
    assert found.extracted == ("4", None, "4", None)
    assert found.n_without == 2
    assert found.right("4.0") == found.right(["3", "4"]) == (True, False, True, False)
    frame = found.to_frame()
    assert frame["samples_with_it"].tolist() == [2, 2, 2, 2] and frame["answer"].isna().sum() == 2


def test_what_is_no_text_can_be_stored():
    found = find_answers(["\ud800", "\ud800 "], "whole")
    assert [len(g) for g in found.groups] == [2] and found.to_frame()["answer"].tolist() == ["?", "?"]


def test_a_pattern_that_never_matches_is_counted():
    found = find_answers(["a", "b"], "(x)")
    assert found.n_without == 2 and [len(g) for g in found.groups] == [2]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b\\1c"])
def test_a_pattern_that_takes_forever_is_stopped(pattern, monkeypatch):
    with pytest.raises(AnalysisError, match="stopped") as raised:
        patterns.last_match(pattern, "a" * 5000 + "b", 0.05)
    assert "repetition" in raised.value.hint


@pytest.mark.parametrize(
    "pattern", ["(", "a{2,1}", "(?P<x>a)(?P<x", "\\L<words>", "(" * 400 + ")" * 400 + "[", "x" * 501]
)
def test_what_is_no_pattern_is_one_sentence(pattern):
    with pytest.raises(AnalysisError) as raised:
        patterns.last_match(pattern, "a")
    assert raised.value.hint


@pytest.mark.parametrize(
    "wrong", [lambda: extract("a", ""), lambda: find_answers([]), lambda: find_answers(["4"]).right(" ")]
)
def test_what_is_missing_is_said(wrong):
    with pytest.raises(AnalysisError) as raised:
        wrong()
    assert raised.value.message and raised.value.hint
