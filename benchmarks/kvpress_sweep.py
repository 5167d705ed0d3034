"""What a sweep of cache eviction costs with kvpress: one prefill per method and share kept.

Runs alone in kvpress's own environment, not in the project's (`tests/golden/README.md` says how to
set one up), and imports nothing of the project:

    python benchmarks/kvpress_sweep.py --model FOLDER

FOLDER is what `analysis.models.embedded.embedded_folder()` returns. Prints one JSON object: seconds of
every run, of all of them, and the mean NLL of the continuation, which the project's own sweep over the
same token ids (see `sweep_ids`) must reproduce.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

TEXT = Path(__file__).parents[1] / "tests" / "golden" / "kvpress.npz"
PRESSES = {
    "streaming": "StreamingLLMPress",
    "knorm": "KnormPress",
    "keydiff": "KeyDiffPress",
    "tova": "TOVAPress",
    "snapkv": "SnapKVPress",
    "expected": "ExpectedAttentionPress",
    "observed": "ObservedAttentionPress",  # needs --attention eager
}
METHODS = ("streaming", "knorm", "keydiff", "tova", "snapkv", "expected")
SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)


def sweep_ids(context: int, continuation: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of the golden story, from the start again where it ends."""
    with np.load(TEXT, allow_pickle=False) as arrays:
        parts = [arrays[f"{part}_ids"] for part in ("context", "continuation", "sequel")]
    text = np.concatenate(parts).astype(np.int64)
    ids = np.resize(text, context + continuation)
    return ids[:context], ids[context:]


def run(model: Any, press: Any, context: Any, continuation: Any) -> tuple[float, float]:
    """One setting as kvpress's pipeline does it: seconds, and mean NLL of the continuation in nats.

    Prefill without the vocabulary head, then one forward over the continuation at its original
    positions. The first token of the continuation has no prediction from the pressed cache and is left out.
    """
    import torch
    from transformers import DynamicCache

    begin = time.perf_counter()
    cache = DynamicCache()
    with press(model):
        model.model(input_ids=context, past_key_values=cache)
    positions = torch.arange(context.shape[1], context.shape[1] + continuation.shape[1])[None]
    logits = model(input_ids=continuation, past_key_values=cache, position_ids=positions).logits
    surprisal = -logits[0, :-1].log_softmax(-1).gather(-1, continuation[0, 1:, None])
    mean = surprisal.mean().item()
    return time.perf_counter() - begin, mean


def sweep(model: Any, methods: list[str], context: Any, continuation: Any) -> list[dict[str, Any]]:
    """Every method at every share."""
    import kvpress

    runs = []
    for method in methods:
        for share in SHARES:
            press = getattr(kvpress, PRESSES[method])(compression_ratio=1 - share)
            seconds, nll = run(model, press, context, continuation)
            runs.append({"method": method, "kept": share, "seconds": round(seconds, 4), "nll": round(nll, 6)})
    return runs


def main() -> None:
    """Warm up, sweep, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder of the embedded model")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--continuation", type=int, default=64)
    parser.add_argument("--methods", nargs="+", choices=list(PRESSES), default=list(METHODS))
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="whole sweeps; the median is reported")
    options = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    how = {"dtype": torch.float32, "attn_implementation": options.attention}
    model = AutoModelForCausalLM.from_pretrained(options.model, **how).eval()
    parts = [torch.from_numpy(ids)[None] for ids in sweep_ids(options.context, options.continuation)]

    sweep(model, options.methods[:1], *parts)  # warm-up
    seconds, cpu_seconds, runs = [], [], []
    for _ in range(options.repeats):
        begin, cpu = time.perf_counter(), time.process_time()
        runs = sweep(model, options.methods, *parts)
        seconds.append(round(time.perf_counter() - begin, 3))
        cpu_seconds.append(round(time.process_time() - cpu, 3))
    said = {
        "versions": {name: metadata.version(name) for name in ("kvpress", "transformers", "torch")},
        **{key: value for key, value in vars(options).items() if key != "model"},
        "seconds": median(seconds),
        "cpu_seconds": median(cpu_seconds),
        "seconds_of_sweeps": seconds,
        "runs": runs,
    }
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
