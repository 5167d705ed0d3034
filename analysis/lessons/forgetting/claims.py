"""What can be forgotten, and by whom: parts of the cache go, and the words that needed them show what they were worth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.attention_sinks.summary import sink_numbers
from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.lessons.lesson import Finding, in_quotes, within
from analysis.lessons.measuring import STORED, read, stored_run
from analysis.lessons.surprise.claims import returning
from analysis.progress import Progress, part
from analysis.pruning_effects.eviction.survival import Survival, is_cut_from, survival
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace

METHODS = ("streaming", "knorm", "h2o")
NAMES = {"streaming": "the newest", "knorm": "small keys", "h2o": "the most attended"}
"""Short, for labels: the questions say that the most attended stay beside the newest."""
KEPT = (0.7, 0.5, 0.3, 0.15)
HALF, FEW = 0.5, 0.3
AFTER = 64
"""Tokens at the end that are predicted from what is left."""
HELD = (0.25, 0.75)
COSTS = (0.1, 0.5)
"""Nats of mean surprisal that part the predictions."""
COMES_BACK = (0.25, 0.75)
"""Share of the first surprise that is back."""


@dataclass(frozen=True, eq=False)
class Forgetting:
    """A run, and what three methods keep of its beginning."""

    trace: Trace
    survived: Survival

    def mean_surprisal(self, method: str, share: float) -> float:
        """Of the tokens after the context, nats; with the full cache for a share of 1."""
        if share == 1:
            return float(self.survived.full.astype(float).mean())
        rows = self.survived.surprisal[self.survived.names.index(method), self.survived.at(share)]
        return float(rows.astype(float).mean())

    def held(self, method: str, share: float) -> np.ndarray:
        """Share of the caches that still hold each token of the context, (n,)."""
        return np.asarray(self.survived.survived[self.survived.names.index(method), self.survived.at(share)])


def measure(model: LanguageModel | None, text: str, on_progress: Progress) -> Forgetting:
    """Read the text; then read its end again, with parts of the cache of its beginning gone.

    Raises
    ------
    AnalysisError
        If its beginning alone becomes other tokens than in the whole.
    """
    from analysis.pruning_effects.eviction.sweep import sweep_eviction

    trace = read(model, text, part(on_progress, 0, 3))
    assert model is not None
    n = len(trace.tokens)
    cut = int(trace.tokens.start[n - max(1, min(AFTER, n // 2))])
    sweep = sweep_eviction(
        model, text[:cut], text[cut:], METHODS, KEPT, on_progress=part(on_progress, 1, 3, of=2)
    )
    if not is_cut_from(sweep, trace.tokens):
        raise AnalysisError(
            "This text becomes other tokens when it is cut.", "Change a word near its middle."
        )
    return Forgetting(trace, survival(sweep))


@cache
def stored() -> Forgetting:
    """The same for the lesson's own text, from files."""
    from safetensors.numpy import load_file

    arrays = load_file(STORED / "forgetting.safetensors")
    known = {"names": METHODS, "labels": METHODS, "caches": tuple(arrays.pop("caches").tolist())}
    return Forgetting(stored_run("story"), Survival(**known, **arrays))  # type: ignore[arg-type]


def store(found: Forgetting) -> None:
    """Write what :func:`stored` reads beside the run of the story."""
    from safetensors.numpy import save_file

    values = {
        f.name: getattr(found.survived, f.name) for f in fields(Survival) if f.name not in ("names", "labels")
    }
    save_file(
        {name: np.ascontiguousarray(value) for name, value in values.items()},
        STORED / "forgetting.safetensors",
    )


def cost(m: Forgetting, method: str, share: float) -> float:
    """By how much the mean surprisal of what follows rises, nats."""
    return m.mean_surprisal(method, share) - m.mean_surprisal(method, 1)


def cheapest(m: Forgetting) -> int:
    """Which of :data:`METHODS` raises it least with :data:`FEW` kept; methods that cannot keep so few left out."""
    return int(np.nanargmin([cost(m, name, FEW) for name in METHODS]))


def needed(m: Forgetting) -> tuple[int, int] | None:
    """A surprising token of the context and where it comes again after it; None where there is none."""
    found = returning(m.trace)
    n = m.survived.n_context
    return found if found is not None and found[0] < n < found[1] < n + len(m.survived.full) else None


