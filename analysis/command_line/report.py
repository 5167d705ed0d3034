"""``report`` and ``view``: a result's file as one HTML file, or in the browser. They need no model and no torch."""

from __future__ import annotations

import argparse
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from analysis.command_line.values import plain, require_folder, write
from analysis.reports.report import open_result
from analysis.reports.report import report as report_of
from analysis.units import UNITS


def add_to(commands: Any) -> None:
    """Add both commands."""
    report: argparse.ArgumentParser = commands.add_parser(
        "report", help="write a result's file as one HTML file"
    )
    report.set_defaults(run=_report, tell=_tell)
    report.add_argument("-o", "--output", type=Path, required=True, help="file to write, such as run.html")
    view: argparse.ArgumentParser = commands.add_parser("view", help="show a result's file in the browser")
    view.set_defaults(run=_view, tell=_tell)
    for command in (report, view):
        command.set_defaults(extra="all")
        command.add_argument("file", metavar="FILE", help="file that was saved here, such as run.trace")
        command.add_argument("--unit", default="nats", choices=UNITS, help="(default: %(default)s)")


def _report(arguments: argparse.Namespace) -> dict[str, Any]:
    require_folder(arguments.output)
    made = report_of(open_result(arguments.file), unit=arguments.unit)
    write(arguments.output, made.save)
    return {"file": str(arguments.output), "bytes": len(made.html.encode())}


def _view(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the report where temporary files are, for as long as the browser may need it, and open it."""
    made = report_of(open_result(arguments.file), unit=arguments.unit)
    target = Path(tempfile.mkdtemp(prefix="logitscope-")) / "report.html"
    write(target, made.save)
    return {"file": str(target), "opened": webbrowser.open(target.as_uri())}


def _tell(answer: dict[str, Any]) -> None:
    told = f"{answer['file']}" if answer.get("opened", True) else f"Open {answer['file']} in a browser."
    print(plain(told))
