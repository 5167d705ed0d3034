"""Command line: measure on a machine without a browser, open the file anywhere.

::

    python -m analysis trace text.txt -o run.trace
    python -m analysis show run.trace --unit bits
    python -m analysis csv run.trace -o tokens.csv

``show`` and ``csv`` need no model and no torch.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError, InvalidTextError
from analysis.files import load_trace
from analysis.forward.results import Trace
from analysis.models.spec import EMBEDDED, PRECISIONS, ModelSpec
from analysis.paths import clean_path
from analysis.token_entropy.measures import summary
from analysis.units import UNITS, Unit, from_nats

FAILED, STOPPED = 2, 130
"""Exit codes: a problem with what was asked (argparse uses 2 as well); Ctrl-C."""
_MOST_SURPRISING = 10
_LINE = 79


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; problems are told on stderr. Returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        asked.run(asked)
    except AnalysisError as problem:
        print(problem.message, problem.hint, sep="\n", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Measure a text, read the run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    trace = commands.add_parser("trace", help="measure a text and write the run to a file")
    trace.set_defaults(run=_trace)
    trace.add_argument("text", metavar="TEXTFILE", help="UTF-8 text file, or - for standard input")
    trace.add_argument("-o", "--output", type=Path, required=True, help="file to write, such as run.trace")
    trace.add_argument(
        "--model", default=EMBEDDED, help="hub id, folder or .gguf file (default: %(default)s)"
    )
    trace.add_argument("--revision", help="branch, tag or commit of a hub model")
    trace.add_argument("--adapter", help="folder or hub id of an adapter to merge into the weights")
    trace.add_argument(
        "--device", default="auto", help="auto, spread, cpu, mps, cuda or cuda:1 (default: %(default)s)"
    )
    trace.add_argument("--dtype", default="auto", choices=PRECISIONS, help="precision (default: %(default)s)")
    trace.add_argument("--lens", action="store_true", help="also read every layer with the logit lens")
    trace.add_argument("--window", type=_count, metavar="N", help="tokens per window (default: the context)")
    trace.add_argument(
        "--stride", type=_count, metavar="N", help="read a long text in windows N tokens apart"
    )
    trace.add_argument(
        "--bos",
        default="auto",
        choices=("auto", "always", "never"),
        help="beginning-of-text token (default: as the tokenizer does)",
    )
    trace.add_argument(
        "--top-k", type=_count, default=10, metavar="K", help="alternatives per token (default: %(default)s)"
    )

    show = commands.add_parser("show", help="print the numbers of a run")
    show.set_defaults(run=_show)
    table = commands.add_parser("csv", help="write one line per token")
    table.set_defaults(run=_csv)
    table.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    for command in (show, table):
        command.add_argument("trace", metavar="RUN.trace", help="file that trace wrote")
        command.add_argument("--unit", default="nats", choices=UNITS, help="(default: %(default)s)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


# --- trace --------------------------------------------------------------------------------------------


def _trace(asked: argparse.Namespace) -> None:
    spec = ModelSpec(asked.model, asked.revision, asked.device, asked.dtype, asked.adapter)
    text = _read_text(asked.text)
    _require_folder(asked.output)  # before the minutes of computing
    from transformers.utils import logging

    from analysis.forward.trace import trace
    from analysis.models.loading import load_model

    logging.disable_progress_bar()
    progress = _Progress()
    try:
        progress(0.0, f"loading {spec.name}")
        run = trace(
            load_model(spec),
            text,
            top_k=asked.top_k,
            lens=asked.lens,
            bos=asked.bos,
            stride=asked.stride,
            window=asked.window,
            on_progress=progress,
        )
    finally:
        progress.clear()
    _write(asked.output, run.save)
    for note in run.notes:
        print(f"Note: {_plain(note)}", file=sys.stderr)


class _Progress:
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


def _read_text(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(clean_path(source)).read_bytes()
        return data.decode("utf-8-sig")  # line ends as they are: a model reads them
    except OSError as error:
        raise AnalysisError(
            f"{source} cannot be read ({error.strerror}).", "Check the path, or give - for standard input."
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidTextError(
            f"The text is not UTF-8 (byte {error.start:,}).", "Convert it, for example with iconv -t UTF-8."
        ) from None


def _require_folder(output: Path) -> None:
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise AnalysisError(f"{output} cannot be written.", "Name a file in a folder that exists.")


def _write(output: Path, save: Callable[[Path], object]) -> None:
    _require_folder(output)
    try:
        save(output)
    except OSError as error:
        raise AnalysisError(
            f"{output} cannot be written ({error.strerror}).", "Choose another place."
        ) from None


# --- show and csv -------------------------------------------------------------------------------------


def _show(asked: argparse.Namespace) -> None:
    run = load_trace(asked.trace)
    print(_plain(run.spec.subtitle))
    for note in run.notes:
        print(f"  Note: {_plain(note)}")
    _print_numbers(run, asked.unit)
    print("\nChecks")
    for check in run.checks:
        sign = "passed" if check.passed else "FAILED"
        error = f"{check.error:.1e} {check.unit}".strip()
        print(f"  {sign}  {_plain(check.name)}: off by {error}, allowed {check.tolerance:.0e}")
    _print_most_surprising(run, asked.unit)


def _print_numbers(run: Trace, unit: Unit) -> None:
    numbers = summary(run.tokens)
    print(f"  {'tokens':<16} {numbers.n_tokens}, of which {numbers.n_predicted} predicted")
    print(f"  {'perplexity':<16} {numbers.perplexity:.4g}")
    print(f"  {'bits per byte':<16} {numbers.bits_per_byte:.4g}")
    for name, value in (
        ("mean surprisal", numbers.mean_surprisal),
        ("mean entropy", numbers.mean_entropy),
        ("excess", numbers.excess),
    ):
        print(f"  {name:<16} {from_nats(value, unit):.4g} {unit}")


def _print_most_surprising(run: Trace, unit: Unit) -> None:
    tokens = run.tokens
    known = np.flatnonzero(tokens.has_context)
    worst = known[np.argsort(-tokens.surprisal[known], kind="stable")][:_MOST_SURPRISING]
    print(
        f"\nMost surprising tokens\n  {'position':>8}  {unit:>6}  {'rank':>6}  token instead of first choice"
    )
    for t in worst:
        first = tokens.names[int(tokens.top_ids[t, 0])]
        surprisal = from_nats(float(tokens.surprisal[t]), unit)
        print(
            f"  {t:>8}  {surprisal:>6.2f}  {tokens.rank[t]:>6}  {_quoted(tokens.text[t])} instead of {_quoted(first)}"
        )


def _csv(asked: argparse.Namespace) -> None:
    table = load_trace(asked.trace).tokens.to_frame(asked.unit)
    _write(
        asked.output, lambda path: table.to_csv(path, index=False, lineterminator="\r\n")
    )  # so that a token "\r" is quoted


def _plain(text: str) -> str:
    """Text from a file, with everything escaped that could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _quoted(token: str) -> str:
    return f"“{_plain(token)}”"


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    sys.exit(main())
