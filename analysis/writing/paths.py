"""One number of every written token along the way from the prompt to the end of a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.writing.results import Writing


def along(writing: Writing, branch: int, number: str) -> np.ndarray:
    """Numbers of the written tokens of a branch's path, those of the branches that it leaves included.

    Parameters
    ----------
    writing : Writing
        A prompt and its branches.
    branch : int
        Id of the branch.
    number : str
        A field of :class:`analysis.writing.results.StepNumbers` with one value per token.

    Returns
    -------
    numpy.ndarray, shape (T - P,)
        Of the T tokens of the path without the P of the prompt; units as in ``StepNumbers``.
    """
    return np.concatenate(
        [np.asarray(getattr(part.numbers, number))[:n] for part, n in writing.lineage(branch)]
    )


def owner_of(writing: Writing, branch: int, position: int) -> tuple[int, int]:
    """Branch that holds the token at a position of a path, and which of its own tokens that is.

    Parameters
    ----------
    writing : Writing
        A prompt and its branches.
    branch : int
        Whose path.
    position : int
        In the path, from the prompt's first token.

    Raises
    ------
    IndexError
        If the position is in the prompt, or behind the end.
    """
    for part, n in writing.lineage(branch):
        if part.at <= position < part.at + n:
            return part.id, position - part.at
    raise IndexError(f"position {position} is none of the written tokens of branch {branch}")
