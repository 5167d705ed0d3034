"""The question and the answer that follow a context, as ids that are the same after every context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import AnalysisError, InvalidTextError
from analysis.models.tokenization import check_text, encode

_BETWEEN = "\n\n"
"""Stands between context and question."""


@dataclass(frozen=True)
class Tail:
    """What is read after a context."""

    ids: list[int]
    """Question and answer; the same whatever stands before them."""
    first_answer: int
    """Index of the answer's first token in ``ids``; all after it belong to the answer."""

    @property
    def question_ids(self) -> list[int]:
        """The part before the answer."""
        return self.ids[: self.first_answer]

    @property
    def answer_ids(self) -> list[int]:
        """The answer."""
        return self.ids[self.first_answer :]


def require(value: str, name: str, why: str) -> None:
    """Refuse an empty or broken question or answer.

    Raises
    ------
    InvalidTextError
        Naming which of the two.
    """
    if not value.strip():
        raise InvalidTextError(f"There is no {name}.", f"Type one: {why}.")
    check_text(value)


def tail_of(tokenizer: Any, question: str, answer: str) -> Tail:
    """Ids of a question and its answer.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Of the model that reads them.
    question, answer : str
        Neither empty. A space goes between them unless one of them brings white space.

    Returns
    -------
    Tail

    Raises
    ------
    InvalidTextError
        If one of them is empty, or a token holds the end of the question together with the
        beginning of the answer, so that the answer has no probability of its own.

    Notes
    -----
    Context and tail are tokenized apart and put together as ids. So the answer's tokens are
    the same after every context, and their mean surprisals can be compared.
    """
    require(question, "question", "the answer is predicted after the context and the question")
    require(answer, "answer", "its probability is what is measured")
    space = "" if question[-1].isspace() or answer[0].isspace() else " "
    before = f"{_BETWEEN}{question}"
    tokens = encode(tokenizer, f"{before}{space}{answer}", bos="never")
    begins = np.flatnonzero((tokens.start == len(before)) & (tokens.end > len(before)))
    if not len(begins) or (begins[0] > 0 and tokens.cell[begins[0]] == tokens.cell[begins[0] - 1]):
        raise InvalidTextError(
            "The answer cannot be tokenized alone: one token holds the end of the question and its beginning.",
            "End the question with a letter, a colon or a line break, without a space after it.",
        )
    return Tail([int(i) for i in tokens.token_id], int(begins[0]))


def question_ids(tokenizer: Any, question: str) -> list[int]:
    """Ids of a question that stands after a context, without an answer; empty without a question."""
    if not question.strip():
        return []
    return [int(i) for i in encode(tokenizer, f"{_BETWEEN}{question}", bos="never").token_id]


class MethodUnavailableError(AnalysisError):
    """One method cannot serve this text or model; the others can."""
