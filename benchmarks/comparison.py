"""A pair of 512 tokens on the embedded model, and both vocabulary heads streamed beside one head's readout.

The ways take turns in one process of one thread, so a ratio is of the same machine at the same time; its memory is that
beyond the model and the states. The pair is a process of its own on two threads, as the app would be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Report, Worker, number, ratios, serve, take_turns

TOKENS = (512, 8000)
QUICK = (128,)
TIMES_LIMIT, MEMORY_LIMIT, PAIR_LIMIT = 5.0, 450 << 20, 6.0
PAIR_TOKENS = 512


def work_of(way: str) -> Callable[[dict[str, Any]], Any]:
    """What a process does."""
    import torch

    import analysis as an
    from analysis.comparison.results import VocabularyMatch
    from analysis.comparison.two_heads import HeadStates, compare_rows
    from analysis.forward.vocabulary_head import read_rows

    model = an.load_model(device="cpu")
    head = model.anatomy.head
    if way == "pair":
        text = (
            "The harbour was quiet that morning, and two fishermen mended a net on the wall without a word. "
        )
        an.compare(an.Side(model, text), an.Side(model, text, before="Note: "))

        def pair(asked: dict[str, Any]) -> str:
            ids = model.tokenizer(text * asked["tokens"])["input_ids"][: asked["tokens"]]
            whole = model.tokenizer.decode(ids)
            c = an.compare(an.Side(model, whole), an.Side(model, whole, rounded="4-bit"))
            assert len(c.rows) >= asked["tokens"] - 8
            return ", ".join(check.name for check in c.checks if not check.passed)

        return pair

    generator = torch.Generator().manual_seed(0)
    size = float(head.weight.norm(dim=1).mean())
    match = VocabularyMatch("identical", "", n_shared=head.vocab_size)

    def rows(asked: dict[str, Any]) -> None:
        n = asked["tokens"]
        states = torch.randn(n, head.weight.shape[1], generator=generator) * (3 / size)
        targets = torch.randint(head.vocab_size, (n,), generator=generator)
        with torch.inference_mode():
            if asked["way"] == "one head":
                read_rows(head, states, targets, 10, lambda _n: None)
            else:
                other = HeadStates(head, states + 0.01 * torch.randn(states.shape, generator=generator))
                compare_rows(HeadStates(head, states), other, targets, targets, match, 10, lambda _n: None)

    return rows


def compare(quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    report = Report(["### Comparing two sides\n"])
    lines = []
    with Worker("comparison", "rows", threads=1) as worker:
        worker.wait()
        for n in QUICK if quick else TOKENS:
            turns = 1 if quick else 5 if n < 1000 else 2
            ways = {
                way: lambda work, way=way: worker.ask(work | {"way": way})
                for way in ("one head", "two heads")
            }
            found = take_turns(ways, {"tokens": n}, turns, say)
            cpu = ratios(found["two heads"], found["one head"])[1]
            extra = max(cost.extra for cost in found["two heads"])
            middle = [sorted(cost.cpu for cost in costs)[len(costs) // 2] for costs in found.values()]
            lines.append([f"{n:,}", *(number(value) for value in middle), str(cpu), f"{extra / 2**20:,.0f}"])
            report.limit(
                f"two heads at most {TIMES_LIMIT:g} times one at {n:,} rows", cpu.middle <= TIMES_LIMIT
            )
            report.limit(
                f"at most {MEMORY_LIMIT >> 20} MiB beyond the model at {n:,} rows", extra <= MEMORY_LIMIT
            )
    report.table(
        ["rows", "one head, CPU seconds", "two heads, every number", "over one head", "MiB beyond the model"],
        lines,
    )
    n = QUICK[0] if quick else PAIR_TOKENS
    with Worker("comparison", "pair") as worker:
        costs = take_turns({"pair": worker.ask}, {"tokens": n}, 1 if quick else 3, say)["pair"]
    seconds = sorted(cost.seconds for cost in costs)[len(costs) // 2]
    report.lines.append(
        f"A pair of {n} tokens after loading, as it is and through a 4-bit round trip, everything measured on both sides: "
        f"{number(seconds)} s on two threads."
    )
    report.limit(f"a pair of {n} tokens within {PAIR_LIMIT:g} s", seconds <= PAIR_LIMIT)
    report.limit("every check of the pair passes", not any(cost.said for cost in costs))
    return report


if __name__ == "__main__":
    serve(work_of(sys.argv[1]))
