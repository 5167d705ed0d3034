"""Writing greedily with every statistic on, beside the library's `generate`; and eight samples beside one text.

CPU seconds of one thread: both ways stream the same weights for every token, so what is measured is what we add.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Report, Worker, number, ratios, serve, take_turns

PROMPT = "The harbour was quiet that morning, and two fishermen mended a net on the wall without a word."
TOKENS, SAMPLES = 128, 8
GREEDY_LIMIT, SAMPLES_LIMIT = 1.15, 2.5


def work_of(way: str) -> Callable[[dict[str, int]], Any]:
    """What a process does; hands over the ids of the first text."""
    import torch

    import analysis as an
    from analysis.writing.results import Prompt

    model = an.load_model(device="cpu")
    ids = model.tokenizer(PROMPT)["input_ids"]
    prompt = Prompt(PROMPT, tuple(ids))
    an.write(model, prompt, n_new=2)

    def library(asked: dict[str, int]) -> list[int]:
        with torch.inference_mode():
            settings = {
                "max_new_tokens": asked["tokens"],
                "do_sample": False,
                "eos_token_id": None,
                "pad_token_id": 2,
            }
            found: list[int] = model.model.generate(torch.tensor([ids]), **settings)[0].tolist()
        return found

    def ours(asked: dict[str, int]) -> list[int]:
        if asked["samples"] == 1:
            path: list[int] = an.write(model, prompt, n_new=asked["tokens"]).path().tolist()
            return path
        steps = (("temperature", 1.0),)
        w = an.write_samples(model, prompt, asked["samples"], n_new=asked["tokens"], samplers=steps).writing
        assert all(len(branch) == asked["tokens"] for branch in w.branches)
        return []

    return {"ours": ours, "library": library}[way]


def compare(quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    n, turns = (16, 1) if quick else (TOKENS, 5)
    report = Report([f"### Writing {n} tokens\n"])
    with Worker("writing", "ours", threads=1) as ours, Worker("writing", "library", threads=1) as library:
        for worker in (ours, library):
            worker.wait()
        ways = {
            "generate": lambda work: library.ask(work),
            "one greedy text": lambda work: ours.ask(work),
            f"{SAMPLES} samples": lambda work: ours.ask(work | {"samples": SAMPLES}),
        }
        found = take_turns(ways, {"tokens": n, "samples": 1}, turns, say)
    base, one, many = found.values()
    beside, together = ratios(one, base)[1], ratios(many, one)[1]
    cpu = [f"{number(sorted(cost.cpu for cost in costs)[len(costs) // 2])}" for costs in found.values()]
    report.table(
        ["way", "CPU seconds", "over `generate`", "over one greedy text"],
        [
            ["`generate`, greedy", cpu[0], "1", ""],
            ["one greedy text, every statistic", cpu[1], str(beside), "1"],
            [f"{SAMPLES} samples, every statistic", cpu[2], "", str(together)],
        ],
    )
    report.limit(
        "greedy ids are those of `generate`", all(a.said == b.said for a, b in zip(one, base, strict=True))
    )
    report.limit(f"greedy at most {GREEDY_LIMIT} times its CPU time", beside.middle <= GREEDY_LIMIT)
    report.limit(
        f"{SAMPLES} samples at most {SAMPLES_LIMIT} times one text", together.middle <= SAMPLES_LIMIT
    )
    return report


if __name__ == "__main__":
    serve(work_of(sys.argv[1]))
