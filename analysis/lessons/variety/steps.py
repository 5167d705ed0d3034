"""The steps of the lesson variety: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.lessons.lesson import Lesson, Option, Slider, Step
from analysis.lessons.measuring import read, stored_run
from analysis.lessons.story import STORY
from analysis.lessons.variety.claims import (
    fall_layer,
    find_direction,
    find_falls,
    find_grows,
    find_without,
    from_to,
    times_others,
    varieties,
)
from analysis.lessons.variety.figures import draw_direction, draw_falls, draw_grows, draw_without

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def _slider(trace: Trace, start: int) -> Slider:
    return Slider("layer", 0, trace.spec.n_layers, start)


_FLAT = (0.8,) * 10
_FALL = (0.7, 0.72, 0.74, 0.8, 0.1, 0.2, 0.35, 0.5, 0.68, 0.66)
_HALF = (0.7, 0.72, 0.74, 0.8, 0.45, 0.5, 0.56, 0.62, 0.68, 0.66)
_NONE = (0.7, 0.72, 0.74, 0.8, 0.8, 0.81, 0.8, 0.8, 0.76, 0.66)


LESSON = Lesson(
    slug="variety",
    title="One token takes the variety away",
    question="In the middle layers all tokens seem to become alike. Do they?",
    picture="entropy_collapse",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "grows",
            "A token grows",
            lambda t: (
                f"Every token has a state, a vector of {count(t.spec.hidden_size)} numbers that {t.spec.n_layers} layers change. How large does that of token 0 get beside the others?"
            ),
            (
                Option("As large as any", "Layers treat tokens alike.", ((0.15, 0.15, 0.2, 0.15, 0.15),)),
                Option("Larger, step by step", "A little more in each layer.", ((0.1, 0.3, 0.5, 0.7, 0.9),)),
                Option(
                    "Enormous at once", "One layer makes it.", ((0.1, 0.12, 0.14, 0.92, 0.9, 0.85, 0.75),)
                ),
            ),
            2,
            lambda t: Slider("layer", 0, t.spec.n_layers, 0, int(times_others(t).argmax())),
            find_grows,
            draw_grows,
        ),
        Step(
            "falls",
            "The variety falls",
            lambda t: (
                f"After layer {fall_layer(t)} token 0 is {significant(float(times_others(t)[fall_layer(t)]))} times as large as the others. What happens there to the variety of all {count(len(t.tokens))} tokens, before {significant(float(varieties(t)[0][fall_layer(t) - 1]))} nats?"
            ),
            (
                Option("It stays", "One token of many.", (_NONE,)),
                Option("It loses a little", "10 to 40 %.", (_HALF,)),
                Option("It falls far", "More than 40 %.", (_FALL,)),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            find_falls,
            draw_falls,
        ),
        Step(
            "without",
            "Without token 0",
            lambda t: (
                f"Into layer {fall_layer(t)} the variety of all tokens goes {from_to(varieties(t)[0], fall_layer(t))} nats. Leave token 0 out of the count: what happens to the fall?"
            ),
            (
                Option("It stays", "The layers flatten every token.", (_FALL, _FALL)),
                Option("It halves", "Token 0 is part of it.", (_FALL, _HALF)),
                Option("It vanishes", "Token 0 alone makes it.", (_FALL, _NONE)),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            find_without,
            draw_without,
        ),
        Step(
            "direction",
            "One direction",
            lambda t: (
                f"How much of all differences between the tokens lies in one single direction in layer {fall_layer(t)}?"
            ),
            (
                Option("Less than a quarter", "There are hundreds of directions."),
                Option("25 to 60 %", "A main one, and many more."),
                Option("More than 60 %", "One direction has most of it."),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            find_direction,
            draw_direction,
        ),
    ),
    measure=read,
    stored=lambda: stored_run("story"),
    notes="The measure is the entropy of the covariance's eigenvalues: in how many ways the tokens differ, not how uncertain a prediction is. "
    "Most people predict that layers flatten all tokens; papers have said so from the same curve. Step 3 takes one token out of the count, "
    "not out of the model. At the end: which other averages over tokens could one token decide alone?",
)
