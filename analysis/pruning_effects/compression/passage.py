"""One text to be compressed, with all that a method may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from analysis.models.tokenization import TokenizedText
from analysis.progress import Progress, silent
from analysis.pruning_effects.compression.answers import Tail, tail_of
from analysis.pruning_effects.compression.pieces import Units
from analysis.pruning_effects.compression.reader import Reader


@dataclass(frozen=True, eq=False)
class Passage:
    """What a method sees. The model is held while it works."""

    reader: Reader
    text: str
    tokens: TokenizedText
    """Tokens of the text, nothing added."""
    units: Units
    unit: str
    """What the units are."""
    kept: float
    """Share asked for; scores of most methods do not depend on it."""
    question: str = ""
    answer: str = ""
    seed: int = 0
    classifier: str | None = None
    """Folder of a token classifier, for LLMLingua-2."""
    keep_negations: bool = True
    keep_numerals: bool = True
    report: Progress = field(default=silent)

    @cached_property
    def ids(self) -> list[int]:
        """Ids of the text."""
        return [int(i) for i in self.tokens.token_id]

    @cached_property
    def tail(self) -> Tail:
        """Question and answer."""
        return tail_of(self.reader.model.tokenizer, self.question, self.answer)

    def at(self, kept: float, report: Progress) -> Passage:
        """The same text at another share."""
        return replace(self, kept=kept, report=report)


@dataclass(frozen=True, eq=False)
class Scored:
    """What a method says about the tokens of a text."""

    values: np.ndarray
    """float32, (T,): higher is kept first; NaN where nothing could be measured."""
    name: str = ""
    """What the values are, with their unit."""
    preferred: np.ndarray | None = None
    """bool, (T,): tokens that an engine of its own rule keeps; they come before all others."""
    shuffled: bool = False
    """Whether tokens of equal value are ordered by the seed instead of by position."""
    note: str = ""


Score = Callable[[Passage], Scored]
