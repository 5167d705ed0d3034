"""Self-information: keep what the model did not expect."""

from __future__ import annotations

import numpy as np

from analysis.progress import part
from analysis.pruning_effects.compression.passage import Passage, Scored
from analysis.pruning_effects.compression.pieces import units_of

_NAME = "surprisal, nats"


def self_information(passage: Passage) -> Scored:
    """Surprisal of every token given all of the text before it.

    Parameters
    ----------
    passage : Passage
        The text.

    Returns
    -------
    Scored
        ``-ln p(x_t | x_<t)`` in nats; a unit's score is the mean of its tokens.

    Notes
    -----
    The text is read after the tokenizer's beginning- or end-of-text token, so that the first
    token has a value too. Li et al. define the score so; their code reads each sentence
    alone, see :func:`selective_context`.

    References
    ----------
    Li et al. 2023, arXiv:2310.06201 (Selective Context).
    """
    anchor = passage.reader.anchor
    values = passage.reader.surprisal(
        [*anchor, *passage.ids], len(anchor), passage.report, "surprisal of the text"
    )
    return Scored(values, _NAME)


def selective_context(passage: Passage) -> Scored:
    """Surprisal of every token given only its own sentence, as Selective Context releases it.

    Parameters
    ----------
    passage : Passage
        The text.

    Returns
    -------
    Scored
        ``-ln p(x_t | x_<t of the same sentence)`` in nats; a unit's score is the mean of its
        tokens, as in the code (a sum would favour long units).

    Notes
    -----
    Deviations: the released code keeps every unit above a percentile of the unit scores; here
    the highest units that fit the token budget stay, so that methods compare at equal
    tokens. Noun phrases, its default unit, need a parser and are not offered. Sentences come
    from a splitter of our own. What an earlier sentence said does not make a later one
    less surprising here: that is the difference to :func:`self_information`.

    References
    ----------
    Li et al. 2023, arXiv:2310.06201; code: liyucheng09/Selective_Context at 3074343.
    """
    anchor = passage.reader.anchor
    groups = units_of(passage.text, passage.tokens, "sentence")
    values = np.empty(len(passage.ids), np.float32)
    n_sentences = len(groups)
    for number in range(n_sentences):
        where = np.flatnonzero(groups.of_token == number)
        ids = [*anchor, *(passage.ids[t] for t in where)]
        report = part(passage.report, number, n_sentences)
        values[where] = passage.reader.surprisal(ids, len(anchor), report, "surprisal by sentence")
    return Scored(values, _NAME)
