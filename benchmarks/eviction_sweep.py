"""A sweep of cache eviction here and through kvpress: 6 methods x 5 shares on the same tokens.

    python -m benchmarks.eviction_sweep
    python -m benchmarks.eviction_sweep --kvpress PYTHON     # of an environment with kvpress 0.5.5
    python -m benchmarks.eviction_sweep --context 8192       # memory of a long context

kvpress runs in a process of its own (`benchmarks/kvpress_sweep.py`), one method at a time, and our whole
sweep runs between them, so that whatever else the machine does slows both alike. Same token ids,
same threads; every pair of mean NLLs must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.kvpress_sweep import METHODS, SHARES, sweep_ids

RATIO_LIMIT, NLL_LIMIT, MEMORY_LIMIT_GB = 10.0, 1e-4, 6.0
THEIRS = Path(__file__).with_name("kvpress_sweep.py")


def sweep_once(model: Any, context: int, continuation: int) -> Any:
    """Our sweep over the token ids that kvpress gets."""
    import torch

    from analysis.pruning_effects.eviction.context_run import read_context
    from analysis.pruning_effects.eviction.planned import plan_settings
    from analysis.pruning_effects.eviction.sweep import evaluate
    from analysis.pruning_effects.eviction.texts import EncodedText, SweepTexts

    before, after = (EncodedText("", bare_tokens(ids)) for ids in sweep_ids(context, continuation))
    with model.lock, torch.inference_mode():
        plan = plan_settings(model, before, METHODS, SHARES)
        run = read_context(model, before.ids, plan, after.ids)
        return evaluate(run, SweepTexts(before, after, 0), top_k=10)


def bare_tokens(ids: np.ndarray) -> Any:
    """Token ids without a text: each is a cell of its own."""
    from analysis.models.tokenization import TokenizedText

    n = len(ids)
    nowhere, nothing = np.full(n, -1, np.int32), np.zeros(n, np.int32)
    return TokenizedText(
        ids, nowhere, nowhere, nothing, np.zeros(n, bool), np.arange(n, dtype=np.int32), ("",) * n
    )


def theirs(python: str, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One method at all shares through kvpress."""
    from analysis.models.embedded import embedded_folder

    call = [python, str(THEIRS), "--model", str(embedded_folder()), "--methods", method]
    call += ["--threads", str(options.threads), "--context", str(options.context)]
    call += ["--continuation", str(options.continuation)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Peak:
    """Highest resident memory of this process while it is open, in GB."""

    def __enter__(self) -> Peak:
        self.gb, self._open = 0.0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._open = False
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while self._open:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.gb = max(self.gb, pages * page / 1e9)
            time.sleep(0.005)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kvpress", default="", help="python of an environment with kvpress")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--continuation", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    import analysis as an

    torch.set_num_threads(options.threads)
    model = an.load_model(device="cpu")
    sweep_once(model, 128, 16)  # warm-up
    seconds, cpu, their_seconds, their_cpu = [], [], 0.0, 0.0
    runs: list[dict[str, Any]] = []
    with Peak() as peak:
        for method in METHODS if options.kvpress else METHODS[:1]:
            if options.kvpress:
                said = theirs(options.kvpress, method, options)
                their_seconds, their_cpu = their_seconds + said["seconds"], their_cpu + said["cpu_seconds"]
                runs += said["runs"]
                print(
                    f"kvpress {method:10} {said['seconds']:7.1f} s ({said['cpu_seconds']:.1f} CPU s)",
                    flush=True,
                )
            begin, begin_cpu = time.perf_counter(), time.process_time()
            sweep = sweep_once(model, options.context, options.continuation)
            seconds.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - begin_cpu)
            parts = ", ".join(f"{name} {spent:.1f}" for name, spent in sweep.seconds.items())
            print(f"ours, all of it {seconds[-1]:7.1f} s ({cpu[-1]:.1f} CPU s): {parts}", flush=True)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{options.context} + {options.continuation} tokens, {options.threads} threads, load {load}")
    print(
        f"ours: median {median(seconds):.2f} s, {median(cpu):.2f} CPU s; peak {peak.gb:.2f} GB with the model"
    )
    kept = peak.gb < MEMORY_LIMIT_GB
    if options.kvpress:
        frame = sweep.to_frame()[1:]
        nll = {(run["method"], run["kept"]): run["nll"] for run in runs}
        error = max(abs(nll[row.policy, row.kept] - row.nll) for row in frame.itertuples())
        ratio, of_cpu = their_seconds / median(seconds), their_cpu / median(cpu)
        print(f"kvpress: {their_seconds:.1f} s, {their_cpu:.1f} CPU s for the same {len(runs)} settings")
        print(f"kvpress / ours: {ratio:.1f} in time, {of_cpu:.1f} in CPU time (limit {RATIO_LIMIT})")
        print(f"largest difference of a mean NLL: {error:.1e} nats (limit {NLL_LIMIT})")
        kept = kept and ratio >= RATIO_LIMIT and error < NLL_LIMIT
    print("kept" if kept else "NOT KEPT")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
