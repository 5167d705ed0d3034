"""The loop of everything that writes: one token a step for every row, whatever cache the rows read with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from analysis.kv_cache.evicted_stream import EvictedStream
from analysis.kv_cache.stream import Stream
from analysis.models.loading import LanguageModel


class Steps(ABC):
    """Rows that are written on until each has ended; a subclass says which token comes, and when that is.

    Parameters
    ----------
    model : LanguageModel
        Held for one step at a time, so that others have their turn in between.
    stream : Stream or EvictedStream
        Has read what comes before; used up.
    states : Tensor, shape (B, D)
        What the head got after that.
    """

    def __init__(self, model: LanguageModel, stream: Stream | EvictedStream, states: Tensor) -> None:
        self.model, self.stream, self.states = model, stream, states

    def run(self, on_step: Callable[[int], None]) -> None:
        """Write.

        Parameters
        ----------
        on_step : callable
            Called with the number of steps done, after a token was chosen, read and seen. Raising from it ends
            the writing.
        """
        with self.model.held("while writing"):
            self.see(self.states)
        for n_steps in count(1):
            with self.model.held("while writing"):
                left = self.go_on()
                if not left:
                    return
                if len(left) < len(self.states):
                    self.stream = self.stream.rows(left)
                self.states = self.stream.read(self.choose()[:, None])[:, -1]
                self.see(self.states)
            on_step(n_steps)

    @abstractmethod
    def see(self, states: Tensor) -> None:
        """Take what the head gets after the newest token of every row, (B, D)."""

    @abstractmethod
    def go_on(self) -> Sequence[int]:
        """Let go of the rows that have ended; the places of the others among those that :meth:`see` saw."""

    @abstractmethod
    def choose(self) -> Tensor:
        """The next token of every row that goes on, int64, (B,), on the CPU."""


class Greedy(Steps):
    """Takes the most probable token every time.

    Parameters
    ----------
    model, stream, states
        As for :class:`Steps`.
    n_new : int
        Tokens of each at most.
    ends : sequence of int
        Ids that end a row, which keeps them.
    """

    def __init__(
        self,
        model: LanguageModel,
        stream: Stream | EvictedStream,
        states: Tensor,
        n_new: int,
        ends: Sequence[int],
    ) -> None:
        super().__init__(model, stream, states)
        self.n_new, self.ends = n_new, ends
        self.written: list[list[int]] = [[] for _ in states]
        """Tokens of every row."""
        self._alive = self.written

    def see(self, states: Tensor) -> None:
        """Take the most probable token of every row."""
        for ids, token in zip(self._alive, self.model.anatomy.head.logits(states).argmax(-1), strict=True):
            ids.append(int(token))

    def go_on(self) -> list[int]:
        """Rows that are neither at an end nor full."""
        left = [
            row for row, ids in enumerate(self._alive) if ids[-1] not in self.ends and len(ids) < self.n_new
        ]
        self._alive = [self._alive[row] for row in left]
        return left

    def choose(self) -> Tensor:
        """The tokens that were taken."""
        return torch.tensor([ids[-1] for ids in self._alive], dtype=torch.int64)
