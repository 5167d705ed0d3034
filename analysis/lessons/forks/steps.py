"""The steps of the lesson forks: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.lessons.forks.claims import (
    PROMPT,
    Forks,
    find_cost,
    find_elsewhere,
    find_peaks,
    find_unsure,
    measure,
    price,
    stored,
)
from analysis.lessons.forks.figures import draw_cost, draw_elsewhere, draw_peaks, draw_unsure
from analysis.lessons.lesson import Excerpt, Lesson, Option, Slider, Step

if TYPE_CHECKING:
    pass

_WORDS = 90


def _slider(m: Forks, start: int) -> Slider:
    return Slider("token", 0, len(m.numbers.entropy) - 1, start)


def _excerpt(m: Forks, at: int) -> Excerpt:
    w, n = m.writing, len(m.writing.prompt.ids)
    pieces = [w.names.pieces.get(int(i), b"") for i in w.path(0)]
    before, token, after = (
        b"".join(part).decode("utf-8", "replace")
        for part in (pieces[: n + at], pieces[n + at : n + at + 1], pieces[n + at + 1 : n + at + 9])
    )
    return Excerpt(("…" if len(before) > _WORDS else "") + before[-_WORDS:], token, after)


LESSON = Lesson(
    slug="forks",
    title="Forks in a sentence",
    question="A model writes a sentence and always takes its first choice. At how many words could it have gone elsewhere?",
    picture="token_entropy",
    needs="prompt",
    own=PROMPT,
    steps=(
        Step(
            "unsure",
            "How sure it is",
            lambda m: (
                f"“{PROMPT if m.writing.prompt.text == PROMPT else m.writing.prompt.text[-60:]} …” The model writes {count(len(m.numbers.entropy))} tokens. At how many of them did its first choice have less than half of the probability?"
            ),
            (
                Option("Less than a fifth", "It writes fluently."),
                Option("20 to 80 %", "Some follow, some do not."),
                Option("More than 80 %", "It could nearly always go elsewhere."),
            ),
            1,
            lambda m: _slider(m, 0),
            find_unsure,
            draw_unsure,
            _excerpt,
        ),
        Step(
            "peaks",
            "Where the forks are",
            lambda _: "Entropy says how open the next token is. How is it spread over the sentence?",
            (
                Option("Evenly", "Every word is a choice.", ((0.5, 0.55, 0.45, 0.5, 0.55, 0.5, 0.45, 0.5),)),
                Option(
                    "In waves",
                    "High and low, taking turns.",
                    ((0.9, 0.2, 0.7, 0.3, 0.85, 0.15, 0.6, 0.3, 0.75),),
                ),
                Option(
                    "In two or three peaks",
                    "The rest is decided.",
                    ((0.05, 0.05, 0.95, 0.05, 0.05, 0.05, 0.05, 0.9, 0.05, 0.05),),
                ),
            ),
            1,
            lambda m: _slider(m, 0),
            find_peaks,
            draw_peaks,
            _excerpt,
        ),
        Step(
            "elsewhere",
            "Another word",
            lambda m: (
                f"At its highest fork the model took {m.name(int(m.numbers.top_ids[m.fork, 0]))}. Let it take its second choice, {m.name(int(m.numbers.top_ids[m.fork, 1]))}, and go on. How much of what follows comes again, in the same order?"
            ),
            (
                Option("Less than a fifth", "One word decides most of the rest."),
                Option("20 to 60 %", "The idea is the same."),
                Option("More than 60 %", "The sentence finds its way back."),
            ),
            0,
            lambda m: _slider(m, m.fork),
            find_elsewhere,
            draw_elsewhere,
            _excerpt,
        ),
        Step(
            "cost",
            "What it costs",
            lambda m: (
                f"At the fork the second choice costs {significant(price(m, m.fork))} nats of probability more than the first. What does it cost at the token of which the model was surest?"
            ),
            (
                Option("About as much", "A second choice is a second choice."),
                Option("1.5 to 4 times", "A little more."),
                Option("More than 4 times", "Nothing else fits there."),
            ),
            2,
            lambda m: _slider(m, m.fork),
            find_cost,
            draw_cost,
            _excerpt,
        ),
    ),
    measure=measure,
    stored=stored,
    notes="Write the beginning of the sentence on the board and let everybody write the next word in secret: that list is the distribution. "
    "Most people predict that a fluent writer is sure. Step 3 is done live with any beginning of the class's own (Text). At the end: "
    "why do two people who type the same question get two answers?",
)
