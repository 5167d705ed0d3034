"""What can go wrong for a user, said in one sentence with what to do.

Anything a person can cause raises :class:`AnalysisError`; pages and the command
line show both parts. An ``assert`` is only for a bug of our own.
"""

from __future__ import annotations


class AnalysisError(Exception):
    """A problem the user can act on.

    Parameters
    ----------
    message : str
        What happened, one sentence.
    hint : str
        What to do about it, one sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidTextError(AnalysisError):
    """The text cannot be read: empty, not valid Unicode, too short."""


class TooLongError(AnalysisError):
    """The text has more tokens than the model's context or the memory allows."""


class ModelNotFoundError(AnalysisError):
    """No model at this hub id, folder or file."""


class UnsupportedModelError(AnalysisError):
    """The model loaded, but a part that a measure needs was not found."""


class BrokenFileError(AnalysisError):
    """A trace, weight or log file cannot be read."""


class OutOfMemoryError(AnalysisError):
    """The device ran out of memory in the middle of a run."""


class Cancelled(BaseException):
    """Raised from a progress callback to stop a run.

    Not an ``Exception``, so that no ``except Exception`` on the way swallows it.
    """
