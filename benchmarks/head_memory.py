"""Extra memory and time of the vocabulary head: streamed by this project, and dense in float32.

Each way runs in its own process, on the same random final states and a head of
SmolLM2's shape (or the embedded model's own with ``--weights``), after a warm-up.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_MIB = 300
"""The streamed readout must stay below this."""


def measure(way: str, n_tokens: int, vocab: int, width: int, weights: bool) -> None:
    """Run one way and print its extra peak in bytes, its seconds and its mean entropy."""
    import psutil
    import torch

    from analysis.forward.vocabulary_head import read_rows
    from analysis.models.anatomy import Head

    generator = torch.Generator().manual_seed(0)
    if weights:
        import analysis as an

        head = an.load_model(device="cpu").anatomy.head
        vocab, width = head.weight.shape
    else:
        head = Head(torch.randn(vocab, width, generator=generator) * 2.8 / width**0.5, None, 1.0, None)
    states = torch.randn(n_tokens, width, generator=generator)
    targets = torch.randint(vocab, (n_tokens - 1,), generator=generator)

    def streamed(count: int) -> float:
        rows = read_rows(head, states[:count], targets[: count - 1], 10, lambda _rows: None)
        return float(rows.entropy.mean(dtype="float64"))

    def dense(count: int) -> float:
        """What a user would write: whole logits, their log-softmax, their entropy."""
        log_probs = (states[:count] @ head.weight.T).log_softmax(-1)
        return float(-(log_probs.exp() * log_probs).sum(-1).double().mean())

    run = {"streamed": streamed, "dense": dense}[way]
    process, stop = psutil.Process(), threading.Event()
    peak = 0

    def sample() -> None:
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    with torch.inference_mode():
        run(8)
        thread = threading.Thread(target=sample)
        before = process.memory_info().rss
        thread.start()
        begin = time.perf_counter()
        entropy = run(n_tokens)
        seconds = time.perf_counter() - begin
    stop.set()
    thread.join()
    print(peak - before, seconds, entropy)


def extra(
    way: str, n_tokens: int, vocab: int, width: int, weights: bool = False
) -> tuple[float, float, float]:
    """Extra peak in MiB, seconds, and mean entropy of one way, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.head_memory", "--way", way]
    command += ["--tokens", str(n_tokens), "--vocab", str(vocab), "--width", str(width)]
    done = subprocess.run(
        command + ["--weights"] * weights, cwd=ROOT, capture_output=True, text=True, check=True
    )
    n_bytes, seconds, entropy = map(float, done.stdout.split())
    return n_bytes / 2**20, seconds, entropy


def main() -> bool:
    """Print the comparison; False if the streamed readout takes too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=["streamed", "dense"], help="measure one way in this process")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocab", type=int, default=49152)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--weights", action="store_true", help="the embedded model's own head")
    asked = parser.parse_args()
    if asked.way:
        measure(asked.way, asked.tokens, asked.vocab, asked.width, asked.weights)
        return True
    shape = asked.tokens, asked.vocab, asked.width, asked.weights
    print(f"vocabulary head, {asked.tokens} tokens, V = {asked.vocab}, D = {asked.width}, float32")
    print(f"{'way':<10}{'extra peak MiB':>16}{'seconds':>10}{'mean entropy':>15}")
    found = {way: extra(way, *shape) for way in ("streamed", "dense")}
    for way, (mib, seconds, entropy) in found.items():
        print(f"{way:<10}{mib:>16.0f}{seconds:>10.2f}{entropy:>15.6f}")
    streamed, dense = found["streamed"], found["dense"]
    fine = streamed[0] < LIMIT_MIB
    print(f"streamed / dense: memory {streamed[0] / dense[0]:.3f}, time {streamed[1] / dense[1]:.2f}")
    print(f"streamed below {LIMIT_MIB} MiB: {'yes' if fine else 'NO'}")
    return fine


if __name__ == "__main__":
    sys.exit(not main())
