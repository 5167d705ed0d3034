"""From whatever a run raised to one sentence and a hint, with the memory given back.

An exception keeps the frames it went through, and with them every tensor they hold:
they are emptied as soon as the message is taken.
"""

from __future__ import annotations

import gc
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

from analysis.errors import AnalysisError, OutOfMemoryError
from analysis.out_of_memory import is_out_of_memory

_log = logging.getLogger("logitscope")

_LONGEST_MESSAGE = 300


def explain(problem: BaseException, doing: str = "") -> AnalysisError:
    """Turn an exception into what a page shows, and let go of its frames.

    Parameters
    ----------
    problem : BaseException
        An :class:`~analysis.errors.AnalysisError` comes back as it is; anything else is
        logged with its traceback.
    doing : str, optional
        What was being computed, such as "reading layer 3 of 30".

    Returns
    -------
    AnalysisError
        :class:`~analysis.errors.OutOfMemoryError` when memory ran out; then call
        :func:`free_memory` once the exception itself is gone.
    """
    if isinstance(problem, AnalysisError):
        let_go(problem)
        return problem
    doing = doing.strip().rstrip(".") or "computing"
    kind, said = type(problem).__name__, _message(problem)
    with suppress(Exception):  # a log that cannot be written must not hide the problem itself
        _log.error("%s while %s\n%s", kind, doing, "".join(traceback.format_exception(problem)))
    out_of_memory = is_out_of_memory(problem)
    let_go(problem)
    if out_of_memory:
        return OutOfMemoryError(
            f"The device ran out of memory while {doing}.",
            "Shorten the text, choose a lower precision, or unload the model and try a smaller one.",
        )
    first_line = said.strip().partition("\n")[0][:_LONGEST_MESSAGE].rstrip(". \r")
    return AnalysisError(
        f"The run stopped while {doing}: {kind}{': ' if first_line else ''}{first_line}.",
        "This is probably a bug: please report it with the traceback from the app's log.",
    )


def let_go(problem: BaseException) -> None:
    """Empty the frames of an exception and of those behind it, so that no tensor stays pinned."""
    for error in list(_chain(problem)):
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None


def free_memory() -> None:
    """Return unused memory to the device; never raises."""
    gc.collect()
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is not None and cuda.is_initialized():
            cuda.empty_cache()
    except Exception:  # noqa: BLE001 - after a device error even this can fail
        _log.exception("the device's cache could not be emptied")


def _message(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception:  # noqa: BLE001 - a message that raises is still only a message
        return ""


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """Walk the exception, its causes, its contexts and the members of groups, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [problem]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        waiting += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
