"""A small set of questions with right answers, easy to hard, written for this project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from analysis.writing.number_text import value_of

Level = Literal["easy", "medium", "hard"]
"""How hard a question is meant to be; how hard it is for a model, its answers show."""
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Question:
    """A question and what counts as right."""

    text: str
    right: tuple[str, ...]
    """Right answers, any of which counts once it is normalised."""
    level: Level
    kind: Literal["arithmetic", "word problem", "knowledge"]

    @property
    def how(self) -> str:
        """Way to find its answer in what was written, see :func:`analysis.writing.answers.extract`.

        The last number; where a word is asked for, a pattern that finds the right one in a sentence. Other words are no
        answer to it then: for an entropy of answers take another way.
        """
        if value_of(self.right[0]):
            return "number"
        return rf"(?i)\b({'|'.join(map(re.escape, self.right))})\b"


QUESTIONS: tuple[Question, ...] = (
    Question("What is 3 + 4?", ("7",), "easy", "arithmetic"),
    Question("What is 9 - 5?", ("4",), "easy", "arithmetic"),
    Question("What is 6 * 2?", ("12",), "easy", "arithmetic"),
    Question("What is 20 / 4?", ("5",), "easy", "arithmetic"),
    Question("Tom has 2 apples and gets 3 more. How many apples has he now?", ("5",), "easy", "word problem"),
    Question("A week has how many days?", ("7",), "easy", "knowledge"),
    Question("What is the capital of France?", ("Paris",), "easy", "knowledge"),
    Question("What colour is fresh snow?", ("white",), "easy", "knowledge"),
    Question("What is 27 + 58?", ("85",), "medium", "arithmetic"),
    Question("What is 12 * 13?", ("156",), "medium", "arithmetic"),
    Question("What is 144 / 12 + 9?", ("21",), "medium", "arithmetic"),
    Question("What is 7 * 8 - 19?", ("37",), "medium", "arithmetic"),
    Question(
        "A train goes 60 kilometres in one hour. How many kilometres does it go in 2.5 hours?",
        ("150", "150 km", "150 kilometres", "150 kilometers"),
        "medium",
        "word problem",
    ),
    Question(
        "A shirt costs 40 euros and is sold for a quarter less. How many euros does it cost then?",
        ("30", "30 euros"),
        "medium",
        "word problem",
    ),
    Question("Which planet is the largest of the solar system?", ("Jupiter",), "medium", "knowledge"),
    Question("What is the chemical symbol of gold?", ("Au",), "medium", "knowledge"),
    Question("What is 347 * 26?", ("9022",), "hard", "arithmetic"),
    Question("What is 1001 - 17 * 23?", ("610",), "hard", "arithmetic"),
    Question("What is (84 + 36) / 16 * 3?", ("22.5",), "hard", "arithmetic"),
    Question("What is 2 * (3 + 4 * (5 + 6)) - 7?", ("87",), "hard", "arithmetic"),
    Question(
        "A pool is filled by one pipe in 3 hours and by another in 6 hours. In how many hours do both together fill it?",
        ("2", "2 hours"),
        "hard",
        "word problem",
    ),
    Question(
        "Anna is three times as old as Ben. In 10 years she will be twice as old as he is then. How old is Ben today?",
        ("10", "10 years", "10 years old"),
        "hard",
        "word problem",
    ),
    Question("How many prime numbers are smaller than 30?", ("10",), "hard", "arithmetic"),
    Question("What is the remainder when 2^10 is divided by 7?", ("2",), "hard", "arithmetic"),
)
"""24 questions, eight of each level."""
