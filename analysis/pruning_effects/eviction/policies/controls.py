"""Constants of a method that a person may set, each with the control that sets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Control:
    """How one constant is set; a screen draws it, methods declare it."""

    key: str
    """Short word, for links."""
    field: str
    """The constant's name in the method."""
    label: str
    help: str

    def value(self, _published: Any, chosen: Any) -> Any:
        """The constant, from the published one and what was chosen."""
        return chosen


@dataclass(frozen=True, kw_only=True)
class Slider(Control):
    """A number between two others."""

    start: float
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01
    said: str = ""
    """One line about what was chosen, with a place for the number."""
    needs: str = ""
    """Key of a control that must have been used before this one means anything."""


@dataclass(frozen=True, kw_only=True)
class TextChoice(Control):
    """One of some texts, or a person's own; nothing changes while it is empty."""

    options: tuple[tuple[str, str | None], ...]
    """As a person reads them, and what they stand for; None asks for own words."""
    words_key: str
    words_label: str
    placeholder: str


@dataclass(frozen=True, kw_only=True)
class Limit(Control):
    """One of some numbers; the constant is that one or the published one, whichever is smaller."""

    options: tuple[int, ...]

    def value(self, published: Any, chosen: Any) -> Any:
        """The smaller one."""
        return min(published, chosen)

    def automatic(self, n: int) -> int:
        """The largest option that is at most a tenth of n tokens of context; the smallest where none is."""
        return max([self.options[0], *(option for option in self.options[1:] if option * 10 <= n)])
