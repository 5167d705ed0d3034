"""What the spectra of every layer add to a measured pass over 512 tokens.

The same pass of the embedded model with and without spectra, in turns within one process, so that
whatever else the machine does slows both alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TOKENS = 512
LIMIT = 1.25
WAYS = {"without": False, "with": True}
SENTENCE = "The harbour was quiet that morning, and two fishermen mended a net on the wall without a word. "


def text_of(model, n_tokens: int) -> str:
    """Plain prose of exactly so many tokens."""
    ids = model.tokenizer(SENTENCE * n_tokens)["input_ids"][:n_tokens]
    text = model.tokenizer.decode(ids)
    assert len(model.tokenizer(text)["input_ids"]) == n_tokens
    return text


def measure(n_tokens: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of every run, by way."""
    import analysis as an

    model = an.load_model(device="cpu")
    text = text_of(model, n_tokens)
    costs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(repeats + 1):  # the first turn warms up
        for way, spectra in WAYS.items():
            begin, cpu = time.perf_counter(), time.process_time()
            run = an.trace(model, text, spectra=spectra)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            assert (run.layers.spectrum is not None) == spectra and len(run.tokens) == n_tokens
            print(f"  {way:<8} turn {turn}: {seconds:.2f} s, {cpu:.2f} s of CPU", file=sys.stderr, flush=True)
            if turn:
                costs[way].append((seconds, cpu))
    return costs


def main() -> bool:
    """Print the comparison; False if the limit was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    from benchmarks.attention_pass import machine, verdict

    print(machine())
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    costs = measure(asked.tokens, asked.repeats)
    print(
        f"\nmeasured pass of the embedded model, {asked.tokens:,} tokens, float32, median of {asked.repeats}"
    )
    print(f"{'spectra':<10}{'seconds':>10}{'CPU seconds':>13}")
    for way, runs in costs.items():
        print(f"{way:<10}{median(s for s, _ in runs):>10.2f}{median(c for _, c in runs):>13.2f}")
    pairs = list(zip(costs["with"], costs["without"], strict=True))
    time_ratio = median(with_[0] / without[0] for with_, without in pairs)
    cpu_ratio = median(with_[1] / without[1] for with_, without in pairs)
    print(f"with / without, median of the turns: time {time_ratio:.2f}, CPU time {cpu_ratio:.2f}")
    return verdict(f"at most {LIMIT:g} times the time", time_ratio <= LIMIT)


if __name__ == "__main__":
    sys.exit(not main())
