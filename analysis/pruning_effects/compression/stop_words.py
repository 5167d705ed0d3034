"""Stop words: drop the little words first. A list of our own, English only."""

from __future__ import annotations

import numpy as np

from analysis.pruning_effects.compression.passage import Passage, Scored
from analysis.pruning_effects.compression.pieces import words

_LITTLE = """
a an the this that these those some any each every either such
i me my mine we us our ours you your yours he him his she her hers it its they them their theirs
myself yourself himself herself itself ourselves themselves who whom whose which what
am is are was were be been being do does did doing done have has had having
can could may might must shall should will would
of in on at by for from with to into onto upon over under about above below between through during
before after against among around across along as per via toward towards within
and or but so yet if then than because while although though since until unless when where why how
there here also just very too quite rather really even still again once more most much many own same
other another both all up down out off
it's i'm i'd i'll i've he's she's that's there's we're you're they're let's
"""
LITTLE = frozenset(_LITTLE.split())
"""Words that carry little by themselves."""
_NEGATIONS = """
no not nor never none nothing nobody nowhere neither without cannot can't couldn't don't doesn't didn't
isn't aren't wasn't weren't won't wouldn't shouldn't mustn't haven't hasn't hadn't
"""
NEGATIONS = frozenset(_NEGATIONS.split())
"""Little words that turn a sentence round."""
_NUMERALS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
million billion first second third half twice
"""
NUMERALS = frozenset(_NUMERALS.split())
"""Numbers written as words; those in digits are never stop words."""


def is_stop_word(word: str, *, keep_negations: bool = True, keep_numerals: bool = True) -> bool:
    """Whether a word is dropped before others.

    Parameters
    ----------
    word : str
        With or without white space around it.
    keep_negations, keep_numerals : bool, default True
        Whether negations, and numbers written as words, count as words that matter.
    """
    plain = word.strip().lower().replace("’", "'")
    return (
        plain in LITTLE
        or (not keep_negations and plain in NEGATIONS)
        or (not keep_numerals and plain in NUMERALS)
    )


def stop_words(passage: Passage) -> Scored:
    """All other words before stop words, each of the two groups in random order.

    Parameters
    ----------
    passage : Passage
        The text, and whether negations and numerals are kept.

    Returns
    -------
    Scored
        1 for tokens of other words and punctuation, 0 for those of stop words.

    Notes
    -----
    Plain stop-word removal keeps what it keeps, whatever share is asked for. Ordered at random
    within the two groups it meets any budget, and compared with random units it shows what
    the list alone is worth.
    """
    spans = words(passage.text)
    starts = np.array([a for a, _ in spans])
    values = np.array(
        [
            not is_stop_word(
                passage.text[a:b], keep_negations=passage.keep_negations, keep_numerals=passage.keep_numerals
            )
            for a, b in spans
        ],
        np.float32,
    )
    begins = np.maximum(np.maximum.accumulate(passage.tokens.start), 0)
    return Scored(values[np.searchsorted(starts, begins, side="right") - 1], shuffled=True)
