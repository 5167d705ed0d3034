"""Many texts from one prompt: read once, written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.forward.vocabulary_head import rows_per_block
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, part, silent
from analysis.writing.answer_entropy import AnswerEntropy, answer_entropy, weighted_answer_entropy
from analysis.writing.answers import Answers
from analysis.writing.beginning import begin, resume
from analysis.writing.engine import Line
from analysis.writing.growing import OnToken, grow, new_branch
from analysis.writing.parting import Parting, parting
from analysis.writing.pass_at import pass_at_k
from analysis.writing.prompt import prompt_of
from analysis.writing.results import Message, Prompt, Samplers, Writing
from analysis.writing.sample_answers import answers_of
from analysis.writing.sampling import parse_samplers
from analysis.writing.write import PROMPT_SHARE


@dataclass(frozen=True)
class WrittenSamples:
    """Samples of one prompt."""

    writing: Writing
    """Branch i is sample i."""

    def __len__(self) -> int:
        return len(self.writing.branches)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each sample says, the prompt left out."""
        return tuple(self.writing.written(i) for i in range(len(self)))

    @property
    def entropy(self) -> np.ndarray:
        """float64, (n,), nats: mean entropy before the tokens of each sample, the stop token counted; NaN for none."""
        per_sample = [branch.numbers.entropy for branch in self.writing.branches]
        return np.array([values.mean(dtype=np.float64) if len(values) else np.nan for values in per_sample])

    @property
    def n_cut(self) -> int:
        """Samples that a limit, the context or a person ended: their answers may be unfinished."""
        return sum(branch.ended != "stop" for branch in self.writing.branches)

    def answers(self, how: str = "automatic") -> Answers:
        """The answer of every sample, found as :func:`analysis.writing.answers.extract` says; None for no answer."""
        return answers_of(self.writing, how)

    def answer_entropy(self, how: str = "automatic") -> AnswerEntropy:
        """Entropy over equal answers; the samples without one are a group of their own."""
        return answer_entropy([len(group) for group in self.answers(how).groups])

    def weighted_answer_entropy(self, how: str = "automatic") -> float:
        """The same in nats with every sample weighted by its probability per token, at temperature 1."""
        surprisals = [branch.numbers.surprisal for branch in self.writing.branches]
        mean_log_probs = [
            -float(values.mean(dtype=np.float64)) if len(values) else 0.0 for values in surprisals
        ]
        return weighted_answer_entropy([g.members for g in self.answers(how).groups], mean_log_probs)

    def pass_at(self, k: int, right: str | Sequence[str], how: str = "automatic") -> float:
        """Probability that one of k samples at least is right, without bias; ``right`` may be several answers."""
        marks = self.answers(how).right(right)
        return pass_at_k(len(marks), sum(marks), k)

    def parting(self) -> Parting:
        """Where the samples part, and how."""
        return parting([branch.ids for branch in self.writing.branches])


def write_samples(
    model: LanguageModel,
    prompt: str | Sequence[Message | Mapping[str, str]] | Prompt,
    n: int = 8,
    *,
    n_new: int = 64,
    samplers: Samplers | Sequence[tuple[str, float]] = (("temperature", 1.0),),
    seed: int = 0,
    stop: Sequence[str] = (),
    on_token: OnToken | None = None,
    on_progress: Progress | None = None,
) -> WrittenSamples:
    """Let a model answer one prompt many times.

    Parameters
    ----------
    model, prompt, n_new, seed, stop, on_token, on_progress
        As for :func:`analysis.write`. Sample i is the same whatever others are drawn beside it.
    n : int, default 8
        Samples.
    samplers : sequence of (name, setting)
        As for :func:`analysis.write`; the model's own distribution by default.

    Returns
    -------
    WrittenSamples

    Raises
    ------
    AnalysisError
        As for :func:`analysis.write`.
    """
    if n < 1:
        raise AnalysisError("No samples are to be drawn.", "Ask for 1 or more.")
    chosen = parse_samplers(samplers, seed)
    report = on_progress or silent
    w, stream, states = begin(model, prompt_of(model, prompt), part(report, 0, 1, of=PROMPT_SHARE))
    at_once, n_prompt = rows_per_block(model.anatomy.head), len(stream)
    for first in range(0, n, at_once):
        numbers = range(first, min(first + at_once, n))
        lines = [Line(new_branch(model, i, None, n_prompt, chosen, sample=i)) for i in numbers]
        if first:
            stream, states = resume(model, w, [0], n_prompt)
        with model.held("while writing"):
            rows = stream.rows([0] * len(lines))
        share = len(lines) / n * (1 - PROMPT_SHARE)
        rest = part(report, PROMPT_SHARE + first / n * (1 - PROMPT_SHARE), 1, of=share)
        w = grow(model, w, rows, states.expand(len(lines), -1), lines, n_new, chosen, stop, on_token, rest)
        if any(line.ended == "stopped" for line in lines):
            break
    return WrittenSamples(w)
