"""``sweep``: prune the cache of a context in many ways, print one row per setting or write them as CSV."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.command_line.models import EXTRA, add_model_options, model_spec, opened
from analysis.command_line.read import print_checks
from analysis.command_line.values import for_json, plain, positive, read_text, require_folder, write
from analysis.errors import AnalysisError
from analysis.units import UNITS, table_in

_PRINTED = ("policy", "kept", "seed", "kv_budget", "nll", "delta_nll", "kl", "top1_agreement", "answer_logp")


def add_to(commands: Any) -> None:
    """Add the command."""
    sweep: argparse.ArgumentParser = commands.add_parser(
        "sweep",
        help="evict parts of a context's cache in many ways, print what is lost",
        epilog="Texts are read word for word: begin a continuation or an answer with its space.",
    )
    sweep.set_defaults(run=run, tell=_print, extra=EXTRA)
    context = sweep.add_mutually_exclusive_group(required=True)
    context.add_argument(
        "file", nargs="?", metavar="CONTEXTFILE", help="UTF-8 text file, or - for standard input"
    )
    context.add_argument("--context", metavar="TEXT", help="the context itself")
    rest = sweep.add_mutually_exclusive_group()
    rest.add_argument("--continuation", metavar="TEXT", default="", help="what follows the context")
    rest.add_argument("--continuation-file", metavar="FILE", help="a file with what follows")
    sweep.add_argument(
        "--answer", metavar="TEXT", default="", help="read last; its log-probability is summed"
    )
    sweep.add_argument(
        "--policies", type=_names, metavar="A,B", help="names of methods (default: six common ones)"
    )
    sweep.add_argument("--kept", type=_shares, metavar="0.5,0.1", help="shares of the context KEPT, above 0")
    sweep.add_argument(
        "--seeds",
        type=positive,
        default=5,
        metavar="N",
        help="draws of a random method (default: %(default)s)",
    )
    sweep.add_argument("--unit", default="nats", choices=UNITS, help="(default: %(default)s)")
    sweep.add_argument("--csv", type=Path, metavar="FILE", help="write the table with all its columns")
    add_model_options(sweep)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the sweep; the answer holds one row per setting, setting 0 being the full cache."""
    spec = model_spec(arguments)
    context, continuation = _texts(arguments)
    if arguments.csv is not None:
        require_folder(arguments.csv)
    from analysis.pruning_effects.eviction.policies import policy

    choices: dict[str, Any] = {}
    if arguments.policies is not None:
        choices["policies"] = [policy(name) for name in arguments.policies]
    if arguments.kept is not None:
        choices["kept"] = arguments.kept
    with opened(spec) as (model, progress):
        from analysis.pruning_effects.eviction.sweep import sweep_eviction

        sweep = sweep_eviction(
            model,
            context,
            continuation,
            answer=arguments.answer,
            seeds=arguments.seeds,
            bos=arguments.bos,
            on_progress=progress,
            **choices,
        )
        from analysis.pruning_effects.eviction.results import INFORMATION

    table = table_in(sweep.to_frame(), INFORMATION, arguments.unit)
    if arguments.csv is not None:
        write(arguments.csv, lambda path: table.to_csv(path, index=False, lineterminator="\n"))
    return dict(
        for_json(
            {
                "file": None if arguments.csv is None else str(arguments.csv),
                "subtitle": sweep.spec.subtitle,
                "spec": asdict(sweep.spec),
                "unit": arguments.unit,
                "rows": table.to_dict("records"),
                "skipped": sweep.skipped,
                "checks": [asdict(check) | {"passed": check.passed} for check in sweep.checks],
            }
        )
    )


def _texts(arguments: argparse.Namespace) -> tuple[str, str]:
    if arguments.file == "-" and arguments.continuation_file == "-":
        raise AnalysisError(
            "Standard input can hold the context or the continuation, not both.", "Put one of them in a file."
        )
    context = arguments.context if arguments.file is None else read_text(arguments.file)
    rest = (
        arguments.continuation
        if arguments.continuation_file is None
        else read_text(arguments.continuation_file)
    )
    return context, rest


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _shares(text: str) -> list[float]:
    shares = [float(part) for part in text.split(",") if part.strip()]
    if not shares or not all(0 < share <= 1 for share in shares):
        raise argparse.ArgumentTypeError("must be shares above 0 and at most 1, such as 0.5,0.1")
    return shares


def _print(answer: dict[str, Any]) -> None:
    if answer["file"] is None:
        import pandas as pd

        from analysis.pruning_effects.eviction.results import INFORMATION

        names = {name: f"{name}_{answer['unit']}" if name in INFORMATION else name for name in _PRINTED}
        table = pd.DataFrame(answer["rows"])
        shown = [column for column in names.values() if column in table]
        print(plain(answer["subtitle"]))
        print(table[shown].to_string(index=False, float_format="{:.4g}".format, na_rep="not available"))
        print_checks(answer["checks"])
    for what, why in answer["skipped"].items():
        print(f"Not run: {plain(what)}: {plain(why)}", file=sys.stderr)
