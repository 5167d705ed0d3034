"""Forks in a sentence: the model writes, most words follow from the ones before, and a few decide where it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.lessons.lesson import Finding, in_quotes, within
from analysis.lessons.measuring import STORED
from analysis.progress import Progress, part
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.writing.results import StepNumbers, Writing

PROMPT = "The old lighthouse keeper opened the door and"
N_NEW, N_AFTER, FEWEST = 40, 16, 12
"""Tokens written, written after another choice, and needed at least."""
UNSURE = 0.5
"""A first choice less probable than this is no safe one."""
SHARES = (0.2, 0.8)
CONCENTRATED = (0.3, 0.6)
"""Share of all entropy in the highest fifth of the tokens."""
SAME = (0.2, 0.6)
TIMES = (1.5, 4.0)


@dataclass(frozen=True, eq=False)
class Forks:
    """Branch 0 is what the model writes; 1 takes the second choice at the fork, 2 at the surest token."""

    writing: Writing
    fork: int
    """Which written token has the highest entropy, from 0, among those with enough after them."""
    surest: int
    """Which one the model was surest of."""

    @property
    def numbers(self) -> StepNumbers:
        """Of the tokens of branch 0."""
        return self.writing.branches[0].numbers

    def name(self, token_id: int) -> str:
        """A token in quotes."""
        return in_quotes(self.writing.names.names.get(token_id, ""))


def fork_and_surest(numbers: StepNumbers) -> tuple[int, int]:
    """Of the tokens but the last ones: that with the highest entropy, and that with the most probable first choice."""
    n = max(1, len(numbers.entropy) - N_AFTER // 2)
    return int(numbers.entropy[:n].argmax()), int(numbers.max_prob[:n].argmax())


def measure(model: LanguageModel | None, own: str, on_progress: Progress) -> Forks:
    """Write on after a prompt, greedily, and twice more with the second choice at one token.

    Raises
    ------
    AnalysisError
        If the model ends the text too soon.
    """
    from analysis.writing.write import branch, write

    assert model is not None
    w = write(model, own, n_new=N_NEW, on_progress=part(on_progress, 0, 3))
    numbers = w.branches[0].numbers
    if len(numbers.entropy) < FEWEST:
        raise AnalysisError(
            f"The model ended the text after {len(numbers.entropy)} tokens.", "Begin another sentence."
        )
    fork, surest = fork_and_surest(numbers)
    for turn, at in ((1, fork), (2, surest)):
        second = int(numbers.top_ids[at, 1])
        place = len(w.prompt.ids) + at
        w = branch(
            model, w, at=place, token=second, of=0, n_new=N_AFTER, on_progress=part(on_progress, turn, 3)
        )
    return Forks(w, fork, surest)


@cache
def stored() -> Forks:
    """The same for the lesson's own beginning, from a file."""
    from analysis.writing.writing_file import load_writing

    w = load_writing(STORED / "forks.writing")
    return Forks(w, *fork_and_surest(w.branches[0].numbers))


def store(found: Forks) -> None:
    """Write it without the states, which no lesson draws."""
    slim = tuple(
        replace(
            one, numbers=replace(one.numbers, final_states=one.numbers.final_states[:, :0]), after_state=None
        )
        for one in found.writing.branches
    )
    replace(found.writing, branches=slim).save(STORED / "forks.writing")


def unsure_share(m: Forks) -> float:
    """Share of the written tokens whose first choice had less than :data:`UNSURE`."""
    return float((m.numbers.max_prob < UNSURE).mean())


def top_share(m: Forks) -> float:
    """Share of all entropy that lies in the fifth of the written tokens where it is highest, rounded up."""
    entropy = np.sort(m.numbers.entropy.astype(float))[::-1]
    return float(entropy[: -(-len(entropy) // 5)].sum() / entropy.sum())


def same_after(m: Forks) -> tuple[int, int]:
    """Of the tokens after the fork: how many come again with the second choice in the same order, and of how many.

    The longest common subsequence: one word put in does not make all that follow other ones.
    """
    from rapidfuzz.distance import LCSseq

    ids, other = m.writing.branches[0].ids[m.fork + 1 :], m.writing.branches[1].ids[1:]
    n = min(len(ids), len(other))
    return LCSseq.similarity(ids[:n].tolist(), other[:n].tolist()), n


def price(m: Forks, at: int) -> float:
    """Surprisal of the second choice at a written token less that of the first, nats."""
    first, second = m.numbers.top_logprobs[at, :2].astype(float)
    return float(first - second)


def find_unsure(m: Forks) -> Finding:
    """What was measured about "unsure", and which prediction came true."""
    share = unsure_share(m)
    n = len(m.numbers.max_prob)
    return Finding(
        within(share, SHARES),
        percent(share),
        f"At {count(int((m.numbers.max_prob < UNSURE).sum()))} of {count(n)} tokens the first choice had less than half; on average it had {percent(float(m.numbers.max_prob.mean()))}. "
        "The text reads as if it had to be so, because we see only the choice that was taken.",
    )


def find_peaks(m: Forks) -> Finding:
    """What was measured about "peaks", and which prediction came true."""
    share = top_share(m)
    option = within(share, CONCENTRATED)
    where = (
        "It is spread over nearly all of them.",
        "There are forks, with safer words between; no one of them holds most.",
        "A few forks hold nearly all of it.",
    )[option]
    return Finding(
        option,
        percent(share),
        f"The fifth of the tokens where it is highest holds {percent(share)} of all entropy; evenly spread it would be {percent(-(-len(m.numbers.entropy) // 5) / len(m.numbers.entropy))}. {where}",
    )


def find_elsewhere(m: Forks) -> Finding:
    """What was measured about "elsewhere", and which prediction came true."""
    same, n = same_after(m)
    share = same / max(n, 1)
    ids = m.numbers.top_ids[m.fork]
    way = " ".join(m.writing.written(1).split())[-60:]
    return Finding(
        within(share, SAME),
        f"{count(same)} of {count(n)} tokens",
        f"With {m.name(int(ids[1]))} in place of {m.name(int(ids[0]))}, {count(same)} of the next {count(n)} tokens come again in the same order: “…{way}” "
        + ("One word decided most of the rest." if share < SAME[0] else "The two ways meet again."),
    )


def find_cost(m: Forks) -> Finding:
    """What was measured about "cost", and which prediction came true."""
    at_fork, at_surest = price(m, m.fork), price(m, m.surest)
    times = at_surest / max(at_fork, 1e-6)
    return Finding(
        within(times, TIMES),
        f"{significant(at_surest)} and {significant(at_fork)} nats",
        f"At the surest token, {m.name(int(m.numbers.top_ids[m.surest, 0]))} ({percent(float(m.numbers.max_prob[m.surest]))}), the second choice costs {significant(at_surest)} nats more than the first; at the fork it costs {significant(at_fork)}. "
        + (
            "A fork is where another word costs next to nothing."
            if times >= TIMES[0]
            else "Here neither word was a safe one."
        ),
    )
