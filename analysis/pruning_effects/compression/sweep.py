"""Many methods and shares on one text, each read before the same question and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analysis.errors import AnalysisError
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, part, silent
from analysis.pruning_effects.compression.answers import tail_of
from analysis.pruning_effects.compression.compress import (
    SCORED_PER_SHARE,
    keep_units,
    make_passage,
    require_settings,
    score,
)
from analysis.pruning_effects.compression.passage import Passage, Scored
from analysis.pruning_effects.compression.pieces import Unit
from analysis.pruning_effects.compression.results import (
    BOTTOM,
    DRAWN_BY_SEED,
    CompressionResult,
    CompressionSweep,
)

KEPT = (0.7, 0.5, 0.3, 0.2, 0.1)
"""Shares of a sweep."""
_WEIGHTS = {"gradient": 4.0, "reagent": 60.0, "attention": 2.0, "longllmlingua": 3.0}
"""Time of scoring the text against that of reading it once, about; 1 where none is given."""


@dataclass(frozen=True)
class _Step:
    """One scoring or one reading of a sweep."""

    scored_as: tuple[str, float | None]
    """What to score, and at which share if that matters."""
    method: str = ""
    """What to compress with and read; empty for a step that scores."""
    kept: float = 1.0
    seed: int = 0

    @property
    def weight(self) -> float:
        """Time it takes, about, in readings of the whole text."""
        return max(self.kept, 0.2) if self.method else _WEIGHTS.get(self.scored_as[0], 1.0)


def sweep_compression(
    model: LanguageModel,
    text: str,
    question: str,
    answer: str,
    methods: Sequence[str],
    kept: Sequence[float] = KEPT,
    *,
    seeds: int = 5,
    unit: Unit = "token",
    classifier: str | None = None,
    keep_negations: bool = True,
    keep_numerals: bool = True,
    on_progress: Progress | None = None,
    on_partial: Callable[[CompressionSweep], None] | None = None,
) -> CompressionSweep:
    """Compress a text by many methods and shares, and measure what that costs the answer.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`; it scores, and it reads the result.
    text, question, answer : str
        The context to shorten, and what follows it. None may be empty.
    methods : sequence of str
        Of :data:`~.results.METHODS`.
    kept : sequence of float
        Shares of the text's tokens, each above 0 and up to 1.
    seeds : int, default 5
        Runs of methods with a random part.
    unit : {"token", "word", "sentence"}
        What is kept or dropped as a whole.
    classifier, keep_negations, keep_numerals
        As for :func:`~.compress.compress`.
    on_progress : callable, optional
        ``on_progress(share, what)``. Raising from it stops the sweep.
    on_partial : callable, optional
        Gets the sweep so far after every reading: what is finished when it is stopped.

    Returns
    -------
    CompressionSweep
        A method that cannot serve this text or model is in ``unavailable`` with the reason.

    Raises
    ------
    AnalysisError
        If a text is empty, broken or too long, the answer cannot be tokenized alone, or a share
        is not above 0 and at most 1.
    ValueError
        If there is no such method or unit, or ``seeds`` is below 1.

    Notes
    -----
    Equal tokens: at one share every method gets the same budget, ``max(1, floor(n * kept))``
    tokens of the shorter text as the model's tokenizer cuts it, and fills it with what it ranks
    first. A method may stay under it by the tokens that none of its next units fits
    into; the tokens really used are in the result. Question and answer have the same ids
    after every context.
    """
    if seeds < 1:
        raise ValueError(f"seeds counts runs and is at least 1, got {seeds}")
    methods, kept = list(dict.fromkeys(methods)), list(dict.fromkeys(kept))
    require_settings(methods, kept, unit)
    report = on_progress or silent
    with model.held("while compressing", "leave out the gradient"):
        tail_of(model.tokenizer, question, answer)
        passage = make_passage(
            model,
            text,
            unit,
            question=question,
            answer=answer,
            classifier=classifier,
            keep_negations=keep_negations,
            keep_numerals=keep_numerals,
        )
        return _Sweep(passage, on_partial).run(_steps(methods, kept, seeds), report)


def _steps(methods: Sequence[str], kept: Sequence[float], seeds: int) -> list[_Step]:
    """Every reading, each after the scoring it needs; scores are made once for all that share them."""
    steps: list[_Step] = []
    for method in methods:
        name = method.removeprefix(BOTTOM)
        for share in kept:
            scored_as = (name, share if name in SCORED_PER_SHARE else None)
            if not any(step.scored_as == scored_as for step in steps):
                steps.append(_Step(scored_as, kept=share))
            for seed in range(seeds if name in DRAWN_BY_SEED else 1):
                steps.append(_Step(scored_as, method, share, seed))
    return steps


class _Sweep:
    """A sweep while it runs."""

    def __init__(self, passage: Passage, on_partial: Callable[[CompressionSweep], None] | None) -> None:
        self.passage = passage
        self.on_partial = on_partial
        self.scored: dict[tuple[str, float | None], Scored | AnalysisError] = {}
        self.read: dict[str, float] = {}
        """Mean surprisal of the answer, by context."""

    def run(self, steps: list[_Step], report: Progress) -> CompressionSweep:
        """Do every step; after each reading the partial result is shown."""
        info, passage = self.passage.reader.model.info, self.passage
        total = 1.5 + sum(step.weight for step in steps)
        sweep = CompressionSweep(
            model=info.name,
            dtype=info.dtype,
            device=info.device_name,
            text=passage.text,
            question=passage.question,
            answer=passage.answer,
            unit=passage.unit,
            n_original=len(passage.ids),
            n_answer=len(passage.tail.answer_ids),
            nll_full=self._nll(passage.text, part(report, 0, total), "the whole context"),
            nll_without=self._nll("", part(report, 1, total, of=0.5), "no context"),
            readings=(),
        )
        done = 1.5
        for step in steps:
            told = part(report, done, total, of=step.weight)
            sweep = self._step(sweep, step, told)
            done += step.weight
        report(1.0, "done")
        return sweep

    def _step(self, sweep: CompressionSweep, step: _Step, report: Progress) -> CompressionSweep:
        passage = self.passage.at(step.kept, report)
        if not step.method:
            try:
                self.scored[step.scored_as] = score(passage, step.scored_as[0])
            except AnalysisError as error:
                self.scored[step.scored_as] = error
            return sweep
        scored = self.scored[step.scored_as]
        if isinstance(scored, AnalysisError):
            return _without(sweep, step.method, scored)
        try:
            short = keep_units(passage, step.method, scored, step.seed)
        except AnalysisError as error:
            return _without(sweep, f"{step.method} at {step.kept:g}", error)
        nll = self._nll(short.text, report, f"{step.method}, {step.kept:.0%} kept")
        sweep = replace(sweep, readings=(*sweep.readings, CompressionResult(short, nll)))
        if self.on_partial is not None:
            self.on_partial(sweep)
        return sweep

    def _nll(self, context: str, report: Progress, what: str) -> float:
        """Mean surprisal of the answer after a context and the question, nats."""
        if context not in self.read:
            reader, tail = self.passage.reader, self.passage.tail
            before = [*reader.lead, *reader.ids(context), *tail.question_ids]
            found = reader.surprisal([*before, *tail.answer_ids], len(before), report, what)
            self.read[context] = float(found.mean(dtype=float))
        return self.read[context]


def _without(sweep: CompressionSweep, name: str, error: AnalysisError) -> CompressionSweep:
    return replace(sweep, unavailable=sweep.unavailable | {name: str(error)})
