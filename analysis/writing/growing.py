"""From lines that are written to branches of a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.kv_cache.stream import Stream
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, silent
from analysis.results.tokens import NextToken
from analysis.writing.engine import Line, Writer, no_numbers
from analysis.writing.results import Branch, Samplers, Writing
from analysis.writing.stopping import StopText
from analysis.writing.tokens import with_names

OnToken = Callable[[Callable[[], Writing], int], None]
"""Called after every token with a function that gives the writing so far, to be called before it returns, and with
the number of tokens written. Raising :class:`analysis.errors.Cancelled` from it ends what is being written, and
nothing of it is lost."""
_NOTHING = NextToken(np.nan, np.nan, np.nan, np.zeros(0, np.int64), np.zeros(0, np.float32))


def new_branch(
    model: LanguageModel,
    number: int,
    parent: int | None,
    at: int,
    samplers: Samplers,
    sample: int = 0,
    forced: int = 0,
) -> Branch:
    """A branch in which nothing stands yet."""
    numbers = no_numbers(model.anatomy.head, len(samplers.steps))
    return Branch(
        number, parent, at, np.zeros(0, np.int64), numbers, _NOTHING, "stopped", samplers, sample, forced
    )


def fork(
    model: LanguageModel,
    w: Writing,
    number: int,
    of: int,
    at: int,
    samplers: Samplers,
    sample: int,
    forced: tuple[int, ...],
) -> Line:
    """A branch that begins at a position of another; its parent is the one that has the token before."""
    parent = next((b.id for b, _n in reversed(w.lineage(of)) if b.at < at), None)
    return Line(new_branch(model, number, parent, at, samplers, sample, len(forced)), forced)


def grow(
    model: LanguageModel,
    w: Writing,
    stream: Stream,
    states: Tensor,
    lines: list[Line],
    n_new: int,
    samplers: Samplers,
    stop: Sequence[str],
    on_token: OnToken | None,
    on_progress: Progress | None,
) -> Writing:
    """Write on, and put what came into the tree."""
    if n_new < 1:
        raise AnalysisError("No tokens are to be written.", "Ask for 1 or more.")
    report = on_progress or silent
    stop_text = StopText(model.tokenizer, stop)
    for line in lines:
        line.branch = replace(line.branch, stop=tuple(stop))
    names = w.names

    def so_far() -> Writing:
        nonlocal names
        grown = [line.so_far() for line in lines]
        written = {int(i) for one in grown for i in one.ids}
        shown = {
            int(i)
            for one in grown
            for ids in (one.numbers.top_ids, one.after.top_ids)
            for i in np.unique(ids)
        }
        with model.lock:
            names = with_names(names, model.tokenizer, written, shown)
        branches = {one.id: one for one in (*w.branches, *grown)}
        return replace(w, branches=tuple(branches[i] for i in sorted(branches)), names=names)

    def on_step(n: int) -> None:
        if on_token is not None:
            on_token(so_far, n)
        report(min(1.0, n / n_new), f"token {n} of {n_new}")

    Writer(model, stream, states, lines, n_new, samplers, w.prompt.stop_ids, stop_text).run(on_step)
    return so_far()
