"""Options of commands that compute: the model, and how far the work is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from analysis.models.spec import EMBEDDED, PRECISIONS, ModelSpec
from analysis.progress import Progress

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

EXTRA = "models"
"""The extra of the installation that these commands need."""
_LINE = 79


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Let a command choose the model, its device and precision, and the beginning-of-text token."""
    command.add_argument(
        "--model", default=EMBEDDED, help="hub id, folder or .gguf file (default: %(default)s)"
    )
    command.add_argument("--revision", help="branch, tag or commit of a hub model")
    command.add_argument("--adapter", help="folder or hub id of an adapter to merge into the weights")
    command.add_argument(
        "--device", default="auto", help="auto, spread, cpu, mps, cuda or cuda:1 (default: %(default)s)"
    )
    command.add_argument(
        "--dtype", default="auto", choices=PRECISIONS, help="precision (default: %(default)s)"
    )
    command.add_argument(
        "--bos",
        default="auto",
        choices=("auto", "always", "never"),
        help="beginning-of-text token (default: as the tokenizer does)",
    )


def model_spec(arguments: argparse.Namespace) -> ModelSpec:
    """The model that was asked for; no torch is needed to say it."""
    return ModelSpec(
        arguments.model, arguments.revision, arguments.device, arguments.dtype, arguments.adapter
    )


@contextmanager
def opened(spec: ModelSpec) -> Iterator[tuple[LanguageModel, Progress]]:
    """Load a model, with a line on stderr that says how far the work is and is wiped at the end."""
    from transformers.utils import logging

    from analysis.models.loading import load_model

    logging.disable_progress_bar()
    progress = _Line()
    try:
        progress(0.0, f"loading {spec.name}")
        yield load_model(spec), progress
    finally:
        progress.clear()


class _Line:
    """One line on stderr that is written over; nothing when nobody sits there."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = ""

    def __call__(self, share: float, what: str) -> None:
        line = f"{share:4.0%}  {what}"[:_LINE]
        if self._shown and line != self._last:
            print(f"\r{line:<{_LINE}}", end="", file=sys.stderr, flush=True)
            self._last = line

    def clear(self) -> None:
        if self._last:
            print(f"\r{'':<{_LINE}}\r", end="", file=sys.stderr, flush=True)
