"""``trace``: measure a text and write the run to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from analysis.command_line.models import EXTRA, add_model_options, model_spec, opened
from analysis.command_line.read import report
from analysis.command_line.values import plain, positive, read_text, require_folder, write


def add_to(commands: Any) -> None:
    """Add the command."""
    trace: argparse.ArgumentParser = commands.add_parser(
        "trace", help="measure a text and write the run to a file"
    )
    trace.set_defaults(run=run, tell=_tell_notes, extra=EXTRA)
    trace.add_argument("text", metavar="TEXTFILE", help="UTF-8 text file, or - for standard input")
    trace.add_argument("-o", "--output", type=Path, required=True, help="file to write, such as run.trace")
    add_model_options(trace)
    trace.add_argument("--lens", action="store_true", help="also read every layer with the logit lens")
    trace.add_argument(
        "--window", type=positive, metavar="N", help="tokens per window (default: the context)"
    )
    trace.add_argument(
        "--stride", type=positive, metavar="N", help="read a long text in windows N tokens apart"
    )
    trace.add_argument(
        "--top-k",
        type=positive,
        default=10,
        metavar="K",
        help="alternatives per token (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and write; the answer is what ``show`` says of the file, in nats."""
    spec = model_spec(arguments)
    text = read_text(arguments.text)
    require_folder(arguments.output)
    with opened(spec) as (model, progress):
        from analysis.forward.trace import trace

        run = trace(
            model,
            text,
            top_k=arguments.top_k,
            lens=arguments.lens,
            bos=arguments.bos,
            stride=arguments.stride,
            window=arguments.window,
            on_progress=progress,
        )
    write(arguments.output, run.save)
    return {"file": str(arguments.output), **report(run, "nats")}


def _tell_notes(answer: dict[str, Any]) -> None:
    """The file is the answer; what should be known of the text and the model goes to stderr."""
    for note in answer["notes"]:
        print(f"Note: {plain(note)}", file=sys.stderr)
