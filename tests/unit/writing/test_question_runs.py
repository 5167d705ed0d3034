"""Questions put to a model: what is kept of them is what its samples say."""

from __future__ import annotations

import re

import numpy as np
import pytest

import analysis as an
from analysis.errors import Cancelled
from analysis.writing.question_runs import answer_question, measure_difficulty
from analysis.writing.questions import QUESTIONS, Question
from analysis.writing.sample_answers import difficulty_of


def test_numbers_are_those_of_the_samples(llama):
    questions = [QUESTIONS[0], Question("the tin?", ("7",), "easy", "arithmetic")]
    found = measure_difficulty(llama, questions, n=3, n_new=5, seed=2)
    writings = [
        an.write_samples(llama, f"Question: {q.text}\nAnswer:", 3, n_new=5, seed=2).writing for q in questions
    ]
    expected = difficulty_of(questions, writings)
    np.testing.assert_array_equal(found.entropy, expected.entropy)
    np.testing.assert_array_equal(found.share_right, expected.share_right)
    assert found.prompts == ("What is 3 + 4?", "the tin?") and found.n_samples.tolist() == [3, 3]


def test_what_counts_as_right_is_found_in_the_text(llama):
    w = an.write_samples(llama, "Question: the tin?\nAnswer:", 2, n_new=4).writing
    first = next(c for c in w.written(0) if c.isalpha())
    asked = Question("the tin?", (first,), "easy", "knowledge")
    pattern_found = [bool(re.search(asked.how, w.written(i))) for i in range(2)]
    assert list(answer_question(llama, asked, 2, n_new=4).right) == pattern_found


def test_cancelling_ends_it(llama):
    def stop(_share, _what):
        raise Cancelled

    with pytest.raises(Cancelled):
        answer_question(llama, QUESTIONS[0], 2, n_new=4, on_progress=stop)
