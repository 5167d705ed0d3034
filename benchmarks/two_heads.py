"""Memory and time of two vocabulary heads side by side, against one head's readout.

Random final states and heads of SmolLM2's shape. The reduction of both must find the entropy that the readout of one
finds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.harness import Cost, Report, Worker, number, ratios, serve, take_turns

LIMIT_MIB = 430
"""Beyond the models, at any length: 450 MB."""
LIMIT_RATIO = 5.0
"""CPU time over that of one head's readout."""
SHAPES = (512, 49152, 576), (2048, 49152, 576), (8000, 49152, 576)
"""Tokens, vocabulary, width."""


def work_of(way: str) -> Callable[[Sequence[int]], float]:
    """What a process does for one shape; hands over the mean entropy of side A."""
    import torch

    from analysis.comparison.results import VocabularyMatch
    from analysis.comparison.two_heads import HeadStates, compare_rows
    from analysis.forward.vocabulary_head import read_rows
    from analysis.models.anatomy import Head

    torch.set_grad_enabled(False)
    draw = torch.Generator().manual_seed(0)
    most, vocab, width = SHAPES[-1]
    heads = [
        Head(torch.randn(vocab, width, generator=draw) * 2.8 / width**0.5, None, 1.0, None) for _ in "ab"
    ]
    states = [torch.randn(most, width, generator=draw) for _ in "ab"]
    targets = torch.randint(vocab, (most,), generator=draw)
    match = VocabularyMatch("identical", "", None, vocab)

    def compared(shape: Sequence[int]) -> float:
        n = shape[0]
        a, b = (HeadStates(head, rows[:n]) for head, rows in zip(heads, states, strict=True))
        rows = compare_rows(a, b, targets[:n], targets[:n], match, 10, lambda _rows: None)
        return float(rows.entropy_a.mean(dtype="float64"))

    def one(shape: Sequence[int]) -> float:
        n = shape[0]
        return float(
            read_rows(heads[0], states[0][:n], targets[:n], 10, lambda _rows: None).entropy.mean(
                dtype="float64"
            )
        )

    return {"compared": compared, "one head": one}[way]


def measure(ways: Sequence[str], turns: int) -> dict[str, list[list[Cost]]]:
    """Per way and shape, the ways in turns."""
    workers = {way: Worker("two_heads", way) for way in ways}
    try:
        for worker in workers.values():
            worker.wait()
        found = [
            take_turns({way: worker.ask for way, worker in workers.items()}, shape, turns) for shape in SHAPES
        ]
        return {way: [of_shape[way] for of_shape in found] for way in ways}
    finally:
        for worker in workers.values():
            worker.close()


def compare(turns: int) -> Report:
    """Measure, and say what it means."""
    found = measure(("compared", "one head"), turns)
    report = Report(["### Two vocabulary heads side by side\n"])
    for shape, both, one in zip(SHAPES, found["compared"], found["one head"], strict=True):
        assert abs(both[0].said - one[0].said) < 1e-4, (both[0].said, one[0].said)
        mib = max(cost.extra for cost in both) / 2**20
        seconds, cpu = ratios(both, one)
        report.lines.append(
            f"{shape[0]:,} rows, {shape[1]:,} words, width {shape[2]}: {number(both[0].seconds)} s, {mib:,.0f} MiB; "
            f"over one head's readout {seconds} in time, {cpu} in CPU time."
        )
        report.limit(f"two heads below {LIMIT_MIB} MiB at {shape[0]:,} rows", mib < LIMIT_MIB)
        report.limit(
            f"two heads at most {LIMIT_RATIO} readouts at {shape[0]:,} rows", cpu.middle <= LIMIT_RATIO
        )
    return report


if __name__ == "__main__":
    serve(work_of(sys.argv[1]))
