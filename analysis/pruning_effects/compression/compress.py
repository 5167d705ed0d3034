"""Compressing one text by one method."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analysis.errors import AnalysisError
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import encode
from analysis.progress import Progress
from analysis.pruning_effects.compression import controls
from analysis.pruning_effects.compression.answers import MethodUnavailableError
from analysis.pruning_effects.compression.attention import attention
from analysis.pruning_effects.compression.fitting import fit, ranking, spread, top
from analysis.pruning_effects.compression.gradient import gradient
from analysis.pruning_effects.compression.llmlingua import llmlingua
from analysis.pruning_effects.compression.llmlingua2 import llmlingua2
from analysis.pruning_effects.compression.longllmlingua import longllmlingua
from analysis.pruning_effects.compression.passage import Passage, Score, Scored
from analysis.pruning_effects.compression.pieces import UNITS, Unit, joined, kept_spans, units_of
from analysis.pruning_effects.compression.reader import Reader
from analysis.pruning_effects.compression.reagent import reagent
from analysis.pruning_effects.compression.results import BOTTOM, METHODS, Compressed
from analysis.pruning_effects.compression.self_information import selective_context, self_information
from analysis.pruning_effects.compression.stop_words import stop_words
from analysis.pruning_effects.eviction.budgets import kept_count

SCORES: dict[str, Score] = {
    "self-information": self_information,
    "selective-context": selective_context,
    "llmlingua": llmlingua,
    "longllmlingua": longllmlingua,
    "gradient": gradient,
    "attention": attention,
    "reagent": reagent,
    "llmlingua-2": llmlingua2,
    "random": controls.random,
    "first": controls.first,
    "last": controls.last,
    "every nth": controls.every_nth,
    "stop words": stop_words,
}
"""What every method scores by; of "bottom" methods the scorer."""
SCORED_PER_SHARE = ("llmlingua", "longllmlingua")
"""Scorers whose scores depend on the share kept."""


def compress(
    model: LanguageModel,
    text: str,
    method: str,
    kept: float,
    *,
    question: str = "",
    answer: str = "",
    unit: Unit = "token",
    seed: int = 0,
    classifier: str | None = None,
    keep_negations: bool = True,
    keep_numerals: bool = True,
    on_progress: Progress | None = None,
) -> Compressed:
    """Make a text shorter by leaving pieces of it out.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`; scores the text and counts its tokens. Not changed.
    text : str
        The context to shorten.
    method : str
        One of :data:`~.results.METHODS`: a scorer, a control, or "bottom " and a scorer.
    kept : float
        Share of the text's tokens that the shorter text may have, above 0 and up to 1.
    question, answer : str
        For methods that look at them.
    unit : {"token", "word", "sentence"}
        What is kept or dropped as a whole; a unit's score is the mean of its tokens.
    seed : int, default 0
        For methods with a random part.
    classifier : str, optional
        Folder of LLMLingua-2's token classifier.
    keep_negations, keep_numerals : bool, default True
        Whether "stop words" spares them.
    on_progress : callable, optional
        ``on_progress(share, what)``. Raising from it stops the work.

    Returns
    -------
    Compressed
        The shorter text has at most ``max(1, floor(n * kept))`` tokens, counted by the model's
        tokenizer on that text, and as many as the method's ranking fits into that.

    Raises
    ------
    AnalysisError
        If the text is empty or too long, the share is not above 0 and at most 1, no unit fits,
        or the method needs a question, an answer, weights or memory that are not there.
    ValueError
        If there is no such method or unit.
    """
    require_settings([method], [kept], unit)
    with model.held("while compressing", "leave out the gradient"):
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
        passage = passage.at(kept, on_progress or passage.report)
        scored = score(passage, method, seed)
        told = passage.report
        return keep_units(passage.at(kept, lambda _share, what: told(1.0, what)), method, scored, seed)


def require_settings(methods: list[str], kept: list[float], unit: str) -> None:
    """Refuse what cannot be asked for.

    Raises
    ------
    AnalysisError
        If nothing is chosen, or a share is not above 0 and at most 1.
    ValueError
        If a method or the unit does not exist.
    """
    if not methods or not kept:
        raise AnalysisError("No method or no share is chosen.", "Choose at least one of each.")
    wrong = [name for name in methods if name not in METHODS]
    if wrong:
        raise ValueError(f"methods are {', '.join(METHODS)}; got {', '.join(wrong)}")
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {UNITS}, got {unit!r}")
    for share in kept:
        if math.isnan(share):
            raise AnalysisError("A share kept is not a number.", "Choose shares above 0 and up to 1.")
        kept_count(1, share)


def make_passage(model: LanguageModel, text: str, unit: Unit, **more: object) -> Passage:
    """Tokenize a text and cut it into units. The caller holds the model.

    Raises
    ------
    InvalidTextError
        If the text is empty or not valid Unicode.
    TooLongError
        If it is longer than the model's context or memory allows.
    """
    tokens = encode(model.tokenizer, text, bos="never")
    reader = Reader(model)
    reader.require_room(len(tokens) + len(reader.anchor))
    return Passage(reader, text, tokens, units_of(text, tokens, unit), unit, 1.0, **more)  # type: ignore[arg-type]


def score(passage: Passage, method: str, seed: int = 0) -> Scored:
    """Scores of a method; of "bottom" methods those of the scorer. The caller holds the model."""
    return SCORES[method.removeprefix(BOTTOM)](replace(passage, seed=seed))


def keep_units(passage: Passage, method: str, scored: Scored, seed: int = 0) -> Compressed:
    """Fill the budget with the units a method ranks first.

    Parameters
    ----------
    passage : Passage
        The text and the share to keep.
    method : str
        Whose ranking.
    scored : Scored
        From :func:`score`.
    seed : int
        Orders equal units of methods with a random part.

    Raises
    ------
    MethodUnavailableError
        If not a single unit fits.
    """
    text, units, reader = passage.text, passage.units, passage.reader
    n = reader.count(text)
    budget = kept_count(n, passage.kept)
    values = units.mean(scored.values.astype(float))
    preferred = None
    if scored.preferred is not None:
        preferred = units.mean(scored.preferred.astype(float)) == 1
    if method.startswith(BOTTOM):
        values, preferred = -values, None
    order = ranking(values, seed=seed if scored.shuffled else None, preferred=preferred)
    is_spread = method == "every nth"
    choose = spread(len(units)) if is_spread else top(order)

    def size(keep: np.ndarray) -> int:
        passage.report(0.0, "filling the budget")
        return reader.count(joined(text, kept_spans(text, units, keep)))

    in_one_piece = method in ("first", "last")  # nothing further on fills what is left free
    keep = fit(choose, len(units), budget, size, None if is_spread or in_one_piece else order)
    if keep is None:
        raise MethodUnavailableError(
            f"Not a single {passage.unit} fits into {budget:,} token{'s' * (budget != 1)}.",
            "Keep a larger share, or choose smaller units.",
        )
    spans = kept_spans(text, units, keep)
    short = joined(text, spans)
    return Compressed(
        method=method,
        kept=passage.kept,
        unit=passage.unit,
        seed=seed,
        budget=budget,
        original=text,
        text=short,
        n_original=n,
        n_tokens=reader.count(short),
        keep=keep[units.of_token],
        spans=spans,
        scores=scored.values,
        cell=passage.tokens.cell,
        cell_text=passage.tokens.cell_text,
        score_name=scored.name,
        note=scored.note,
    )
