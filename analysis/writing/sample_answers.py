"""The answers that branches of a prompt give: what was written after the thinking, and what is counted of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.errors import AnalysisError
from analysis.writing.answers import Answers, extract
from analysis.writing.difficulty import Difficulty, difficulty
from analysis.writing.questions import Question
from analysis.writing.results import Writing
from analysis.writing.rules.deepconf import Vote, confidence, weighted_vote
from analysis.writing.rules.overlays import STRETCH
from analysis.writing.thinking import thinking_written


def answer_text(w: Writing, branch: int) -> str | None:
    """What a branch says after its thinking, special tokens left out; None where thinking never closes.

    Parameters
    ----------
    w : Writing
        What was written.
    branch : int
        Id of a branch; what counts is everything from the end of the prompt on.
    """
    tokens, text, n_prompt = w.tokens(branch), w.text(branch), len(w.prompt.ids)
    with_text = tokens.start[n_prompt:][tokens.start[n_prompt:] >= 0]
    begin = int(with_text[0]) if len(with_text) else len(text)
    found = thinking_written(w.prompt.text, text[begin:], is_chat=bool(w.prompt.messages))
    if found.state == "never closed":
        return None
    begin += found.spans[-1][1] if found.spans else 0
    counts = np.ones(len(text), bool)
    for t in np.flatnonzero(tokens.is_special):
        counts[max(tokens.start[t], 0) : max(tokens.end[t], 0)] = False
    return "".join(c for c, keep in zip(text[begin:], counts[begin:], strict=True) if keep)


def answers_of(w: Writing, how: str = "automatic", branches: Sequence[int] | None = None) -> Answers:
    """The answers of branches of a prompt.

    Parameters
    ----------
    w : Writing
        What was written.
    how : str
        As for :func:`analysis.writing.answers.extract`.
    branches : sequence of int, optional
        Their ids; all by default.

    Raises
    ------
    AnalysisError
        If there are no branches, or as for :func:`analysis.writing.answers.extract`.
    """
    ids = range(len(w.branches)) if branches is None else branches
    if not len(ids):
        raise AnalysisError("There are no samples to find answers in.", "Write some samples first.")
    texts = [answer_text(w, branch) for branch in ids]
    return Answers(how, tuple(None if text is None else extract(text, how) for text in texts))


def confidence_vote(w: Writing, found: Answers, branches: Sequence[int]) -> Vote:
    """Vote on equal answers as DeepConf does: each sample weighs as much as its least sure stretch is sure.

    Parameters
    ----------
    w : Writing
        What was written.
    found : Answers
        Of :func:`answers_of`.
    branches : sequence of int
        The branches that it is of.

    Notes
    -----
    Stretches have :data:`analysis.writing.rules.overlays.STRETCH` tokens, as along the text; a shorter sample is one.
    """
    answers: list[str | None] = [None] * len(branches)
    weights = [0.0] * len(branches)
    for group in found.groups:
        for sample in group.members if group.answer is not None else ():
            written = [b.numbers.top_logprobs[:n] for b, n in w.lineage(branches[sample])]
            answers[sample] = group.answer
            weights[sample] = confidence(np.concatenate(written), STRETCH).least
    return weighted_vote(answers, weights)


def difficulty_of(questions: Sequence[Question], writings: Sequence[Writing]) -> Difficulty:
    """Entropy of what was written against correctness, over questions.

    Parameters
    ----------
    questions : sequence of Question
        Each finds its answers in its own way, :attr:`~.questions.Question.how`.
    writings : sequence of Writing
        For each question its samples: every branch is one.

    Raises
    ------
    AnalysisError
        If there are no questions, or one has no samples.
    """
    marks = [answers_of(w, q.how).right(q.right) for q, w in zip(questions, writings, strict=True)]
    entropies = [[branch.numbers.entropy for branch in w.branches] for w in writings]
    return difficulty([q.text for q in questions], entropies, marks)
