"""All lessons, in the order to take them."""

from __future__ import annotations

from analysis.lessons.first_token.steps import LESSON as FIRST_TOKEN
from analysis.lessons.forgetting.steps import LESSON as FORGETTING
from analysis.lessons.forks.steps import LESSON as FORKS
from analysis.lessons.lesson import Lesson
from analysis.lessons.reward.steps import LESSON as REWARD
from analysis.lessons.surprise.steps import LESSON as SURPRISE
from analysis.lessons.variety.steps import LESSON as VARIETY

LESSONS: dict[str, Lesson] = {
    lesson.slug: lesson for lesson in (SURPRISE, FORKS, FIRST_TOKEN, VARIETY, FORGETTING, REWARD)
}
"""Every lesson by its slug."""
