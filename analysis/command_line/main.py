"""Parse a command, run it, print its answer as text or as JSON."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from analysis.command_line import measure, read, report, serve, sweep
from analysis.errors import AnalysisError

FAILED, STOPPED = 2, 130
"""Exit codes: a problem with what was parsed (argparse uses 2 as well); Ctrl-C."""


class WrongArgumentsError(Exception):
    """Arguments that no command takes; ``parser`` is the one that refused them."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """Parser that raises instead of leaving, so that ``--json`` covers wrong arguments too."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise WrongArgumentsError(self, message)


def main(arguments: Sequence[str] | None = None, program: str = "logitscope") -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after the program's name; by default what this process was started with.
    program : str
        How the program was called, for its help.

    Returns
    -------
    int
        Exit code: 0, :data:`FAILED` or :data:`STOPPED`. Problems are told on stderr; with ``--json`` they are
        an object with ``error`` and ``hint`` on stdout.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in arguments
    parsed = None
    try:
        parsed = _parse(arguments, program)
        answer = parsed.run(parsed)
    except WrongArgumentsError as wrong:
        if not as_json:
            argparse.ArgumentParser.error(wrong.parser, str(wrong))
        return _problem(f"{wrong}", f"See {wrong.parser.prog} --help.", as_json)
    except AnalysisError as problem:
        return _problem(problem.message, problem.hint, as_json)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if parsed is None or package in {"", "analysis", "app"}:
            raise
        hint = f"Install Logitscope with its extra “{parsed.extra}”: pip install -e '.[{parsed.extra}]' in its folder."
        return _problem(f"This needs the package {package}, which is not installed.", hint, as_json)
    except KeyboardInterrupt:
        return _problem("Stopped.", "", as_json, STOPPED)
    if as_json:
        print(json.dumps(answer, indent=1, allow_nan=False))
    else:
        parsed.tell(answer)
    return 0


def start(program: str = "logitscope") -> NoReturn:
    """Run the command of this process and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    sys.exit(main(program=program))


def _parse(arguments: Sequence[str], program: str) -> argparse.Namespace:
    parser = Parser(prog=program, description="Measure a text, read the run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for part in (serve, measure, sweep, read, report):
        part.add_to(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print the answer, or the problem, as JSON")
    parsed, others = parser.parse_known_args(arguments)
    if others and parsed.run is not serve.run:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    parsed.others = others
    return parsed


def _problem(message: str, hint: str, as_json: bool, code: int = FAILED) -> int:
    if as_json:
        print(json.dumps({"error": message, "hint": hint}, indent=1))
    else:
        print(*filter(None, (message, hint)), sep="\n", file=sys.stderr)
    return code
