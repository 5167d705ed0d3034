"""Which ids and which tokens of two runs belong together, from what is at hand: tokenizers, or the runs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.alignment import align as align_texts
from analysis.comparison.results import Alignment, VocabularyMatch
from analysis.comparison.vocabulary import ids_of_a, match_vocabularies, vocabulary_of

if TYPE_CHECKING:
    from analysis.comparison.measured import Measured
    from analysis.results.trace import Trace


def align(a: Trace, b: Trace) -> Alignment:
    """Which tokens of two runs are the same ones; no model is needed.

    Parameters
    ----------
    a, b : Trace
        Two runs, of one text or of two.

    Returns
    -------
    Alignment

    Raises
    ------
    AnalysisError
        If the texts have no stretch in common.
    """
    return aligned(a, b, vocabulary_of_runs(a, b))


def vocabulary_of_runs(a: Trace, b: Trace) -> VocabularyMatch:
    """What two runs tell about their vocabularies where no tokenizer is at hand."""
    one, other = a.spec, b.spec
    if (one.source, one.revision, one.vocab_size) == (other.source, other.revision, other.vocab_size):
        return VocabularyMatch("identical", "Both runs are of one model.", n_shared=one.vocab_size)
    both = a.tokens.names.keys() & b.tokens.names.keys()
    if one.vocab_size == other.vocab_size and all(a.tokens.names[i] == b.tokens.names[i] for i in both):
        return VocabularyMatch(
            "identical",
            f"The vocabularies are equally large, and the {len(both):,} ids that both runs show stand for the same.",
            n_shared=one.vocab_size,
        )
    return VocabularyMatch("different", f"{one.model} and {other.model} have other vocabularies.")


def vocabulary_of_sides(a: Measured, b: Measured) -> VocabularyMatch:
    """Which ids of both sides are the same tokens: from their tokenizers, else from what their runs tell."""
    if a.tokenizer is None or b.tokenizer is None:
        return vocabulary_of_runs(a.trace, b.trace)
    sizes = a.trace.spec.vocab_size, b.trace.spec.vocab_size
    if a.tokenizer is b.tokenizer and sizes[0] == sizes[1]:
        return VocabularyMatch("identical", "Both sides have one vocabulary.", n_shared=sizes[0])
    one, other = (vocabulary_of(side.tokenizer, n) for side, n in zip((a, b), sizes, strict=True))
    return match_vocabularies(one, other)


def aligned(a: Trace, b: Trace, match: VocabularyMatch) -> Alignment:
    """Which tokens of two runs are the same ones.

    Parameters
    ----------
    a, b : Trace
        Two runs.
    match : VocabularyMatch
        Of their ids.

    Raises
    ------
    AnalysisError
        If the texts have no stretch in common.
    """
    tokens_b = b.tokens
    if match.b_of_a is not None:
        tokens_b = replace(tokens_b, token_id=ids_of_a(tokens_b.token_id, match))
    same, only_before = match.kind != "different", _only_what_comes_before(a, b)
    found = align_texts(
        a.tokens,
        tokens_b,
        text_a=a.text,
        text_b=b.text,
        same_tokenizer=same,
        kind="suffix" if same and only_before else None,
    )
    return _within_the_text(found, a, b)


def _within_the_text(found: Alignment, a: Trace, b: Trace) -> Alignment:
    """The alignment without the ends that two prompts share, such as what a template prints before the text."""
    before = np.zeros(len(found.pairs), bool)
    for run, at in ((a, found.pairs[:, 0]), (b, found.pairs[:, 1])):
        before |= run.tokens.start[at] < run.spec.n_before
    if not (found.kind == "suffix" and a.spec.n_before and b.spec.n_before and before.any()):
        return found
    first = int(np.flatnonzero(before)[-1]) + 1
    span_a, span_b = (np.maximum(span - first, -1) for span in (found.span_a, found.span_b))
    return replace(
        found, pairs=found.pairs[first:], span_a=span_a, span_b=span_b, span_bytes=found.span_bytes[first:]
    )


def _only_what_comes_before(a: Trace, b: Trace) -> bool:
    """Whether the text is the same, and only a prompt or a beginning-of-text token in front of it differs."""
    one, other = a.spec, b.spec
    same_text = a.text[one.n_before :] == b.text[other.n_before :]
    fronts = a.text[: one.n_before] != b.text[: other.n_before]
    return same_text and (fronts or one.bos != other.bos)
