"""Memory and time of the vocabulary head: streamed by this project, and dense in float32.

Random final states and a head of SmolLM2's shape. The streamed readout has entropy, varentropy, surprisal, rank and
top 10, the dense one entropy alone; both must find the same mean entropy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.harness import Cost, Report, Worker, number, ratios, serve, take_turns

LIMIT_MIB = 300
"""The streamed readout stays below this at any length."""
SHAPE = 4096, 49152, 576
"""Tokens, vocabulary, width."""


def work_of(way: str) -> Callable[[Sequence[int]], float]:
    """What a process does for one shape; hands over the mean entropy."""
    import torch

    from analysis.forward.vocabulary_head import read_rows
    from analysis.models.anatomy import Head

    torch.set_grad_enabled(False)
    made: dict[tuple[int, ...], tuple[Head, torch.Tensor, torch.Tensor]] = {}

    def parts(n: int, vocab: int, width: int) -> tuple[Head, torch.Tensor, torch.Tensor]:
        if (n, vocab, width) not in made:
            draw = torch.Generator().manual_seed(0)
            weight = torch.randn(vocab, width, generator=draw) * 2.8 / width**0.5
            states, targets = (
                torch.randn(n, width, generator=draw),
                torch.randint(vocab, (n - 1,), generator=draw),
            )
            made[n, vocab, width] = Head(weight, None, 1.0, None), states, targets
        return made[n, vocab, width]

    def streamed(shape: Sequence[int]) -> float:
        head, states, targets = parts(*shape)
        return float(read_rows(head, states, targets, 10, lambda _rows: None).entropy.mean(dtype="float64"))

    def dense(shape: Sequence[int]) -> float:
        head, states, _targets = parts(*shape)
        log_probs = (states @ head.weight.T).log_softmax(-1)
        return float(-(log_probs.exp() * log_probs).sum(-1).double().mean())

    parts(*SHAPE)  # weights and states are in memory before
    return {"streamed": streamed, "dense": dense}[way]


def measure(ways: Sequence[str], turns: int) -> dict[str, list[Cost]]:
    """The ways in turns."""
    workers = {way: Worker("head_memory", way) for way in ways}
    try:
        for worker in workers.values():
            worker.wait()
        return take_turns({way: worker.ask for way, worker in workers.items()}, SHAPE, turns)
    finally:
        for worker in workers.values():
            worker.close()


def compare(turns: int) -> Report:
    """Measure, and say what it means."""
    found = measure(("streamed", "dense"), turns)
    mib = {way: max(cost.extra for cost in costs) / 2**20 for way, costs in found.items()}
    entropy = {way: costs[0].said for way, costs in found.items()}
    assert abs(entropy["streamed"] - entropy["dense"]) < 1e-4, entropy
    seconds, cpu = ratios(found["streamed"], found["dense"])
    n, vocab, width = SHAPE
    report = Report(["### The vocabulary head alone\n"])
    report.lines.append(
        f"{n:,} rows, {vocab:,} words, width {width}: streamed {mib['streamed']:,.0f} MiB, dense {mib['dense']:,.0f} MiB; "
        f"streamed / dense {number(mib['streamed'] / mib['dense'])} in memory, {seconds} in time, {cpu} in CPU time."
    )
    report.limit(f"streamed head below {LIMIT_MIB} MiB", mib["streamed"] < LIMIT_MIB)
    return report


if __name__ == "__main__":
    serve(work_of(sys.argv[1]))
