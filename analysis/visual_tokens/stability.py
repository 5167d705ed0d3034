"""How a compressed model stands up to small changes of its pictures: four numbers, and whether its ranking holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.visual_tokens.intervals import Interval, paired_difference, wilson
from analysis.visual_tokens.policies.base import highest

if TYPE_CHECKING:
    from torch import Tensor

ENOUGH = 0.8
"""Share of the full model's accuracy from which a number of tokens counts as practical."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """A method at one number of tokens, on pictures as they are and changed.

    Parameters
    ----------
    survival : float
        SR: accuracy of all tokens on changed pictures, over that on pictures as they are.
    error : Interval
        CER: share of questions that the kept tokens get wrong on changed pictures.
    broken : Interval
        CBR: the same among the questions that all tokens get right on both pictures, and the kept ones on the clean one:
        what compression alone adds. NaN without such a question.
    n_sound : int
        Those questions.
    """

    survival: float
    error: Interval
    broken: Interval
    n_sound: int


def robustness(
    full_clean: np.ndarray,
    full_noisy: np.ndarray,
    kept_clean: np.ndarray,
    kept_noisy: np.ndarray,
    picture: np.ndarray,
) -> Robustness:
    """Measure how much a change of the pictures hurts a compressed model, and how much of that the full one shows.

    Parameters
    ----------
    full_clean, full_noisy, kept_clean, kept_noisy : numpy.ndarray
        (Q,) of bool: which questions are right, with all tokens and with those kept, on pictures as they are and
        changed.
    picture : numpy.ndarray
        (Q,): the picture of each question; intervals are over pictures, since questions about one share its fate.
    """
    sound = full_clean & full_noisy & kept_clean
    right = float(full_clean.mean())
    return Robustness(
        float(full_noisy.mean()) / right if right else float("nan"),
        _share(~kept_noisy, picture),
        _share(~kept_noisy[sound], picture[sound]),
        int(sound.sum()),
    )


def _share(wrong: np.ndarray, picture: np.ndarray) -> Interval:
    """Share of questions with its 95 % interval over pictures: a bootstrap, or Wilson's if all are alike or of one picture."""
    n = len(np.unique(picture))
    if n < 2 or wrong.all() or not wrong.any():  # draws would all be the same
        return wilson(n * float(wrong.mean()) if n else 0, n)
    return paired_difference(np.zeros(len(wrong)), wrong, picture)


def practical_budget(full_clean: np.ndarray, kept_clean: Mapping[int, np.ndarray]) -> int | None:
    """K_prac: the fewest tokens with at least 80 % of the full model's accuracy on pictures as they are; None if none has, or the full one is never right.

    Parameters
    ----------
    full_clean : numpy.ndarray
        (Q,) of bool.
    kept_clean : mapping of int to numpy.ndarray
        By the tokens kept, (Q,) of bool.
    """
    least = ENOUGH * int(full_clean.sum()) - 1e-9  # questions: four of five are enough
    enough = (n for n, right in kept_clean.items() if int(right.sum()) >= least)
    return min(enough, default=None) if full_clean.any() else None


@dataclass(frozen=True, slots=True)
class RankStability:
    """A ranking of tokens before and after a change of the picture.

    Parameters
    ----------
    correlation : float
        Spearman's; NaN where all are equal.
    preserved : float
        Share of the top tokens before that are among the top after; NaN without any.
    infiltrated : float
        Share of the bottom tokens before that are among the top after.
    """

    correlation: float
    preserved: float
    infiltrated: float


def rank_stability(before: Tensor, after: Tensor, kept: int) -> RankStability:
    """Compare two scores of the same tokens.

    Parameters
    ----------
    before, after : torch.Tensor
        (N,), higher is kept.
    kept : int
        Tokens in the top; the bottom has as many, or what is left where that is fewer.
    """
    top, again = (set(highest(score, kept).tolist()) for score in (before, after))
    bottom = set(highest(-before, min(kept, len(before) - kept)).tolist()) - top
    ranks = [pd.Series(score.double().numpy()).rank() for score in (before, after)]
    varies = all(rank.nunique() > 1 for rank in ranks)
    return RankStability(
        float(ranks[0].corr(ranks[1])) if varies else float("nan"),
        len(top & again) / kept if kept else float("nan"),
        len(bottom & again) / len(bottom) if bottom else float("nan"),
    )
