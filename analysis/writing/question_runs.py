"""Questions put to a model many times: how unsure it was, and how often it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.progress import Progress, part, silent
from analysis.writing.difficulty import Difficulty, difficulty
from analysis.writing.questions import QUESTIONS, Question
from analysis.writing.results import Message
from analysis.writing.sample_answers import answers_of

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

N_SAMPLES, N_NEW = 4, 48


@dataclass(frozen=True)
class Answered:
    """What is kept of the samples of one question."""

    question: Question
    entropies: tuple[np.ndarray, ...]
    """float32, nats: before every token that each sample wrote."""
    right: tuple[bool, ...]
    """Of each sample; one whose answer was not found is wrong."""


def answer_question(
    model: LanguageModel,
    question: Question,
    n: int = N_SAMPLES,
    *,
    n_new: int = N_NEW,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Answered:
    """Let a model answer one question many times, at temperature 1.

    Parameters
    ----------
    model : LanguageModel
        Gets the question as a chat, or as "Question: ... Answer:" where it has no template.
    question : Question
        With its right answers.
    n, n_new, seed, on_progress
        As for :func:`analysis.write_samples`. A sample that is cut before its answer is wrong.

    Raises
    ------
    AnalysisError
        As for :func:`analysis.write_samples`.
    """
    from analysis.writing.chat import has_chat
    from analysis.writing.samples import write_samples

    prompt: str | list[Message] = f"Question: {question.text}\nAnswer:"
    if has_chat(model):
        prompt = [Message("user", question.text)]
    w = write_samples(model, prompt, n, n_new=n_new, seed=seed, on_progress=on_progress).writing
    right = answers_of(w, question.how).right(question.right)
    return Answered(question, tuple(branch.numbers.entropy for branch in w.branches), tuple(right))


def difficulty_of_answered(answered: Sequence[Answered]) -> Difficulty:
    """Entropy against correctness over questions that were answered; see :func:`analysis.writing.difficulty.difficulty`."""
    return difficulty(
        [one.question.text for one in answered],
        [one.entropies for one in answered],
        [one.right for one in answered],
    )


def measure_difficulty(
    model: LanguageModel,
    questions: Sequence[Question] = QUESTIONS,
    n: int = N_SAMPLES,
    *,
    n_new: int = N_NEW,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Difficulty:
    """Let a model answer questions many times, and set its entropy against how often it is right.

    Parameters
    ----------
    model, n, n_new, seed, on_progress
        As for :func:`answer_question`.
    questions : sequence of Question
        Those that come with this package by default.
    """
    report = on_progress or silent
    return difficulty_of_answered(
        [
            answer_question(
                model, one, n, n_new=n_new, seed=seed, on_progress=part(report, at, len(questions))
            )
            for at, one in enumerate(questions)
        ]
    )
