"""Running out of memory: known from whatever was raised, and said in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from analysis.errors import OutOfMemoryError

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
"""Of CUDA, Metal, torch's allocator of the CPU, the operating system, C++ and cuBLAS."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; torch is not imported to know.

    Notes
    -----
    On the CPU torch raises a plain RuntimeError, and safetensors an exception of its own.
    """
    of_torch = getattr(sys.modules.get("torch"), "OutOfMemoryError", ())
    if isinstance(error, (MemoryError, of_torch)):
        return True
    if not (isinstance(error, (RuntimeError, OSError)) or type(error).__name__ == "SafetensorError"):
        return False
    try:
        said = str(error).lower()
    except Exception:  # noqa: BLE001 - a message that raises says nothing
        return False
    return any(words in said for words in _WORDS)


@contextmanager
def when_memory_runs_out(refusal: OutOfMemoryError) -> Iterator[None]:
    """Raise one clear error instead of the library's where memory runs out; others pass.

    Parameters
    ----------
    refusal : OutOfMemoryError
        What is raised then.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise refusal from error
