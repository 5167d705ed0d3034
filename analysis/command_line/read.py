"""``show`` and ``csv``: read a run from its file. They need no model and no torch."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from analysis.command_line.values import for_json, plain, write
from analysis.results.trace import Trace
from analysis.results.trace_file import load_trace
from analysis.token_entropy.measures import summary
from analysis.units import UNITS, Unit, from_nats

_MOST_SURPRISING = 10


def add_to(commands: Any) -> None:
    """Add both commands."""
    show: argparse.ArgumentParser = commands.add_parser("show", help="print the numbers of a run")
    show.set_defaults(run=_show, tell=_print)
    table: argparse.ArgumentParser = commands.add_parser("csv", help="write one line per token")
    table.set_defaults(run=_csv, tell=lambda _answer: None)
    table.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    for command in (show, table):
        command.set_defaults(extra="all")
        command.add_argument("trace", metavar="RUN.trace", help="file that trace wrote")
        command.add_argument("--unit", default="nats", choices=UNITS, help="(default: %(default)s)")


def report(run: Trace, unit: Unit) -> dict[str, Any]:
    """What ``show`` says of a run, as plain values; ``null`` where there is no number.

    Parameters
    ----------
    run : Trace
        The run.
    unit : {"nats", "bits"}
        Unit of ``mean_surprisal``, ``mean_entropy``, ``excess`` and of the surprisal of tokens. Checks carry a unit
        of their own.
    """
    numbers, tokens = summary(run.tokens), run.tokens
    known = np.flatnonzero(tokens.has_context)
    worst = known[np.argsort(-tokens.surprisal[known], kind="stable")][:_MOST_SURPRISING]
    answer = {
        "subtitle": run.spec.subtitle,
        "spec": asdict(run.spec),
        "unit": unit,
        "numbers": {
            "tokens": numbers.n_tokens,
            "predicted": numbers.n_predicted,
            "perplexity": numbers.perplexity,
            "bits_per_byte": numbers.bits_per_byte,
            "mean_surprisal": from_nats(numbers.mean_surprisal, unit),
            "mean_entropy": from_nats(numbers.mean_entropy, unit),
            "excess": from_nats(numbers.excess, unit),
        },
        "checks": [asdict(check) | {"passed": check.passed} for check in run.checks],
        "unavailable": run.unavailable,
        "notes": list(run.notes),
        "most_surprising": [
            {
                "position": t,
                "surprisal": from_nats(float(tokens.surprisal[t]), unit),
                "rank": tokens.rank[t],
                "token": tokens.text[t],
                "first_choice": tokens.names[int(tokens.top_ids[t, 0])],
            }
            for t in worst
        ],
    }
    return dict(for_json(answer))


def _show(arguments: argparse.Namespace) -> dict[str, Any]:
    return report(load_trace(arguments.trace), arguments.unit)


def _print(answer: dict[str, Any]) -> None:
    numbers, unit = answer["numbers"], answer["unit"]
    print(plain(answer["subtitle"]))
    print(f"  {'tokens':<16} {numbers['tokens']}, of which {numbers['predicted']} predicted")
    for name, of in (
        ("perplexity", ""),
        ("bits_per_byte", ""),
        ("mean_surprisal", unit),
        ("mean_entropy", unit),
        ("excess", unit),
    ):
        value = numbers[name]
        shown = "not available" if value is None else f"{value:.4g} {of}".strip()
        print(f"  {name.replace('_', ' '):<16} {shown}")
    for note in answer["notes"]:
        print(f"  Note: {plain(note)}")
    print_checks(answer["checks"])
    print(
        f"\nMost surprising tokens\n  {'position':>8}  {unit:>6}  {'rank':>6}  token instead of first choice"
    )
    for row in answer["most_surprising"]:
        token, first = plain(row["token"]), plain(row["first_choice"])
        print(
            f"  {row['position']:>8}  {row['surprisal']:>6.2f}  {row['rank']:>6}  “{token}” instead of “{first}”"
        )


def print_checks(checks: list[dict[str, Any]]) -> None:
    """Print what a run checked of itself, one line each."""
    print("\nChecks")
    for check in checks:
        sign = "passed" if check["passed"] else "FAILED"
        error = "not a number" if check["error"] is None else f"{check['error']:.1e} {check['unit']}".strip()
        print(f"  {sign}  {plain(check['name'])}: off by {error}, allowed {check['tolerance']:.0e}")


def _csv(arguments: argparse.Namespace) -> dict[str, Any]:
    table = load_trace(arguments.trace).tokens.to_frame(arguments.unit)
    # lines end as RFC 4180 says, so that a token which is a carriage return is quoted
    write(arguments.output, lambda path: table.to_csv(path, index=False, lineterminator="\r\n"))
    return {"file": str(arguments.output), "rows": len(table), "columns": list(table.columns)}
