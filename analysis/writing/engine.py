"""The loop that writes: one token a step for every row, all statistics of the full vocabulary at each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import Cancelled
from analysis.forward.vocabulary_head import distribution, said_by, said_of
from analysis.models.anatomy import Head
from analysis.models.loading import LanguageModel
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken
from analysis.writing.caches import caches
from analysis.writing.results import Branch, Ended, Samplers, StepNumbers
from analysis.writing.sampling import draw
from analysis.writing.stopping import StopText
from analysis.writing.stops import drawable_ids
from analysis.writing.stream import Stream

TOP_K = 10
"""Alternatives kept of every token."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the model expects after each of B rows."""

    states: Tensor
    """(B, D): what the head gets."""
    log_probs: Tensor
    """(B, V), float32, at temperature 1."""
    said: dict[str, np.ndarray]
    """What each row says whatever comes, and its final state; by the names in :class:`StepNumbers`."""
    shift: Tensor
    """(B,): what a row of logits has more than its log-probabilities."""

    @classmethod
    def after(cls, head: Head, states: Tensor) -> Outlook:
        """Reduce the distribution after every row; states of shape (B, D)."""
        logits = head.logits(states)
        largest = logits.amax(-1)
        log_probs, probs = distribution(logits)
        said = said_by(log_probs, probs, min(TOP_K, head.vocab_size)) | {"final_states": states.float()}
        numbers = {name: values.cpu().numpy() for name, values in said.items()}
        return cls(states, log_probs, numbers, largest - log_probs.amax(-1))

    def rows(self, chosen: Sequence[int]) -> Outlook:
        """Only these rows."""
        index = torch.tensor(list(chosen), device=self.log_probs.device)
        said = {name: values[list(chosen)] for name, values in self.said.items()}
        return Outlook(
            self.states[index.to(self.states.device)], self.log_probs[index], said, self.shift[index]
        )

    def next_token(self, row: int) -> NextToken:
        """Of one row, to keep."""
        one = {name: values[row] for name, values in self.said.items() if name in _EXPECTED}
        kept: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in one.items()}
        return NextToken(**kept)


_EXPECTED = {f.name for f in fields(NextToken)}
_NAMES = tuple(f.name for f in fields(StepNumbers))


@dataclass(eq=False)
class Line:
    """A branch while it is being written."""

    branch: Branch
    """What there was of it before; its numbers may be empty."""
    forced: tuple[int, ...] = ()
    """Tokens that come first whatever the model says."""
    ids: list[int] = field(default_factory=list)
    steps: list[dict[str, np.ndarray]] = field(default_factory=list)
    """Numbers of each new token, by their names in :class:`StepNumbers`."""
    after: NextToken | None = None
    after_state: np.ndarray | None = None
    ended: Ended | None = None

    def expect(self, outlook: Outlook, row: int) -> None:
        """Keep what comes after the newest token."""
        self.after, self.after_state = outlook.next_token(row), outlook.said["final_states"][row]

    def so_far(self) -> Branch:
        """The branch with what has been written."""
        before = self.branch
        if self.after is None:
            return before
        numbers = before.numbers
        if self.steps:
            new = {name: np.stack([step[name] for step in self.steps]) for name in _NAMES}
            joined = {name: np.concatenate([getattr(numbers, name), more]) for name, more in new.items()}
            numbers = StepNumbers(**joined)
        return replace(
            before,
            ids=np.concatenate([before.ids, np.array(self.ids, np.int64)]),
            numbers=numbers,
            after=self.after,
            after_state=self.after_state,
            ended=self.ended or "stopped",
            checks=() if self.steps else before.checks,
        )


def no_numbers(head: Head, n_samplers: int) -> StepNumbers:
    """Numbers of no tokens."""
    n_top, width = min(TOP_K, head.vocab_size), head.weight.shape[1]
    return StepNumbers(
        **{q.name: np.zeros(0, q.stored) for q in stored_quantities()},
        top_ids=np.zeros((0, n_top), np.int64),
        top_logprobs=np.zeros((0, n_top), np.float32),
        drawn_prob=np.zeros(0, np.float32),
        n_kept=np.zeros((0, n_samplers), np.int32),
        mass_kept=np.zeros((0, n_samplers), np.float32),
        final_states=np.zeros((0, width), np.float32),
    )


