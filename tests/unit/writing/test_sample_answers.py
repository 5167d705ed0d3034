"""Answers of what a model wrote, from its branches."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

import analysis as an
from analysis.errors import AnalysisError
from analysis.writing.answer_entropy import weighted_answer_entropy
from analysis.writing.questions import QUESTIONS, Question
from analysis.writing.sample_answers import answer_text, answers_of, confidence_vote, difficulty_of
from analysis.writing.samples import WrittenSamples
from tests.budget import EXACT


@pytest.fixture(scope="module")
def written(llama):
    """Answers that a person typed, each a branch of one prompt; the model adds a token, which a number does not reach."""
    w = an.write(llama, "2+2?", n_new=1)
    n = len(w.prompt.ids)
    for text in [
        "It is 4 .",
        "four is 4.0 x",
        "<think>no, 5 is</think> 4 x",
        "<think>5 x",
        "is 5 x",
        "none x",
    ]:
        w = an.branch(llama, w, of=0, at=n, token=text, n_new=1)
    return w


def test_thinking_is_no_answer(written):
    assert answer_text(written, 3).startswith(" 4 x") and answer_text(written, 4) is None
    found = answers_of(written, r"(\d(?:\.\d)?) [.x]", [1, 2, 3, 4, 5, 6])
    assert found.extracted == ("4", "4.0", "4", None, "5", None)
    assert [(g.answer, len(g)) for g in found.groups] == [("4", 3), (None, 2), ("5", 1)]
    assert found.right("4") == (True, True, True, False, False, False)


def test_a_sure_sample_weighs_more(written):
    """Each with the mean of -ln p over its ten most probable tokens, averaged over its stretch of 32 or all of it."""
    branches = [1, 2, 3, 4, 5, 6]
    found = answers_of(written, r"(\d(?:\.\d)?) [.x]", branches)
    vote = confidence_vote(written, found, branches)
    sure = [-written.branches[b].numbers.top_logprobs.astype(np.float64).mean() for b in branches]
    assert all(len(written.branches[b]) < 32 for b in branches)
    assert vote.winner == "4" and vote.n_without == 2 and vote.counts == {"4": 3, "5": 1}
    assert vote.weights == pytest.approx({"4": sure[0] + sure[1] + sure[2], "5": sure[4]}, rel=EXACT)


def test_special_tokens_are_no_text(llama, written):
    end = next(iter(llama.tokenizer.all_special_ids))
    w = an.branch(llama, written, of=0, at=len(written.prompt.ids), token=end, n_new=1)
    assert w.names.names[end] not in answer_text(w, w.newest) and w.names.names[end] in w.text()


def test_questions_against_what_was_written(llama, written):
    n = len(written.prompt.ids)
    right = an.branch(
        llama, replace(written, branches=written.branches[:1]), of=0, at=n, token="4 is 4", n_new=1
    )
    question = Question("2+2?", ("4",), "easy", "arithmetic")
    found = difficulty_of([question, QUESTIONS[6]], [right, right])
    numbers = [branch.numbers.entropy for branch in right.branches]
    assert found.entropy == pytest.approx(
        [np.mean([x.mean(dtype=np.float64) for x in numbers])] * 2, rel=EXACT
    )
    assert found.prompts == ("2+2?", QUESTIONS[6].text) and found.n_samples.tolist() == [2, 2]
    marks = answers_of(right, "number").right("4")
    assert found.share_right.tolist() == [np.mean(marks), 0]
    with pytest.raises(AnalysisError):
        difficulty_of([], [])


def test_samples_have_answers(llama):
    samples = an.write_samples(llama, "2+2?", n=4, n_new=6, seed=1)
    found = samples.answers("whole")
    assert len(found.extracted) == 4
    counts = [len(g) for g in found.groups]
    assert samples.answer_entropy("whole").counts == tuple(counts)
    want = -sum(c / 4 * log(c / 4) for c in counts)
    assert samples.answer_entropy("whole").entropy == pytest.approx(want, rel=EXACT)
    means = [-b.numbers.surprisal.mean(dtype=np.float64) for b in samples.writing.branches]
    weighted = weighted_answer_entropy([g.members for g in found.groups], means)
    assert samples.weighted_answer_entropy("whole") == pytest.approx(weighted, rel=EXACT)
    right = next(a for a in found.extracted if a is not None)
    share = sum(found.right(right)) / 4
    assert samples.pass_at(1, right, "whole") == pytest.approx(share, rel=EXACT)
    assert samples.parting().n == 4 and samples.n_cut == sum(len(b) == 6 for b in samples.writing.branches)
    for wrong in (
        lambda: samples.pass_at(5, right),
        lambda: samples.pass_at(1, " "),
        lambda: samples.answers("("),
    ):
        with pytest.raises(AnalysisError):
            wrong()
    with pytest.raises(AnalysisError, match="no samples"):
        answers_of(samples.writing, branches=[])
    assert isinstance(samples, WrittenSamples)