def _has_a_sink(m: Forgetting) -> bool:
    """Whether token 0 gets more than twice its share of attention."""
    if m.trace.attention is None:
        return False
    numbers = sink_numbers(m.trace.attention)
    return numbers.on_first > 2 * numbers.uniform


def find_first(m: Forgetting) -> Finding:
    """What was measured about "first", and which prediction came true."""
    held = float(m.held("h2o", HALF)[0])
    return Finding(
        within(held, HELD),
        percent(held),
        f"Token 0 is kept in {percent(held)} of the {count(int(np.prod(m.survived.caches)))} caches, an average token in {percent(float(m.held('h2o', HALF).mean()))}. "
        + (
            "Its sum of attention is large in all of them: every later token sees it, and many heads look at it."
            if held >= HELD[1] and _has_a_sink(m)
            else "Its sum of attention is large in all of them, because every later token sees it."
            if held >= HELD[1]
            else "On this text it is not the most attended one."
        ),
    )


def find_half(m: Forgetting) -> Finding:
    """What was measured about "half", and which prediction came true."""
    rise, full = cost(m, "h2o", HALF), m.mean_surprisal("h2o", 1)
    return Finding(
        within(rise, COSTS),
        f"{significant(rise, signed=True)} nats",
        f"With half of the cache the mean surprisal of the next {count(len(m.survived.full))} tokens goes from {significant(full)} to {significant(full + rise)} nats. "
        + (
            "Much of what was read is not needed again."
            if rise < COSTS[0]
            else "What follows needed some of what went."
            if rise < COSTS[1]
            else "What follows needed much of what went."
        ),
    )


def find_who(m: Forgetting) -> Finding:
    """What was measured about "who", and which prediction came true."""
    best = cheapest(m)
    rises = [cost(m, name, FEW) for name in METHODS]
    ran = [
        (f"{significant(one, signed=True)} nats", NAMES[name])
        for one, name in zip(rises, METHODS, strict=True)
        if not np.isnan(one)
    ]
    apart, more = np.nanmax(rises) - np.nanmin(rises), rises[best] - cost(m, METHODS[best], HALF)
    refused = [NAMES[name] for one, name in zip(rises, METHODS, strict=True) if np.isnan(one)]
    return Finding(
        best,
        f"{NAMES[METHODS[best]]}: {significant(rises[best], signed=True)} nats",
        "With 30 % kept the mean surprisal changes by "
        + ", ".join(f"{one} ({name})" for one, name in ran)
        + (f"; not run with so few tokens: {', '.join(refused)}" if refused else "")
        + f". Who chooses makes {significant(apart)} nats; going from 50 to 30 % makes {significant(more)} for the best of them.",
    )


def find_again(m: Forgetting) -> Finding:
    """What was measured about "again", and which prediction came true."""
    found = needed(m)
    if found is None:
        return Finding(
            None,
            "not available",
            "No surprising token of the beginning comes again in the end of this text. Take one that repeats something.",
        )
    first, again = found
    column, n = m.survived.at(FEW), m.survived.n_context
    losing = [i for i in range(len(METHODS)) if m.survived.survived[i, column, first] < 0.5]
    if not losing:
        return Finding(
            None, "all hold it", "With 30 % kept, every method still holds it here. Nothing can come back."
        )
    lost = float(np.median(m.survived.surprisal[losing, column, again - n]))
    full, before = float(m.survived.full[again - n]), float(m.trace.tokens.surprisal[first])
    if before <= full:
        return Finding(
            None,
            f"{significant(before)}, then {significant(full)} nats",
            f"The second one surprised the model as much as the first, {significant(full)} and {significant(before)} nats. There is nothing that could come back.",
        )
    back = (lost - full) / (before - full)
    return Finding(
        within(back, COMES_BACK),
        f"{significant(full)} → {significant(lost)} nats",
        f"With {len(losing)} of {len(METHODS)} methods fewer than half of the caches hold the first one; with them the second has {significant(lost)} nats in place of {significant(full)}, where the first had {significant(before)}. "
        + (
            "What was read is gone, so it is nearly as new as before."
            if back >= COMES_BACK[1]
            else "A part of what pointed to it is still there."
            if back >= COMES_BACK[0]
            else "Enough of what pointed to it is still there."
        ),
    )


def named(m: Forgetting, position: int) -> str:
    """A token in quotes, without the space in front of it."""
    return in_quotes(m.trace.tokens.text[position])
