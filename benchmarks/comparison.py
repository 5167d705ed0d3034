"""A pair of 512 tokens on the embedded model after loading: both runs with everything they measure, and what differs.

One process on two threads, as the app would compute it; what both heads cost beside one alone is in `two_heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import Report, Worker, number, serve, take_turns

TOKENS, QUICK = 512, 128
SECONDS_LIMIT = 6.0
TEXT = "The harbour was quiet that morning, and two fishermen mended a net on the wall without a word. "


def work() -> Callable[[int], str]:
    """What a process does; hands over the names of checks that failed."""
    import analysis as an

    model = an.load_model(device="cpu")
    an.compare(an.Side(model, TEXT), an.Side(model, TEXT, rounded="4-bit"))

    def pair(n: int) -> str:
        text = model.tokenizer.decode(model.tokenizer(TEXT * n)["input_ids"][:n])
        c = an.compare(an.Side(model, text), an.Side(model, text, rounded="4-bit"))
        assert c.rows is not None and len(c.rows) == n
        return ", ".join(check.name for check in c.checks if not check.passed)

    return pair


def compare(quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    report, n = Report(["### Comparing two sides\n"]), QUICK if quick else TOKENS
    with Worker("comparison") as worker:
        costs = take_turns({"pair": worker.ask}, n, 1 if quick else 3, say)["pair"]
    seconds, cpu = (
        sorted(getattr(cost, name) for cost in costs)[len(costs) // 2] for name in ("seconds", "cpu")
    )
    extra = max(cost.extra for cost in costs)
    report.lines.append(
        f"A pair of {n} tokens after loading, as they are and through a 4-bit round trip, everything measured on both "
        f"sides: {number(seconds)} s on two threads, {number(cpu)} s of CPU, {extra / 2**20:,.0f} MiB beyond the model."
    )
    report.limit(f"a pair of {n} tokens within {SECONDS_LIMIT:g} s", seconds <= SECONDS_LIMIT)
    report.limit("every check of the pair passes", not any(cost.said for cost in costs))
    return report


if __name__ == "__main__":
    serve(work())
