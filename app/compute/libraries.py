"""The large libraries, imported in a thread of their own once the server answers.

Charts need one second of imports and a model three. Side by side they slow each other down, and the first charts came
after all of them. Here they come one after the other, those of the charts first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from threading import Timer

AT_ONCE = ("pandas", "PIL.Image")
"""Before anything else runs: others take them from the list of modules without importing them, even half made."""
NAMES = ("altair", "torch", "transformers.modeling_utils")
"""In the order in which they are needed."""

_SERVER_SECONDS = 1.0
"""The server answers after about this long, and later if it has to share."""
_threads: list[Timer] = []


def import_ahead() -> None:
    """Import, some at once and the rest soon; called once, when a server starts."""
    for name in AT_ONCE:
        import_module(name)
    thread = Timer(_SERVER_SECONDS, _import)
    thread.daemon = True  # a server that is stopped does not wait for it
    _threads.append(thread)
    thread.start()


def wait(report: Callable[[float, str], None]) -> None:
    """Return when nothing is imported ahead any more.

    The worker calls it before its work: two threads that import modules which need each other may see one of them
    half made.
    """
    for thread in _threads:
        if thread.is_alive():
            report(0.0, "starting torch")
        thread.join()


def _import() -> None:
    with contextlib.suppress(Exception):  # what is missing or broken says so where it is used
        for name in NAMES:
            import_module(name)
