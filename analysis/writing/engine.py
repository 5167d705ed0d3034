"""Every step of writing: a token drawn for each line, and all statistics of the full vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import Cancelled
from analysis.forward.vocabulary_head import distribution, said_by, said_of
from analysis.kv_cache.steps import Steps
from analysis.kv_cache.stream import Stream
from analysis.models.anatomy import Head
from analysis.models.loading import LanguageModel
from analysis.models.stops import drawable_ids
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken
from analysis.writing.caches import caches
from analysis.writing.results import Branch, Ended, Samplers, StepNumbers
from analysis.writing.sampling import draw
from analysis.writing.stopping import StopText

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
        index = torch.tensor(list(chosen), dtype=torch.int64, device=self.log_probs.device)
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


class Writer(Steps):
    """Draws a token for every line, counts it, and keeps the caches of the lines that have ended.

    Parameters
    ----------
    model, stream, states
        As for :class:`analysis.kv_cache.steps.Steps`, one row per line.
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
    """

    stream: Stream

    def __init__(
        self,
        model: LanguageModel,
        stream: Stream,
        states: Tensor,
        lines: Sequence[Line],
        n_new: int,
        samplers: Samplers,
        stop_ids: Sequence[int],
        stop: StopText,
    ) -> None:
        super().__init__(model, stream, states)
        self.n_new, self.samplers, self.stop_ids, self.stop = n_new, samplers, stop_ids, stop
        self._alive = list(lines)

    def run(self, on_step: Callable[[int], None]) -> None:
        """Write until each line has ended; Cancelled from ``on_step`` ends all as "stopped".

        Whatever stops the writing, every line has its numbers, its cache and what the model expects next.
        """
        try:
            super().run(on_step)
        except Cancelled:
            for line in self._alive:
                line.ended = "stopped"
            with self.model.held("while writing"):
                self._keep(range(len(self._alive)))

    def see(self, states: Tensor) -> None:
        """Count what the model expects after every line."""
        self._outlook = Outlook.after(self.model.anatomy.head, states)
        for row, line in enumerate(self._alive):
            line.expect(self._outlook, row)

    def go_on(self) -> list[int]:
        """Say which lines are at their end, and why."""
        for line in self._alive:
            self._end(line)
        left = [row for row, line in enumerate(self._alive) if line.ended is None]
        if len(left) < len(self._alive):
            self._keep([row for row, line in enumerate(self._alive) if line.ended is not None])
            self._alive = [self._alive[row] for row in left]
            self._outlook = self._outlook.rows(left)
        return left

    def choose(self) -> Tensor:
        """Draw, but for tokens that a person chose."""
        ids = _draw(self._outlook, self.stream, self._alive, self.samplers)
        for line, token in zip(self._alive, ids.tolist(), strict=True):
            line.ids.append(token)
        return ids

    def _end(self, line: Line) -> None:
        drawn, limit = len(line.ids) - len(line.forced), self.model.info.context_length
        if (
            line.ids
            and drawn >= 0
            and (line.ids[-1] in self.stop_ids or self.stop.reached(line.ids, line.branch.ids))
        ):
            line.ended = "stop"
        elif limit is not None and len(self.stream) >= limit:
            line.ended = "context"
        elif drawn >= self.n_new:
            line.ended = "limit"

    def _keep(self, rows: Sequence[int]) -> None:
        """Keep the caches of these rows, which may go on together."""
        caches(self.model).keep(self.stream.rows(rows) if len(rows) < len(self._alive) else self.stream)


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
