"""The Bigram-Backcopy task: mostly a Markov chain of characters, sometimes a copy. Numpy only.

A sequence begins with a beginning-of-sequence token. After an ordinary character the next one comes from the
bigram statistics of a text; after a *trigger*, one of the most frequent characters, comes the character before
the trigger once more. A model needs attention for the second rule only: everywhere else its head has nothing to
add, and that is where a sink forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError

N_TRIGGERS = 3
"""The most frequent characters that make the chain copy, as in the source."""
LENGTH = 256
"""Tokens of a sequence after the beginning-of-sequence token, as in the source."""
CLIP = 1e-9
"""A probability of the bigram table that is 0 counts as this where its logarithm is needed."""


@dataclass(frozen=True)
class OracleRisks:
    """Mean loss of a predictor that knows the rules, nats per token over positions 1 and later."""

    markov: float
    """After ordinary characters: the entropy of their bigram rows."""
    backcopy: float
    """After triggers: 0, the next character is certain."""
    overall: float
    """Over both."""
    trigger_share: float
    """Share of the positions that are triggers."""
    bigram_on_triggers: float
    """After triggers, for a predictor that only knows the bigrams (probabilities of at least ``CLIP``)."""


@dataclass(frozen=True, eq=False)
class BackcopyTask:
    """Character statistics and the rule. C characters; token C is the beginning of a sequence.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835, section 2; code: GuoTianYu2000/Active-Dormant-Attention, BBM.
    """

    characters: str
    """The C characters, sorted; token c is ``characters[c]``."""
    unigram: np.ndarray
    """float64, (C,): share of each character in the text."""
    bigram: np.ndarray
    """float64, (C, C): row c is the distribution of the character after c in the text."""
    triggers: tuple[int, ...]
    """The most frequent characters, the most frequent first."""

    @property
    def bos(self) -> int:
        """Token at the beginning of every sequence."""
        return len(self.characters)

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary, C + 1."""
        return len(self.characters) + 1

    @property
    def first(self) -> np.ndarray:
        """float64, (C,): distribution of the first character: unigram without triggers."""
        allowed = self.unigram.copy()
        allowed[list(self.triggers)] = 0
        return allowed / allowed.sum()

    def is_trigger(self, ids: np.ndarray) -> np.ndarray:
        """Whether each token is a trigger, bool, the shape of ``ids``."""
        return np.isin(ids, self.triggers)

    def sequences(self, uniform: np.ndarray) -> np.ndarray:
        """Sequences made from uniform random numbers.

        Parameters
        ----------
        uniform : numpy.ndarray, shape (n, m)
            In [0, 1); number (s, i) decides character i of sequence s.

        Returns
        -------
        numpy.ndarray of int64, shape (n, m + 1)
            Entry 0 is the beginning-of-sequence token.
        """
        n, m = uniform.shape
        rows = np.cumsum(np.vstack([self.bigram, self.first]), axis=1)
        rows[:, -1] = 1.0  # rounding must leave no number above the last step
        ids = np.full((n, m + 1), self.bos)
        for i in range(m):
            drawn = (rows[ids[:, i]] <= uniform[:, i, None]).sum(1)
            ids[:, i + 1] = np.where(self.is_trigger(ids[:, i]), ids[:, max(i - 1, 0)], drawn)
        return ids

    def next_distribution(self, ids: np.ndarray) -> np.ndarray:
        """True distribution of the token after each one, float64, (..., m, C) for ids of (..., m).

        Notes
        -----
        Ordinary characters: their bigram row. Triggers: certainly the token before. Token 0 of a sequence:
        the distribution of a first character.
        """
        table = np.vstack([self.bigram, self.first])[ids]
        copied = np.eye(len(self.characters) + 1)[np.roll(ids, 1, axis=-1), : len(self.characters)]
        return np.where(self.is_trigger(ids)[..., None], copied, table)

    def oracle(self, length: int = LENGTH) -> OracleRisks:
        """Risks of a predictor that knows the rules, computed exactly.

        Parameters
        ----------
        length : int, default 256
            Positions 1 to ``length - 1`` are averaged: those whose next token the sequence still contains.

        Notes
        -----
        With d_i(c) the probability that token i is the ordinary character c, and e_i(c) that it is a trigger
        after c: ``d_{i+1} = d_i P + e_i`` on ordinary characters and ``e_{i+1}(c) = d_i(c) P(c, triggers)``.
        """
        triggers = np.array(self.triggers)
        ordinary = np.setdiff1d(np.arange(len(self.characters)), triggers)
        stay = self.bigram[np.ix_(ordinary, ordinary)]
        to_trigger = self.bigram[np.ix_(ordinary, triggers)]
        here, copying = self.first[ordinary], np.zeros_like(to_trigger)
        visits, copies = np.zeros_like(here), np.zeros_like(to_trigger)  # expected, over the positions
        for _ in range(length - 1):
            visits += here
            copies += copying
            here, copying = here @ stay + copying.sum(1), here[:, None] * to_trigger
        loss = float(visits @ row_entropy(self.bigram)[ordinary])
        back = -np.log(np.maximum(self.bigram[np.ix_(triggers, ordinary)].T, CLIP))
        return OracleRisks(
            markov=loss / float(visits.sum()),
            backcopy=0.0,
            overall=loss / (length - 1),
            trigger_share=float(copies.sum()) / (length - 1),
            bigram_on_triggers=float((copies * back).sum() / copies.sum()),
        )


def row_entropy(table: np.ndarray) -> np.ndarray:
    """Entropy of each row of probabilities, nats, (..., C) to (...,)."""
    return -(table * np.log(np.where(table > 0, table, 1.0))).sum(-1)


def make_task(text: str, n_triggers: int = N_TRIGGERS) -> BackcopyTask:
    """Character statistics of a text.

    Parameters
    ----------
    text : str
        Read as a circle: its first character follows its last, so every character has a next one.
    n_triggers : int, default 3
        How many of the most frequent characters copy; ties go to the one that sorts first.

    Raises
    ------
    AnalysisError
        If the text has too few different characters.
    """
    characters = "".join(sorted(set(text)))
    if not 1 <= n_triggers <= len(characters) - 2:
        raise AnalysisError(
            f"A text of {len(characters)} different characters cannot have {n_triggers} triggers.",
            "Two or more characters must remain that are no triggers.",
        )
    index = {character: c for c, character in enumerate(characters)}
    ids = np.array([index[character] for character in text])
    counts = np.zeros((len(characters), len(characters)))
    np.add.at(counts, (ids, np.roll(ids, -1)), 1)
    unigram = counts.sum(1) / len(ids)
    most = np.argsort(-unigram, kind="stable")[:n_triggers]
    return BackcopyTask(characters, unigram, counts / counts.sum(1, keepdims=True), tuple(map(int, most)))


@lru_cache(maxsize=1)
def shipped_task() -> BackcopyTask:
    """The task on the story that comes with this lab, ``backcopy_text.txt``, written for it."""
    return make_task(Path(__file__).with_name("text.txt").read_text(encoding="utf-8"))
