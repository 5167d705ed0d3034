"""The steps of the lesson first token: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.attention_sinks.summary import sink_numbers
from analysis.lessons.first_token.claims import (
    SHOWN,
    FirstToken,
    by_layer,
    find_hidden,
    find_how_much,
    find_says,
    find_where,
    measure,
    stored,
    token_name,
)
from analysis.lessons.first_token.figures import draw_hidden, draw_how_much, draw_says, draw_where
from analysis.lessons.lesson import Lesson, Option, Slider, Step
from analysis.lessons.story import STORY
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    pass


def _layers(m: FirstToken) -> Slider:
    return Slider("layer", 0, m.attention.n_layers - 1, int(by_layer(m).argmax()))


LESSON = Lesson(
    slug="first-token",
    title="Why everything looks at the first token",
    question="Attention is meant to fetch what matters. Why does so much of it go to the first token?",
    picture="attention_sinks",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "how-much",
            "How much",
            lambda m: (
                f"Token 0 of this text is {token_name(m, 0)}. If all visible tokens got the same, it would get {percent(sink_numbers(m.attention).uniform)} of the attention. How much does it get?"
            ),
            (
                Option("Less than 2 times that", "It is one token of many."),
                Option("2 to 5 times that", "Beginnings matter."),
                Option("More than 5 times that", "Whatever it says."),
            ),
            2,
            _layers,
            find_how_much,
            draw_how_much,
        ),
        Step(
            "where",
            "In which layers",
            lambda m: (
                f"The model has {m.attention.n_layers} layers. In which of them do heads attend to token 0?"
            ),
            (
                Option("In all alike", "It is a habit of attention.", ((0.5, 0.5),)),
                Option(
                    "In the first ones",
                    "The beginning is read at the beginning.",
                    ((0.9, 0.75, 0.3, 0.15, 0.1),),
                ),
                Option("In the later ones", "Something has to happen first.", ((0.1, 0.15, 0.3, 0.75, 0.9),)),
            ),
            2,
            _layers,
            find_where,
            draw_where,
        ),
        Step(
            "hidden",
            "Is it the word or the place?",
            lambda m: (
                f"Token 0, {token_name(m, 0)}, is now hidden from all later tokens. Where do heads look then?"
            ),
            (
                Option("Nowhere in particular", "The word was the reason."),
                Option("At token 1", "The place is the reason: the first that can be seen."),
                Option("At another word", "One further on that matters more."),
            ),
            1,
            lambda m: Slider("token", 0, min(SHOWN, len(m.hidden_received)) - 1, 1),
            find_hidden,
            draw_hidden,
        ),
        Step(
            "says",
            "What it says",
            lambda _: (
                "A token that is attended to passes on its value, a vector. How long is the value of token 0, beside those of the others?"
            ),
            (
                Option("Shorter", "It has little to say.", ((0.1, 0.1),)),
                Option("About as long", "All say something.", ((0.5, 0.5),)),
                Option("Longer", "That is why they look.", ((0.9, 0.9),)),
            ),
            0,
            _layers,
            find_says,
            draw_says,
        ),
    ),
    measure=measure,
    stored=stored,
    notes="Needs no formula beyond: attention weights of a row sum to 1, so a head that has nothing to fetch must still put its weight "
    "somewhere. Most people predict that the word is the reason. Step 3 is the experiment that decides it; let the class say first what "
    "each of the three outcomes would mean. At the end: which program would break if token 0 were thrown out of the cache?",
)
