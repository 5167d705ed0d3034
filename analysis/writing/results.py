"""What was written: a prompt and a tree of branches, with the numbers of every written token. No model in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.errors import AnalysisError
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Check

Ended = Literal["stop", "limit", "stopped", "context"]
"""Why a branch ends: a stop token, the number asked for, a person, or the model's context."""


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Span:
    """Consecutive tokens of one kind."""

    kind: str
    """A role ("system", "user", "assistant", ...), "template", or "thinking"."""
    start: int
    """Position of the first token in the path."""
    end: int
    """One past the last."""


@dataclass(frozen=True)
class Prompt:
    """What the model gets before it writes."""

    text: str
    ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    """Empty for a plain prompt."""
    spans: tuple[Span, ...] = ()
    """In order, none over another; a token in none of them is the person's plain text."""
    stop_ids: tuple[int, ...] = ()
    """Ids that end what is written."""
    notes: tuple[str, ...] = ()
    """What a person should know, such as "The template deletes thinking; roles are not available."."""


@dataclass(frozen=True)
class Samplers:
    """How the next token is drawn."""

    steps: tuple[tuple[str, float], ...] = ()
    """Name and setting, in the order they are applied; none means greedy."""
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return not self.steps or ("temperature", 0.0) in self.steps


@dataclass(frozen=True)
class TokenNames:
    """What a tokenizer says about the tokens of a writing."""

    names: dict[int, str] = field(default_factory=dict)
    """Readable name of every id that was read or written, or stands among the most probable."""
    pieces: dict[int, bytes] = field(default_factory=dict)
    """Bytes of every id that was read or written."""
    special: frozenset[int] = frozenset()
    """Those of them that are special."""


@dataclass(frozen=True)
class StepNumbers:
    """Numbers of n written tokens: of the model's own distribution at temperature 1, and of what was drawn from.

    All arrays have one entry per written token, about that token.
    """

    entropy: np.ndarray
    """float32, (n,), nats."""
    varentropy: np.ndarray
    """float32, (n,), nats squared."""
    max_prob: np.ndarray
    """float32, (n,)."""
    surprisal: np.ndarray
    """float32, (n,), nats."""
    rank: np.ndarray
    """int32, (n,), from 1."""
    top_ids: np.ndarray
    """int64, (n, k)."""
    top_logprobs: np.ndarray
    """float32, (n, k), nats."""
    drawn_prob: np.ndarray
    """float32, (n,): probability after the samplers of the token that came; NaN where a person chose it."""
    n_kept: np.ndarray
    """int32, (n, S): tokens that each sampler, in its order, left; 0 where a person chose."""
    mass_kept: np.ndarray
    """float32, (n, S): probability of these at temperature 1; NaN where a person chose."""
    final_states: np.ndarray
    """float32, (n, D): what the head got before each token."""


@dataclass(frozen=True)
class Branch:
    """One way on from a prompt or from another branch; it holds only its own tokens."""

    id: int
    parent: int | None
    """Branch it leaves; None begins at the prompt."""
    at: int
    """Length of the parent's path that is kept: position in the path of this branch's first token."""
    ids: np.ndarray
    """int64, (n,)."""
    numbers: StepNumbers
    after: NextToken
    """The distribution after its last token."""
    ended: Ended
    samplers: Samplers = Samplers()
    sample: int = 0
    """Number of the sample: the noise of every position follows from seed, sample and position."""
    forced: int = 0
    """Leading tokens that a person chose."""
    name: str = ""
    after_state: np.ndarray | None = None
    """float32, (D,): what the head got after its last token; None where it is not known."""
    checks: tuple[Check, ...] = ()
    """Its numbers against those of reading its path again; empty until that was asked."""
    stop: tuple[str, ...] = ()
    """Texts that end it, besides stop tokens, whenever it goes on."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Writing:
    """A prompt and everything that was written from it."""

    model: str
    revision: str
    dtype: str
    prompt: Prompt
    prompt_tokens: TokenTrace
    """The prompt as it was read."""
    branches: tuple[Branch, ...]
    """In the order they were begun; a branch's id is its place."""
    names: TokenNames = field(default_factory=TokenNames)
    notes: tuple[str, ...] = ()
    """What a person should know about how it was written, a sentence each."""

    @property
    def newest(self) -> int:
        """Id of the newest branch."""
        return len(self.branches) - 1

    def require(self, branch: int | None) -> int:
        """The number of a branch that is there; the newest for None.

        Raises
        ------
        AnalysisError
            If it is not.
        """
        number = self.newest if branch is None else branch
        if not 0 <= number < len(self.branches):
            raise AnalysisError(
                f"There is no branch {number}.", f"There are {len(self.branches)}, from 0 on."
            )
        return number

    def lineage(self, branch: int) -> list[tuple[Branch, int]]:
        """Branches from the prompt to this one, each with how many of its own tokens are on the way."""
        found: list[tuple[Branch, int]] = []
        at: int | None = branch
        end: int | None = None
        while at is not None:
            this = self.branches[at]
            found.append((this, len(this) if end is None else end - this.at))
            at, end = this.parent, this.at
        return found[::-1]

    def path(self, branch: int | None = None) -> np.ndarray:
        """int64, (T,): ids from the prompt's first token to the branch's last."""
        ways = self.lineage(self.require(branch))
        return np.concatenate([np.asarray(self.prompt.ids, np.int64), *(b.ids[:n] for b, n in ways)])

    def tokens(self, branch: int | None = None) -> TokenTrace:
        """Prompt and branch as one text, token by token; the newest branch by default."""
        from analysis.writing.tokens import tokens_of

        return tokens_of(self, self.require(branch))

    def text(self, branch: int | None = None) -> str:
        """Prompt and branch as one text; bytes that are no character stand in it as U+FFFD."""
        return self._spelt(self.path(branch))

    def written(self, branch: int | None = None) -> str:
        """What was written on the way to a branch's end, special tokens left out."""
        ids = self.path(branch)[len(self.prompt.ids) :]
        return self._spelt([i for i in ids if int(i) not in self.names.special])

    def _spelt(self, ids: Iterable[int]) -> str:
        return b"".join(self.names.pieces.get(int(i), b"") for i in ids).decode("utf-8", "replace")

    def save(self, path: str | Path) -> Path:
        """Write prompt and tree to one file that :func:`analysis.load_writing` opens. Returns the path."""
        from analysis.writing.writing_file import save_writing

        return save_writing(self, path)
