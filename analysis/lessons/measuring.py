"""One run of a lesson's text, and the stored ones.

``python -m analysis.lessons.store`` measures the stored ones again and writes the files.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.results.trace_file import load_trace

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.progress import Progress
    from analysis.results.trace import Trace

STORED = Path(__file__).parent / "stored"
FEWEST = 24
"""Tokens that a text must have: with fewer, a mean over them says little."""


def read(model: LanguageModel | None, text: str, on_progress: Progress) -> Trace:
    """Read a lesson's text as every page does, without the lens.

    Raises
    ------
    AnalysisError
        If it has too few tokens for a lesson, or cannot be read.
    """
    from analysis.forward.trace import trace

    assert model is not None
    found = trace(model, text, on_progress=on_progress)
    if len(found.tokens) < FEWEST:
        raise AnalysisError(
            f"The text has {len(found.tokens)} tokens.", f"A lesson needs {FEWEST} or more: add a sentence."
        )
    return found


@cache
def stored_run(name: str) -> Trace:
    """A run that is stored with the lessons."""
    return load_trace(STORED / f"{name}.trace")


def store_run(found: Trace, name: str) -> None:
    """Write a run without what no lesson draws."""
    STORED.mkdir(exist_ok=True)
    replace(found, final_states=None).save(STORED / f"{name}.trace")
