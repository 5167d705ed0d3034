"""Attention received: keep what later tokens look at."""

from __future__ import annotations

import numpy as np

from analysis.pruning_effects.compression.answers import question_ids
from analysis.pruning_effects.compression.passage import Passage, Scored


def attention(passage: Passage) -> Scored:
    """Attention a token gets, averaged over the queries that can see it, heads and layers.

    Parameters
    ----------
    passage : Passage
        The text, and a question if there is one: it is read after the text and looks at it too.

    Returns
    -------
    Scored
        Mean weight in [0, 1], from the measured pass; no attention map is stored.

    Raises
    ------
    UnsupportedModelError
        If this model's attention cannot be measured.

    Notes
    -----
    The sink is left out: a beginning- or end-of-text token is put before the text, takes the
    attention that the first token of any text takes, and is not scored. Where a tokenizer has
    no such token, the text's first token is the sink and gets no score. The average over the
    queries that can see a token takes out most, not all, of the advantage of early tokens.
    One mean over all heads and layers stands for the many ways of weighting them.
    """
    reader = passage.reader
    first = [*reader.anchor]
    ids = [*first, *passage.ids, *question_ids(reader.model.tokenizer, passage.question)]

    received = reader.received(ids, passage.report, "attention received")
    values = received[len(first) : len(first) + len(passage.ids)].astype(np.float32)
    if not first:
        values[0] = np.nan
    return Scored(values, "mean attention received")
