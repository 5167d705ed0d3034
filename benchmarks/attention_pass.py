"""Time and memory of a measured pass: beside the plain forward, and beside keeping eager attention.

Each way runs in a process of its own, on the same random tokens through the embedded model's body.
The processes take turns, so that whatever else the machine does slows all of them alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
WAYS = ("plain", "measured", "eager")
EAGER_TOKENS = 2048
"""Eager attention keeps layers x heads x T x T numbers: 4.5 GB here, 72 GB at 8,192."""
ALONE_TOKENS = 8192
TIME_LIMIT, MEMORY_LIMIT, TOTAL_LIMIT_GB = 2.0, 1.3, 4.0
EAGER_TIME_LIMIT, EAGER_MEMORY_LIMIT = 1.5, 4.0


def reduce_kept(attentions: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """What one would write: entropy of rows, attention received, sink mass, distance, per head."""
    import torch

    reduced = []
    for layer in attentions:
        weights = layer[0].float()
        n = weights.shape[-1]
        position = torch.arange(n)
        entropy = -torch.special.xlogy(weights, weights).sum(-1)
        received = weights.sum(1) / (n - position)
        distance = (weights * (position[:, None] - position)).sum((1, 2)) / (n - 1)
        reduced.append((entropy, received, weights[:, 1:, 0].mean(-1), distance))
    return reduced


def pass_of(way: str, n_tokens: int) -> Callable[[int], Any]:
    """The work of one way, as a function of how many of the tokens it reads."""
    import torch

    import analysis as an
    from analysis.forward.body_pass import run_pass
    from analysis.forward.recorder import Recorder
    from analysis.models.body import run_body

    model = an.load_model(device="cpu")
    if way == "eager":
        model.model.set_attn_implementation("eager")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(100, model.info.vocab_size, (n_tokens,), generator=generator)

    def plain(count: int) -> Any:
        return run_body(model.model, ids[None, :count])

    def measured(count: int) -> Any:
        recorder = Recorder(tuple(range(model.info.n_layers)))
        run_pass(model, ids[:count], [], lambda _layer: None, recorder)
        return recorder.result()

    def eager(count: int) -> Any:
        out = model.model.model(input_ids=ids[None, :count], use_cache=False, output_attentions=True)
        return reduce_kept(out.attentions)

    return {"plain": plain, "measured": measured, "eager": eager}[way]


def serve(way: str, n_tokens: int) -> None:
    """Load, warm up, then make one pass for every line that comes in; print what each took."""
    import psutil
    import torch

    run = pass_of(way, n_tokens)
    process, peak, stop = psutil.Process(), 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    with torch.inference_mode():
        run(64)
        before = process.memory_info().rss
        threading.Thread(target=sample, daemon=True).start()
        print("ready", flush=True)
        for _line in sys.stdin:
            begin, cpu = time.perf_counter(), time.process_time()
            result = run(n_tokens)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            del result
            print(seconds, cpu, peak - before, peak, flush=True)
    stop.set()


@dataclass(frozen=True)
class Cost:
    """Of one way."""

    seconds: float
    cpu_seconds: float
    extra: float
    total: float


def compare(n_tokens: int, ways: tuple[str, ...], repeats: int) -> dict[str, Cost]:
    """Let the ways take turns; medians of times, highest memory."""
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    processes = {way: start(way, n_tokens) for way in ways}
    try:
        for turn in range(repeats + (repeats > 1)):  # the first turn warms up
            for way, process in processes.items():
                print("go", file=process.stdin, flush=True)
                cost = Cost(*map(float, process.stdout.readline().split()))
                found[way].append(cost)
                print(
                    f"  {n_tokens:>6} {way:<9} turn {turn}: {cost.seconds:.2f} s, {cost.cpu_seconds:.2f} s of CPU",
                    file=sys.stderr,
                    flush=True,
                )
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait(60)
    timed = {way: costs[1:] or costs for way, costs in found.items()}
    return {
        way: Cost(
            median(c.seconds for c in timed[way]),
            median(c.cpu_seconds for c in timed[way]),
            max(c.extra for c in found[way]),
            max(c.total for c in found[way]),
        )
        for way in ways
    }


def start(way: str, n_tokens: int) -> subprocess.Popen[str]:
    """A process that has loaded the model and waits."""
    command = [sys.executable, "-m", "benchmarks.attention_pass", "--way", way, "--tokens", str(n_tokens)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip
    assert process.stdout.readline().strip() == "ready"
    return process


def verdict(what: str, fine: bool) -> bool:
    print(f"{what}: {'yes' if fine else 'NO'}", flush=True)
    return fine


def side_by_side(n_tokens: int, repeats: int) -> bool:
    ways = WAYS if n_tokens <= EAGER_TOKENS else WAYS[:2]
    costs = compare(n_tokens, ways, repeats)
    print(f"\nbody of the embedded model, {n_tokens:,} tokens, float32, CPU, median of {repeats}")
    print(f"{'way':<10}{'seconds':>10}{'CPU seconds':>13}{'peak MiB':>10}{'beyond the model':>18}")
    for way, cost in costs.items():
        print(
            f"{way:<10}{cost.seconds:>10.2f}{cost.cpu_seconds:>13.2f}"
            f"{cost.total / 2**20:>10.0f}{cost.extra / 2**20:>18.0f}"
        )
    plain, ours = costs["plain"], costs["measured"]
    slower, larger = ours.seconds / plain.seconds, ours.total / plain.total
    cpu, beyond = ours.cpu_seconds / plain.cpu_seconds, ours.extra / plain.extra
    print(
        f"measured / plain: time {slower:.2f} (CPU time {cpu:.2f}), "
        f"peak memory {larger:.2f} (beyond the model {beyond:.2f})"
    )
    fine = verdict(f"at most {TIME_LIMIT:g} times the time", slower <= TIME_LIMIT)
    fine &= verdict(f"at most {MEMORY_LIMIT:g} times the peak memory", larger <= MEMORY_LIMIT)
    if "eager" in costs:
        eager = costs["eager"]
        slower, larger = eager.seconds / ours.seconds, eager.total / ours.total
        cpu, beyond = eager.cpu_seconds / ours.cpu_seconds, eager.extra / ours.extra
        print(
            f"eager / measured: time {slower:.2f} (CPU time {cpu:.2f}), "
            f"peak memory {larger:.2f} (beyond the model {beyond:.2f})"
        )
        fine &= verdict(f"at least {EAGER_TIME_LIMIT:g} times faster than eager", slower >= EAGER_TIME_LIMIT)
        fine &= verdict(
            f"at least {EAGER_MEMORY_LIMIT:g} times smaller than eager", larger >= EAGER_MEMORY_LIMIT
        )
    return fine


def machine() -> str:
    """Processor and torch version."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "CPU")
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> bool:
    """Print the comparison; False if a limit was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, help="serve one way in this process")
    parser.add_argument("--tokens", type=int, nargs="*", default=[2048, 4096])
    parser.add_argument("--alone", type=int, default=ALONE_TOKENS, help="measured pass alone; 0 for none")
    asked = parser.parse_args()
    if asked.way:
        serve(asked.way, asked.tokens[0])
        return True
    print(machine())
    fine = True
    for n_tokens in asked.tokens:
        fine &= side_by_side(n_tokens, 3 if n_tokens <= EAGER_TOKENS else 1)
    if asked.alone:
        cost = compare(asked.alone, ("measured",), 1)["measured"]
        print(f"\nmeasured pass alone, {asked.alone:,} tokens: {cost.seconds:.0f} s,", end=" ")
        print(
            f"peak {cost.total / 1e9:.2f} GB of the whole process, {cost.extra / 2**20:.0f} MiB beyond the model"
        )
        fine &= verdict(f"below {TOTAL_LIMIT_GB:g} GB", cost.total < TOTAL_LIMIT_GB * 1e9)
    return fine


if __name__ == "__main__":
    sys.exit(not main())
