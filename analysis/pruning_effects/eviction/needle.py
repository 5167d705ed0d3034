"""Needle test: a sentence hidden at a depth, asked for after the cache is pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.progress import Progress, part, silent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.policies import Policy

_WHO = ("The miller", "A tall sailor", "The old clerk", "Her cousin", "The night guard", "A young baker")
_DID = ("repaired", "painted", "counted", "carried", "washed", "sold", "measured")
_WHAT = ("the wooden boats", "a row of lanterns", "twelve copper pots", "the garden gate", "a cart of apples")
_WHERE = ("by the harbour", "near the square", "behind the school", "under the bridge", "at the market")
_WHEN = ("before sunrise", "on Monday", "in the rain", "after lunch", "without a word", "as every spring")
_NAMES = ("Avela", "Borrin", "Cassum", "Dorvik", "Elstow", "Farrow")


@dataclass(frozen=True)
class NeedleText:
    """A generated context with one fact in it, and the question for that fact."""

    context: str
    start: int
    """Characters before the needle."""
    end: int
    question: str
    answer: str


def needle_text(model: LanguageModel, n_tokens: int, depth: float, *, seed: int = 0) -> NeedleText:
    """Generate a context of about ``n_tokens`` with the needle at a depth.

    Parameters
    ----------
    model : LanguageModel
        Its tokenizer counts.
    n_tokens : int
        At least 64. The context has at most that many tokens.
    depth : float
        0 puts the needle first, 1 last.
    seed : int
        Of the sentences, the name and the number.

    Raises
    ------
    AnalysisError
        If the length or the depth is out of range.
    """
    if n_tokens < 64:
        raise AnalysisError("The text of a needle test needs 64 tokens or more.", "Choose longer lengths.")
    if not 0 <= depth <= 1:
        raise AnalysisError(f"A depth of {depth:g} is outside the text.", "Choose depths from 0 to 1.")
    draw = np.random.default_rng(seed)
    name, number = _NAMES[draw.integers(len(_NAMES))], int(draw.integers(1000, 9999))
    needle = f"The secret number of {name} is {number}. "
    sentences: list[str] = []
    budget = n_tokens - len(model.tokenizer(needle, add_special_tokens=False)["input_ids"]) - 1
    while True:  # sentences repeat after 6,300
        parts = [words[draw.integers(len(words))] for words in (_WHO, _DID, _WHAT, _WHERE, _WHEN)]
        sentence = " ".join(parts) + ". "
        length = len(model.tokenizer("".join(sentences) + sentence, add_special_tokens=False)["input_ids"])
        if length > budget:
            break
        sentences.append(sentence)
    before = "".join(sentences[: round(depth * len(sentences))])
    context = before + needle + "".join(sentences[round(depth * len(sentences)) :])
    return NeedleText(
        context.rstrip(),
        len(before),
        len(before) + len(needle.rstrip()),
        f"\nQuestion: What is the secret number of {name}?\nAnswer: The secret number of {name} is",
        f" {number}",
    )


@dataclass(frozen=True)
class NeedleGrid:
    """Retrieval for every length, depth, method and share."""

    frame: pd.DataFrame
    """``policy``, ``label``, ``kept``, ``length`` (tokens), ``depth``, ``answered``, ``answer_logp`` (nats),
    ``needle_kept`` (share of the needle's keys that were kept)."""
    model: str

    @property
    def answered_in_full(self) -> tuple[int, int]:
        """Cells that the model answers with the full cache, and how many there are."""
        full = self.frame.loc[self.frame["policy"] == "full", "answered"]
        return int(full.sum()), len(full)


def needle_grid(
    model: LanguageModel,
    lengths: Sequence[int] = (256, 512, 1024),
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    policies: Sequence[str | Policy] = ("streaming", "h2o", "snapkv", "expected"),
    kept: Sequence[float] = (0.25,),
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
    on_partial: Callable[[NeedleGrid], None] | None = None,
) -> NeedleGrid:
    """Hide a fact at every depth of contexts of every length and ask for it after pruning.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    lengths : sequence of int
        Tokens of the contexts.
    depths : sequence of float
        0 (first) to 1 (last).
    policies, kept
        As for :func:`analysis.sweep_eviction`; the question comes after the pruning, so no method has seen it.
    seed : int
        Every cell has another name and number, made from it.
    on_progress, on_partial : callable, optional
        As for :func:`analysis.sweep_eviction`; the partial grid has the finished cells.

    Returns
    -------
    NeedleGrid
        With the full cache as its own policy: look first whether the model can do it at all.
    """
    cells = [(length, depth) for length in lengths for depth in depths]
    frames: list[pd.DataFrame] = []
    for number, (length, depth) in enumerate(cells):
        report = part(on_progress or silent, number, len(cells), name=f"{length} tokens")
        frames.append(_cell(model, length, depth, policies, kept, seed + number, report))
        if on_partial is not None:
            on_partial(NeedleGrid(pd.concat(frames, ignore_index=True), model.info.name))
    return NeedleGrid(pd.concat(frames, ignore_index=True), model.info.name)


def _cell(
    model: LanguageModel,
    length: int,
    depth: float,
    policies: Sequence[str | Policy],
    kept: Sequence[float],
    seed: int,
    report: Progress,
) -> pd.DataFrame:
    from analysis.models.tokenization import encode
    from analysis.pruning_effects.eviction.sweep import sweep_eviction

    hay = needle_text(model, length, depth, seed=seed)
    sweep = sweep_eviction(
        model, hay.context, hay.question, policies, kept, answer=hay.answer, seeds=1, on_progress=report
    )
    with model.lock:
        tokens = encode(model.tokenizer, hay.context)
    inside = (tokens.end > hay.start) & (tokens.start < hay.end)
    frame = sweep.to_frame()[["policy", "label", "kept", "answer_logp"]]
    return frame.assign(
        length=length,
        depth=depth,
        answered=sweep.answered(),
        needle_kept=[float(sweep.kept(s)[..., inside].mean()) for s in range(len(sweep.settings))],
    )
