"""What a sweep of cache eviction costs with kvpress: one prefill per method and share kept.

Serves `benchmarks.eviction_sweep` from kvpress's own environment (`make peers`), and imports nothing of the project
but the harness:

    python -m benchmarks.kvpress_sweep FOLDER     # a JSON object per line in, see `main`; costs out

FOLDER is what `analysis.models.embedded.embedded_folder()` returns. The mean NLLs must be those of the project's own
sweep over the same token ids (see `sweep_ids`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import serve

TEXT = Path(__file__).parents[1] / "tests" / "golden" / "kvpress.npz"
PRESSES = {
    "streaming": "StreamingLLMPress",
    "knorm": "KnormPress",
    "keydiff": "KeyDiffPress",
    "tova": "TOVAPress",
    "snapkv": "SnapKVPress",
    "expected": "ExpectedAttentionPress",
}
METHODS = tuple(PRESSES)
SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)


def sweep_ids(context: int, continuation: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of the golden story, from the start again where it ends."""
    with np.load(TEXT, allow_pickle=False) as arrays:
        parts = [arrays[f"{part}_ids"] for part in ("context", "continuation", "sequel")]
    text = np.concatenate(parts).astype(np.int64)
    ids = np.resize(text, context + continuation)
    return ids[:context], ids[context:]


def run(model: Any, press: Any, context: Any, continuation: Any) -> float:
    """One setting as kvpress's pipeline does it: mean NLL of the continuation in nats.

    Prefill without the vocabulary head, then one forward over the continuation at its original
    positions. The first token of the continuation has no prediction from the pressed cache and is left out.
    """
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    with press(model):
        model.model(input_ids=context, past_key_values=cache)
    positions = torch.arange(context.shape[1], context.shape[1] + continuation.shape[1])[None]
    logits = model(input_ids=continuation, past_key_values=cache, position_ids=positions).logits
    surprisal = -logits[0, :-1].log_softmax(-1).gather(-1, continuation[0, 1:, None])
    return float(surprisal.mean())


def main(folder: str) -> None:
    """Load, warm up, then press ``context`` tokens by one ``method`` at all ``shares`` for every line."""
    import kvpress
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_grad_enabled(False)
    how = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model = AutoModelForCausalLM.from_pretrained(folder, **how).eval()

    def press(asked: dict[str, Any]) -> list[tuple[str, float, float]]:
        parts = [torch.from_numpy(ids)[None] for ids in sweep_ids(asked["context"], asked["continuation"])]
        make, method = getattr(kvpress, PRESSES[asked["method"]]), asked["method"]
        return [
            (method, share, run(model, make(compression_ratio=1 - share), *parts))
            for share in asked["shares"]
        ]

    press({"method": "knorm", "shares": [0.5], "context": 128, "continuation": 16})
    serve(press)


if __name__ == "__main__":
    main(sys.argv[1])
