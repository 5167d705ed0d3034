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

TURNS = {256: 3, 512: 5, 1024: 2, 2048: 3, 4096: 1, 8192: 1, 16384: 1}
QUICK = {128: 1, 256: 1, 512: 1}
PAGES = (32, 128, 512)
TIME_LIMIT, PAGE_LIMIT = 600.0, 512 << 20
"""Seconds that somebody waits for one text; bytes of a script that Chromium still reads as one string."""
BUDGET = 620.0
"""Seconds for all passes but those of pages; one that would exceed them is left out."""
WHAT = {
    "run": "everything this project measures, spectra included",
    "forward": "logits, nothing done with them",
    "dense": "entropy, surprisal, rank and top 10 from whole logits",
    "eager": "every attention map kept, four numbers per head from it",
    "TransformerLens": "`run_with_cache`: all activations, nothing reduced",
    "BertViz": "`head_view`: all attention as one page",
}
MOST = {"run": 16384, "forward": 8192, "dense": 2048, "eager": 1024, "TransformerLens": 1024}
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

    def exponent(self, what: str) -> str:
        """Of the growth, fitted over all lengths."""
        lengths, amounts = self.series(what)
        return f"{growth(lengths, amounts):.2f}" if len(lengths) > 1 else ""

    def stops(self, memory: int) -> str:
        """Length at which a pass takes too long or too much, and which of the two."""
        if len(self.costs) < 2:
            return ""
        by_time = reach(*self.series("seconds"), TIME_LIMIT)
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
            f"First run of a process, 256 tokens: {first.seconds:.2f} s, {first.cpu:.2f} s of CPU."
        )
        report.limit(f"first run of a process below {FIRST_LIMIT:g} s", first.seconds < FIRST_LIMIT)
        for n, count in turns.items():
            ways = {}
            for way, measured in found.items():
                asked = n in ONLY[way] if way in ONLY else n <= MOST[way]
                last = list(measured.costs)[-1:]
                left = begin + BUDGET - time.monotonic()
                if asked and last and measured.middle(last[0]) * (n / last[0]) ** 1.8 > left:
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
                costs = take_turns({"BertViz": partial(worker.ask, most=TIME_LIMIT / 2)}, n, 1, say)[
                    "BertViz"
                ]
                if not costs:
                    break
                found["BertViz"].costs[n] = costs
    return found


def compare(folder: str, peers: str | None, quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    report = Report(["## Passes over a text\n"])
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
    at = 512
    if plain.costs:
        share = Spread.of([1 - b.cpu / a.cpu for a, b in zip(run.costs[at], plain.costs[at], strict=False)])
        report.lines.append(f"Spectra take {share} of the CPU time of a run at {at} tokens.")
        report.limit(
            f"spectra under {SPECTRA_LIMIT:.0%} of a run at {at} tokens", share.middle < SPECTRA_LIMIT
        )
    beside(report, found, at)
    return report


def beside(report: Report, found: dict[str, Measured], at: int) -> None:
    """The table of what one would pick instead."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    run = found["run"]
    rows = []
    for way, what in WHAT.items():
        if way not in found:
            rows.append([way, what, *["not installed"] * 2, *[""] * 4])
            continue
        measured = found[way]
        if at not in measured.costs:
            rows.append([way, what, "stopped", "", "", "", "", measured.stops(memory)])
            continue
        costs = measured.costs[at]
        seconds, cpu = ratios(costs, run.costs[at])
        exponents = f"{measured.exponent('seconds')} / {measured.exponent('extra')}"
        rows.append(
            [way, what, number(measured.middle(at)), str(seconds), str(cpu), f"{max(c.extra for c in costs) / 2**20:,.0f}",
             exponents, measured.stops(memory)]
        )  # fmt: skip
        if way not in ("run", "forward"):
            report.limit(f"a run faster than {way} at {at} tokens", seconds.middle > 1)
            report.limit(
                f"a run smaller than {way} at {at} tokens",
                max(c.extra for c in costs) > max(c.extra for c in run.costs[at]),
            )
    report.lines.append(
        f"\nAt {at} tokens. It stops where one pass takes {TIME_LIMIT / 60:.0f} minutes or the {memory / 1e9:.0f} GB of this machine: "
        "computed from the growth over the last two lengths measured, "
        + ", ".join(f"{way} {max(m.costs):,}" for way, m in found.items() if m.costs and way in WHAT)
        + "."
    )
    report.table(
        [
            "way",
            "what one gets",
            "seconds",
            "/ run, time",
            "/ run, CPU",
            "MiB beyond the model",
            "exponent, time / memory",
            "stops at",
        ],
        rows,
    )
    if "BertViz" in found:
        pages = [
            [f"{n:,}", number(c[0].seconds), f"{c[0].said['bytes'] / 1e6:,.1f}", f"{c[0].extra / 2**20:,.0f}"]
            for n, c in found["BertViz"].costs.items()
        ]
        report.lines.append("BertViz's page:")
        report.table(["tokens", "seconds", "MB of HTML", "MiB beyond the model"], pages)
