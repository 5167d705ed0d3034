"""What a lesson is made of: steps with a question, predictions to choose from, and what a measurement says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from analysis.drawing.labels import visible
from analysis.drawing.theme import Picture as PictureName

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.progress import Progress

Needs = Literal["text", "prompt", "seed"]
"""What a person may put in place of the lesson's own: a text to read, the beginning of one, or a seed."""


@dataclass(frozen=True)
class Option:
    """One prediction."""

    label: str
    says: str
    """Why one might think so, in a few words."""
    sketch: tuple[tuple[float, ...], ...] = ()
    """Curves from 0 to 1 at even distances, the one that is predicted last; none where the prediction is a value."""


@dataclass(frozen=True)
class Slider:
    """The one thing that can be moved in a step."""

    label: str
    low: int
    high: int
    start: int
    then: int | None = None
    """Where it goes with the answer; None leaves it where it is."""


@dataclass(frozen=True)
class Finding:
    """What a measurement says about a step."""

    option: int | None
    """The prediction that came true, counted from 0; None where the text has nothing to measure."""
    value: str
    """The measured value with its unit."""
    said: str
    """What happened and why: two sentences, made from the numbers."""


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a text with one token marked."""

    before: str
    token: str
    after: str = ""


@dataclass(frozen=True)
class Drawn:
    """One picture of a step."""

    title: str
    phrase: str
    """What is measured, and its unit."""
    chart: Any
    """Altair chart."""
    alt: str
    """What can be seen, for those who do not see it."""


@dataclass(frozen=True)
class Step:
    """One question. Its functions take what the lesson's ``measure`` returned."""

    name: str
    title: str
    question: Callable[[Any], str]
    """At most three lines."""
    options: tuple[Option, ...]
    point: int
    """The prediction that comes true where the lesson's point holds, counted from 0."""
    slider: Callable[[Any], Slider]
    find: Callable[[Any], Finding]
    draw: Callable[[Any, int, bool, str], list[Drawn]]
    """``draw(measured, at, is_answered, theme_name)``: one or two pictures; before the answer that is hidden in them."""
    excerpt: Callable[[Any, int], Excerpt] | None = None
    """The place of the text that the slider is at."""

    def holds(self, measured: Any) -> bool:
        """Whether the lesson's point holds for what was measured."""
        return self.find(measured).option == self.point


@dataclass(frozen=True)
class Lesson:
    """One lesson of five to seven minutes."""

    slug: str
    title: str
    question: str
    picture: PictureName
    """Whose colour it has, and the page that shows more."""
    needs: Needs
    own: str
    """The lesson's own text, prompt or seed."""
    steps: tuple[Step, ...]
    measure: Callable[[LanguageModel | None, str, Progress], Any]
    """``measure(model, own, on_progress)``; without a model for lessons that need a seed."""
    stored: Callable[[], Any]
    """The same for the lesson's own text, from a file: no model is loaded."""
    notes: str
    """For teachers: what to prepare, what people usually think, what to ask at the end."""


def within(value: float, limits: tuple[float, ...]) -> int:
    """Number of the interval that a value lies in: 0 below the first limit; a limit belongs to the interval above it."""
    return sum(value >= limit for limit in limits)


def in_quotes(text: str) -> str:
    """The text of a token in a sentence, without the space in front of it."""
    return f"“{visible(text.lstrip(' ') or text)}”"
