"""A whole run beside a plain forward and beside what one would pick instead, from 256 to 16,384 tokens.

The ways take turns at every length. Where a way is not measured any more its length comes from the growth over its
last two lengths: until a pass would take ten minutes, or more memory than the machine has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.harness import Cost, Report, Spread, Worker, growth, number, ratios, reach, take_turns

TURNS = {256: 2, 512: 4, 1024: 2, 2048: 1, 4096: 1, 8192: 1, 16384: 1}
QUICK = {128: 1, 256: 1, 512: 1}
PAGES = (32, 128, 512)
TIME_LIMIT, PAGE_LIMIT = 600.0, 512 << 20
"""Seconds that somebody waits for one text; bytes of a script that Chromium still reads as one string."""
BUDGET = 640.0
"""Seconds for all passes but those of pages; one that would exceed them is left out."""
BESIDE = 512, 1024, 2048
"""Lengths at which the ways are shown side by side."""
WHAT = {
    "run": "everything this project measures, spectra included",
    "forward": "logits, nothing done with them",
    "dense": "entropy, surprisal, rank and top 10 from whole logits",
    "eager": "every attention map kept, four numbers per head from it",
    "TransformerLens": "`run_with_cache`: all activations, nothing reduced",
    "BertViz": "`head_view`: all attention as one page",
}
MOST = {"run": 16384, "forward": 8192, "dense": 4096, "eager": 2048, "TransformerLens": 1024}
ONLY = {"run without spectra": (512,)}
RUN_LIMIT, SPECTRA_LIMIT, FIRST_LIMIT, MEMORY_LIMIT = 1.5, 0.15, 3.0, 0.4e9


@dataclass
class Measured:
    """Costs of one way by number of tokens."""

    costs: dict[int, list[Cost]] = field(default_factory=dict)

    def middle(self, n: int, what: str = "seconds") -> float:
        """Median of one length."""
        return Spread.of([getattr(cost, what) for cost in self.costs[n]]).middle

    def series(self, what: str) -> tuple[list[int], list[float]]:
        """Lengths and medians; of memory the highest, at least 1 MiB."""
        if what == "extra":
            return list(self.costs), [max(2**20, *(c.extra for c in costs)) for costs in self.costs.values()]
        return list(self.costs), [self.middle(n, what) for n in self.costs]

    def ahead(self, n: int) -> float:
        """Seconds that a longer length will take, as it grew over the last two; as a square before these."""
        lengths, amounts = self.series("seconds")
        exponent = growth(lengths[-2:], amounts[-2:]) if len(lengths) > 1 else 2.0
        return amounts[-1] * (n / lengths[-1]) ** exponent

    def exponent(self, what: str) -> str:
        """Of the growth, fitted over all lengths."""
        lengths, amounts = self.series(what)
        return f"{growth(lengths, amounts):.2f}" if len(lengths) > 1 else ""

    def stops(self, memory: int) -> str:
        """Length at which a pass takes too long or too much, and which of the two."""
        if len(self.costs) < 2:
            return ""
        lengths, cpu = self.series("cpu")  # grows alike and bears other work better than a clock
        by_time = reach(lengths, cpu, TIME_LIMIT * cpu[-1] / self.middle(lengths[-1]))
        model = min(c.peak - c.extra for costs in self.costs.values() for c in costs)
        by_memory = reach(*self.series("extra"), memory - model)
        ends = {by_time: "time", by_memory: "memory"}
        pages = [
            (n, c[0].said["bytes"])
            for n, c in self.costs.items()
            if isinstance(c[0].said, dict) and "bytes" in c[0].said
        ]
        if len(pages) > 1:
            ends[reach([n for n, _ in pages], [size for _, size in pages], PAGE_LIMIT)] = "size of the page"
        return f"about {rounded(min(ends))} ({ends[min(ends)]})"


def rounded(value: float) -> str:
    """Two digits."""
    return f"{float(f'{value:.1e}'):,.0f}"


def measure(
    folder: str, peers: str | None, turns: dict[int, int], report: Report, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Every way at every length it is asked for."""
    found = {way: Measured() for way in ("run", "run without spectra", *list(MOST)[1:])}
    if not peers:
        del found["TransformerLens"]
    workers = {
        way: Worker("ways", way, folder, **({"python": peers} if way == "TransformerLens" else {}))
        for way in found
    }
    begin = time.monotonic()
    try:
        for worker in workers.values():
            worker.wait()
        first = workers["run"].ask(256)
        say(f"first run of a process, 256 tokens: {first.seconds:.2f} s")
        report.lines.append(
            f"First run of a process, 256 tokens: {first.seconds:.2f} s, {first.cpu:.2f} s of CPU.\n"
        )
        report.limit(f"first run of a process below {FIRST_LIMIT:g} s", first.seconds < FIRST_LIMIT)
        for n, count in turns.items():
            ways = {}
            for way, measured in found.items():
                asked = n in ONLY[way] if way in ONLY else n <= MOST[way]
                last = list(measured.costs)[-1:]
                left = begin + BUDGET - time.monotonic()
                if asked and last and measured.ahead(n) > left:
                    say(f"{way}, {n}: left out, {left:.0f} s are left")
                elif asked:
                    ways[way] = partial(workers[way].ask, most=BUDGET)
            for way, costs in take_turns(ways, n, count, say).items():
                if costs:
                    found[way].costs[n] = costs
    finally:
        for worker in workers.values():
            worker.close()
    if peers:
        found["BertViz"] = Measured()
        with Worker("ways", "BertViz", folder, python=peers) as worker:
            for n in PAGES:
                costs = take_turns({"BertViz": partial(worker.ask, most=TIME_LIMIT / 4)}, n, 1, say)[
                    "BertViz"
                ]
                if not costs:
                    break
                found["BertViz"].costs[n] = costs
    return found


