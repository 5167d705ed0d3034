"""All lessons, in the order to take them."""

from __future__ import annotations

from analysis.lessons.first_token import LESSON as FIRST_TOKEN
from analysis.lessons.lesson import Lesson
from analysis.lessons.surprise import LESSON as SURPRISE
from analysis.lessons.variety import LESSON as VARIETY

LESSONS: dict[str, Lesson] = {lesson.slug: lesson for lesson in (SURPRISE, FIRST_TOKEN, VARIETY)}
"""Every lesson by its slug."""