def write_on(
    model: LanguageModel,
    stream: Stream,
    states: Tensor,
    lines: Sequence[Line],
    n_new: int,
    samplers: Samplers,
    stop_ids: Sequence[int],
    stop: StopText,
    on_step: Callable[[int], None],
) -> None:
    """Write on, all lines together, until each has ended.

    Parameters
    ----------
    model : LanguageModel
        Held for one token at a time, so that others have their turn in between.
    stream : Stream
        Has read what comes before, one row per line; used up.
    states : Tensor, shape (B, D)
        What the head got after that.
    lines : sequence of Line
        What is written is added to them.
    n_new : int
        Tokens drawn for each at most; forced ones come on top.
    samplers : Samplers
        How they are drawn.
    stop_ids : sequence of int
        Ids that end a line, which keeps them; also where a person chose one as the last.
    stop : StopText
        Texts that end a line.
    on_step : callable
        Called with the number of steps done. Raising :class:`analysis.errors.Cancelled` from it ends all lines as
        "stopped".

    Notes
    -----
    A token is drawn, counted and read; then ``on_step`` is called. So whatever stops the writing, every line has
    its numbers, its cache and what the model expects next. Finished rows leave the batch.
    """
    head, limit = model.anatomy.head, model.info.context_length
    alive = list(lines)
    with model.held("while writing"):
        outlook = Outlook.after(head, states)
    for row, line in enumerate(alive):
        line.expect(outlook, row)
    n_steps = 0
    try:
        while alive:
            with model.held("while writing"):
                for line in alive:
                    _end(line, len(stream), n_new, limit, stop_ids, stop)
                left = [row for row, line in enumerate(alive) if line.ended is None]
                if len(left) < len(alive):
                    for row, line in enumerate(alive):
                        if line.ended is not None:
                            caches(model).keep(stream.rows([row]) if len(alive) > 1 else stream)
                    if not left:
                        alive = []
                        break
                    alive, stream, outlook = [alive[r] for r in left], stream.rows(left), outlook.rows(left)
                ids = _draw(outlook, stream, alive, samplers)
                states = stream.read(ids[:, None])[:, -1]
                outlook = Outlook.after(head, states)
                for row, line in enumerate(alive):
                    line.ids.append(int(ids[row]))
                    line.expect(outlook, row)
            n_steps += 1
            on_step(n_steps)
    except Cancelled:
        with model.held("while writing"):
            for row, line in enumerate(alive):
                line.ended = "stopped"
                caches(model).keep(stream.rows([row]) if len(alive) > 1 else stream)


def _end(
    line: Line, n_read: int, n_new: int, limit: int | None, stop_ids: Sequence[int], stop: StopText
) -> None:
    """Say whether a line is at its end, and why."""
    drawn = len(line.ids) - len(line.forced)
    if line.ids and drawn >= 0 and (line.ids[-1] in stop_ids or stop.reached(line.ids)):
        line.ended = "stop"
    elif limit is not None and n_read >= limit:
        line.ended = "context"
    elif drawn >= n_new:
        line.ended = "limit"


def _draw(outlook: Outlook, stream: Stream, lines: Sequence[Line], samplers: Samplers) -> Tensor:
    """The next token of every row, int64, (B,), on the CPU; its numbers are added to the lines."""
    n_samplers = len(samplers.steps)
    forced = [line.forced[len(line.ids)] if len(line.ids) < len(line.forced) else None for line in lines]
    free = [row for row, token in enumerate(forced) if token is None]
    ids = torch.tensor([token or 0 for token in forced], dtype=torch.int64)
    drawn_prob = np.full(len(lines), np.nan, np.float32)
    n_kept = np.zeros((len(lines), n_samplers), np.int32)
    mass_kept = np.full((len(lines), n_samplers), np.nan, np.float32)
    if free:
        seen = outlook if len(free) == len(lines) else outlook.rows(free)
        drawn = draw(
            seen.log_probs,
            samplers,
            [lines[row].branch.sample for row in free],
            len(stream),
            stream.ids[free],
            n_ids=drawable_ids(stream.model),
            shift=seen.shift,
        )
        ids[free], drawn_prob[free] = drawn.ids, drawn.drawn_prob.numpy()
        n_kept[free], mass_kept[free] = drawn.n_kept.numpy(), drawn.mass_kept.numpy()
    said = said_of(outlook.log_probs, ids.to(outlook.log_probs.device))
    numbers = outlook.said | {name: values.cpu().numpy() for name, values in said.items()}
    numbers |= {"drawn_prob": drawn_prob, "n_kept": n_kept, "mass_kept": mass_kept}
    for row, line in enumerate(lines):
        line.steps.append({name: values[row] for name, values in numbers.items()})
    return ids
