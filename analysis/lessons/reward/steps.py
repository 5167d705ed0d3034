"""The steps of the lesson reward: questions, predictions, and what belongs to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.lessons.lesson import Lesson, Option, Slider, Step
from analysis.lessons.reward.claims import (
    Trained,
    ends,
    find_answers,
    find_bonus,
    find_entropy,
    find_forks,
    measure,
    stored,
)
from analysis.lessons.reward.figures import draw_answers, draw_bonus, draw_entropy, draw_forks
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    pass


def _slider(m: Trained, start: int, then: int | None = None) -> Slider:
    return Slider("step", 0, len(m.plain.entropy) - 1, start, then)


_STAYS = ((0.85, 0.82, 0.85, 0.83, 0.85),)
_STEADY = ((0.9, 0.72, 0.54, 0.36, 0.18),)
_EARLY = ((0.9, 0.4, 0.22, 0.15, 0.12),)
_RISES = ((0.2, 0.4, 0.6, 0.75, 0.85),)


LESSON = Lesson(
    slug="reward",
    title="Entropy spent for reward",
    question="A model is trained by reward alone. What does it pay with?",
    picture="entropy_collapse",
    needs="seed",
    own="0",
    steps=(
        Step(
            "entropy",
            "What happens to the entropy",
            lambda m: (
                f"A small policy takes four squares away from a number and earns 1 when nothing is left. In {count(len(m.plain.entropy))} steps its reward goes from {percent(ends(m.plain.reward)[0])} to {percent(ends(m.plain.reward)[1])}. What does its entropy do?"
            ),
            (
                Option("It stays", "Nobody told it to be sure.", _STAYS),
                Option("It falls steadily", "A little with each step.", _STEADY),
                Option("It falls at once", "Most of it early.", _EARLY),
            ),
            2,
            lambda m: _slider(m, 0, len(m.plain.entropy) // 3),
            find_entropy,
            draw_entropy,
        ),
        Step(
            "forks",
            "Where it is lost",
            lambda _: (
                "One token in five chooses a square: a fork with several good ways on. The other tokens follow from it. How much of the entropy lost is lost at forks?"
            ),
            (
                Option("Less than half", "They are one token in five."),
                Option("50 to 90 %", "More than their number."),
                Option("More than 90 %", "Nowhere else is a choice."),
            ),
            2,
            lambda m: _slider(m, 0),
            find_forks,
            draw_forks,
        ),
        Step(
            "answers",
            "What it costs",
            lambda m: (
                f"More and more answers are right. How many different right ones does the policy give, of {m.plain.settings.answers} answers to one training number?"
            ),
            (
                Option("Fewer", "It settles on a few ways.", _STEADY),
                Option("As many", "Being right takes nothing away.", _STAYS),
                Option("More", "It can do more than before.", _RISES),
            ),
            0,
            lambda m: _slider(m, 0),
            find_answers,
            draw_answers,
        ),
        Step(
            "bonus",
            "Keep the entropy",
            lambda m: (
                f"The same training, with a bonus for entropy: it ends with {significant(ends(m.bonus.entropy)[1])} nats in place of {significant(ends(m.plain.entropy)[1])}. Are fewer answers right?"
            ),
            (
                Option("Fewer", "Entropy is error."),
                Option("As many", "Within five points."),
                Option("More", "Trying out finds better ones."),
            ),
            1,
            lambda m: _slider(m, len(m.plain.entropy) - 1),
            find_bonus,
            draw_bonus,
        ),
    ),
    measure=measure,
    stored=stored,
    notes="The policy is small and is trained while the lesson is open, about a minute for both runs; until then the stored ones are shown. "
    "Most people predict that being right costs nothing. Take another seed with Seed: the point should hold, the numbers differ. At the end: "
    "when would it matter that the other right ways are gone?",
)
