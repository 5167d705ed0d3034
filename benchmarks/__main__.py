"""Every benchmark, one after the other: `python -m benchmarks [--quick] [--peers PYTHON]`, or `make bench`.

What was found replaces the part of RESULTS.md between its two marks; with --quick it is printed alone. The exit code
tells whether every limit was kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import comparison, eviction_sweep, head_memory, passes, two_heads, visual_tokens, writing
from benchmarks.harness import Report, machine

RESULTS = Path(__file__).with_name("RESULTS.md")
MARKS = "<!-- written by make bench -->", "<!-- end -->"


def page(reports: list[Report], about: str) -> str:
    """All of it as Markdown: the tables, then every limit, and which were not kept."""
    limits = [limit for report in reports for limit in report.limits]
    lost = [what for what, kept in limits if not kept]
    lines = ["## Measured by `make bench`", "", about, ""]
    lines += [line for report in reports for line in [*report.lines, ""]]
    lines += ["### Limits", "", *(f"- {what}: {'yes' if kept else 'NO'}" for what, kept in limits), ""]
    lines.append("Not won: " + "; ".join(lost) + "." if lost else "Every row is won.")
    return "\n".join(lines)


def main() -> bool:
    """Measure, print, write; False if a limit was not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short texts, one turn, RESULTS.md as it was")
    parser.add_argument("--peers", default="", help="python of the environment that `make peers` makes")
    asked = parser.parse_args()
    from analysis.models.embedded import embedded_folder

    folder, peers = (
        str(embedded_folder()),
        asked.peers if asked.peers and Path(asked.peers).exists() else None,
    )
    say: Callable[[str], None] = lambda line: print(f"  {line}", file=sys.stderr, flush=True)  # noqa: E731
    begin = time.monotonic()
    reports = [
        passes.compare(folder, peers, asked.quick, say),
        head_memory.compare(1 if asked.quick else 3),
        two_heads.compare(1 if asked.quick else 3),
        eviction_sweep.compare(folder, peers, asked.quick, say),
        writing.compare(asked.quick, say),
        comparison.compare(asked.quick, say),
        visual_tokens.compare(1 if asked.quick else 3),
    ]
    about = f"{machine()}. {time.strftime('%d %B %Y')}, {(time.monotonic() - begin) / 60:.1f} minutes in all."
    if not peers:
        about += " The peers' environment is not installed: `make peers`."
    text = page(reports, about)
    print(text)
    if not asked.quick:
        before, after = RESULTS.read_text().split(MARKS[0])
        RESULTS.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after.split(MARKS[1])[1]}")
    return all(kept for report in reports for _what, kept in report.limits)


if __name__ == "__main__":
    sys.exit(not main())
