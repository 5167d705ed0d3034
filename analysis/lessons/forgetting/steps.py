"""The steps of the lesson forgetting: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.lessons.forgetting.claims import (
    Forgetting,
    find_again,
    find_first,
    find_half,
    find_who,
    measure,
    named,
    needed,
    stored,
)
from analysis.lessons.forgetting.figures import draw_again, draw_first, draw_half, draw_who
from analysis.lessons.lesson import Excerpt, Lesson, Option, Slider, Step
from analysis.lessons.story import STORY

if TYPE_CHECKING:
    pass

_WORDS = 90


def _slider(m: Forgetting, start: int) -> Slider:
    return Slider("token", 0, m.survived.n_context - 1, start)


def _excerpt(m: Forgetting, at: int) -> Excerpt:
    tokens = m.trace.tokens
    start, end = int(tokens.start[at]), int(tokens.end[at])
    before = m.trace.text[max(0, start - _WORDS) : start]
    return Excerpt(
        ("…" if start > _WORDS else "") + before,
        m.trace.text[start:end] or tokens.text[at],
        m.trace.text[end : end + 30],
    )


LESSON = Lesson(
    slug="forgetting",
    title="What can be forgotten, and by whom",
    question="A model keeps something of every token it has read. What of that can go?",
    picture="pruning_effects",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "first",
            "The most attended",
            lambda m: (
                f"The beginning of the text has {count(m.survived.n_context)} tokens; only half of them may stay in each cache: the newest, and as many of those before that got the most attention. In how many caches does token 0, {named(m, 0)}, stay?"
            ),
            (
                Option("Less than a quarter", "It says next to nothing."),
                Option("25 to 75 %", "As any other token."),
                Option("More than 75 %", "Everything attends to it."),
            ),
            2,
            lambda m: _slider(m, 0),
            find_first,
            draw_first,
            _excerpt,
        ),
        Step(
            "half",
            "Half of it gone",
            lambda m: (
                f"With all of it, the mean surprisal of the next {count(len(m.survived.full))} tokens is {significant(m.mean_surprisal('h2o', 1))} nats. Half of the cache goes; the newest and the most attended stay. By how much does it rise?"
            ),
            (
                Option("Less than 0.1 nats", "Most is not needed again."),
                Option("0.1 to 0.5 nats", "Some of it is needed."),
                Option("More than 0.5 nats", "Half a memory is no memory."),
            ),
            1,
            lambda m: _slider(m, 0),
            find_half,
            draw_half,
            _excerpt,
        ),
        Step(
            "who",
            "Who chooses",
            lambda _: (
                "Now only 30 % stay. Three methods choose which: the newest and the first four; those with small keys; the newest and, of those before, the most attended. Which costs least?"
            ),
            (
                Option("The newest", "What is near is needed."),
                Option("Small keys", "A cheap sign from the keys alone."),
                Option("The most attended", "Beside the newest: what was used will be used."),
            ),
            2,
            lambda m: _slider(m, 0),
            find_who,
            draw_who,
            _excerpt,
        ),
        Step(
            "again",
            "The word that needed it",
            lambda m: (
                "Which token of the beginning comes again in the end of this text?"
                if (found := needed(m)) is None
                else f"{named(m, found[0])} was a surprise of {significant(float(m.trace.tokens.surprisal[found[0]]))} nats, and {significant(float(m.survived.full[found[1] - m.survived.n_context]))} when it came again. With 30 % of the cache kept, how much of the surprise is back?"
            ),
            (
                Option("Less than a quarter", "The sense of it is still there."),
                Option("25 to 75 %", "Something is left."),
                Option("More than 75 %", "As if it had never been read."),
            ),
            2,
            lambda m: _slider(m, (needed(m) or (0, 0))[0]),
            find_again,
            draw_again,
            _excerpt,
        ),
    ),
    measure=measure,
    stored=stored,
    notes="A cache holds a key and a value of every token for every layer and head; without it each new word would cost reading all again. "
    "Most people predict that losing half of it costs much, and that it hardly matters who chooses. At the end: what would you keep of a "
    "book, if you may keep a third of its words and do not know the questions?",
)