def compare(folder: str, peers: str | None, quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    report = Report(["### Passes over a text\n"])
    turns = QUICK if quick else TURNS
    found = measure(folder, peers, turns, report, say)
    run, forward, plain = found["run"], found["forward"], found["run without spectra"]
    rows = []
    for n, costs in run.costs.items():
        beyond = max(cost.extra for cost in costs)
        row = [
            f"{n:,}",
            str(len(costs)),
            number(run.middle(n)),
            number(run.middle(n, "cpu")),
            f"{beyond / 2**20:,.0f}",
        ]
        if n in forward.costs:
            seconds, cpu = ratios(costs, forward.costs[n])
            row += [str(seconds), str(cpu)]
            if n in (512, 2048, 8192):
                report.limit(
                    f"whole run at most {RUN_LIMIT} times a forward with logits at {n:,} tokens",
                    seconds.middle <= RUN_LIMIT,
                )
        if n == 8192:
            report.limit(
                f"less than {MEMORY_LIMIT / 1e9:g} GB beyond the model at {n:,} tokens", beyond < MEMORY_LIMIT
            )
        rows.append(row + [""] * (7 - len(row)))
    report.lines.append(
        "Whole run (tokens, attention of every head, spectra of every layer) over a forward with logits, turn by turn:"
    )
    report.table(
        [
            "tokens",
            "turns",
            "seconds",
            "CPU seconds",
            "MiB beyond the model",
            "/ forward, time",
            "/ forward, CPU",
        ],
        rows,
    )
    report.lines.append(
        f"Growth of a run over these lengths: tokens^{run.exponent('seconds')} in time, "
        f"tokens^{run.exponent('cpu')} in CPU time, tokens^{run.exponent('extra')} in memory beyond the model."
    )
    at = ONLY["run without spectra"][0]
    if plain.costs:
        share = Spread.of([1 - b.cpu / a.cpu for a, b in zip(run.costs[at], plain.costs[at], strict=False)])
        report.lines.append(f"Spectra take {share} of the CPU time of a run at {at} tokens.")
        report.limit(
            f"spectra under {SPECTRA_LIMIT:.0%} of a run at {at} tokens", share.middle < SPECTRA_LIMIT
        )
    instead(report, found)
    return report


def instead(report: Report, found: dict[str, Measured]) -> None:
    """The tables of what one would use instead: every length at which it was measured in turn with a run."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    run, lengths = found["run"], [n for n in BESIDE if n in found["run"].costs]
    rows, ends = [], []
    for way, what in WHAT.items():
        if way not in found:
            rows.append([way, "not installed"])
            continue
        measured = found[way]
        exponents = [measured.exponent(which) for which in ("seconds", "cpu", "extra")]
        ends.append([way, what, *exponents, f"{max(measured.costs, default=0):,}", measured.stops(memory)])
        for n in lengths:
            if n not in measured.costs:
                continue
            costs, extra = measured.costs[n], max(c.extra for c in measured.costs[n])
            seconds, cpu = ratios(costs, run.costs[n])
            cells = [number(measured.middle(n)), str(seconds), str(cpu), f"{extra / 2**20:,.0f}"]
            rows.append([way, f"{n:,}", *cells])
            if way not in ("run", "forward"):
                report.limit(f"a run faster than {way} at {n:,} tokens", seconds.middle > 1)
                less = extra > max(c.extra for c in run.costs[n])
                report.limit(f"a run smaller than {way} at {n:,} tokens", less)
    report.lines.append("What one would use instead, in turns with a run:")
    head = ["way", "tokens", "seconds", "/ run, time", "/ run, CPU", "MiB beyond the model"]
    report.table(head, [row + [""] * (len(head) - len(row)) for row in rows])
    report.lines.append(
        f"Growth over all lengths measured, and where it stops: one pass takes {TIME_LIMIT / 60:.0f} minutes, or more than the "
        f"{memory / 1e9:.0f} GB of this machine; computed from the last two lengths measured."
    )
    head = ["way", "what one gets", "exponent of time", "of CPU time", "of memory", "measured to", "stops at"]
    report.table(head, ends)
    if "BertViz" in found:
        pages = [
            [f"{n:,}", number(c[0].seconds), f"{c[0].said['bytes'] / 1e6:,.1f}", f"{c[0].extra / 2**20:,.0f}"]
            for n, c in found["BertViz"].costs.items()
        ]
        if len(pages) < len(PAGES):
            pages.append([f"{PAGES[len(pages)]:,}", f"stopped after {TIME_LIMIT / 4:.0f}", "", ""])
        report.lines.append("BertViz's page:")
        report.table(["tokens", "seconds", "MB of HTML", "MiB beyond the model"], pages)
