"""The steps of the lesson surprise: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.lessons.lesson import Excerpt, Lesson, Option, Slider, Step
from analysis.lessons.measuring import read, stored_run
from analysis.lessons.story import STORY
from analysis.lessons.surprise.claims import (
    find_again,
    find_first_choices,
    find_place,
    find_together,
    most_surprising,
    named,
    returning,
)
from analysis.lessons.surprise.figures import draw_again, draw_first_choices, draw_place, draw_together

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_WORDS = 90


def _slider(trace: Trace, start: int) -> Slider:
    return Slider("token", 1, len(trace.tokens) - 1, start)


def _excerpt(trace: Trace, at: int) -> Excerpt:
    tokens = trace.tokens
    start, end = int(tokens.start[at]), int(tokens.end[at])
    before = trace.text[max(0, start - _WORDS) : start]
    return Excerpt(("…" if start > _WORDS else "") + before, trace.text[start:end] or tokens.text[at])


LESSON = Lesson(
    slug="surprise",
    title="What is a surprised model?",
    question="A model reads a text and has to guess each next token. When is it surprised, and by how much?",
    picture="token_entropy",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "place",
            "A list of all tokens",
            lambda t: (
                f"Before each token the model puts all {count(t.spec.vocab_size)} tokens in order. "
                f"At which place stood {named(t, most_surprising(t))}, the one that came?"
            ),
            (
                Option("Among the first ten", "It is a common word."),
                Option("From 11 to 1 000", "Possible, but others fit better."),
                Option("Beyond 1 000", "Nothing before it points there."),
            ),
            2,
            lambda t: _slider(t, most_surprising(t)),
            find_place,
            draw_place,
            _excerpt,
        ),
        Step(
            "first-choice",
            "How often it is right",
            lambda t: (
                f"Over all {count(int(t.tokens.has_context.sum()))} tokens: how often was the one that came the model's first choice?"
            ),
            (
                Option("Less than 15 %", "There are so many tokens."),
                Option("15 to 65 %", "Some follow, some do not."),
                Option("More than 65 %", "Language is a habit."),
            ),
            1,
            lambda t: _slider(t, most_surprising(t)),
            find_first_choices,
            draw_first_choices,
            _excerpt,
        ),
        Step(
            "expected",
            "Expected and met",
            lambda _: (
                "Entropy says how surprised the model expects to be; surprisal says how surprised it was. "
                "How do the two go together, token by token?"
            ),
            (
                Option("Not at all", "It cannot know what it does not know.", ((0.5, 0.5),)),
                Option(
                    "Roughly",
                    "It knows where anything may come.",
                    ((0.15, 0.85), (0.3, 0.05, 0.6, 0.35, 0.95, 0.55)),
                ),
                Option("Exactly", "It always knows how wrong it is.", ((0.1, 0.9),)),
            ),
            1,
            lambda t: _slider(t, most_surprising(t)),
            find_together,
            draw_together,
            _excerpt,
        ),
        Step(
            "again",
            "The second time",
            lambda t: (
                "Does a surprising token come again in this text, after the same word?"
                if (found := returning(t)) is None
                else f"{named(t, found[0])} was a surprise of {significant(float(t.tokens.surprisal[found[0]]))} nats. "
                f"{count(found[1] - found[0])} tokens later it comes again after the same word. How much of the surprise is left?"
            ),
            (
                Option("Less than a fifth", "It has read that before."),
                Option("20 to 60 %", "It is used to it a little."),
                Option("More than 60 %", "A model learns in training only."),
            ),
            0,
            lambda t: _slider(t, (returning(t) or (most_surprising(t), 0))[0]),
            find_again,
            draw_again,
            _excerpt,
        ),
    ),
    measure=read,
    stored=lambda: stored_run("story"),
    notes="Write a sentence on the board and cover its last word: everybody is such a model. Most people predict that a surprising word is "
    "still among the first ten, and that nothing can be learnt while a text is read. At the end, let the class look for a sentence of "
    "their own whose last word stands beyond place 1 000, and put it in with Text.",
)
