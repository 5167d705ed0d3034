"""Make kvpress_wrappers.npz: what kvpress's methods built on SnapKV keep of the same text.

Run in kvpress's own environment (README.md beside this file), with the folder of the embedded model:

    python make_kvpress_wrappers.py --model FOLDER

Per method and share: bool (layers, KV heads, tokens), packed along tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SHARES = (0.7, 0.5, 0.3)
WRAPPERS = {
    "adakv": "AdaKVPress",
    "criticalkv": "CriticalKVPress",
    "chunks": "EntropyGatedChunkKVPress",
}


def read_wrappers(folder: Path = HERE) -> dict[tuple[str, float], np.ndarray]:
    """Kept sets by method and share."""
    with np.load(folder / "kvpress_wrappers.npz", allow_pickle=False) as arrays:
        return {
            (name, share): np.unpackbits(arrays[f"{name}_{share}"], axis=-1).astype(bool)
            for name in WRAPPERS
            for share in SHARES
        }


def kept(model: Any, name: str, share: float, ids: Any, whole: Any) -> np.ndarray:
    """What one method leaves of every layer's cache, proven by the keys that are in it."""
    import kvpress
    from transformers import DynamicCache

    press = getattr(kvpress, WRAPPERS[name])(kvpress.SnapKVPress(compression_ratio=1 - share))
    cache = DynamicCache()
    with press(model):
        model.model(input_ids=ids, past_key_values=cache)
    found = []
    for layer, block in enumerate(model.model.layers):
        full, left = whole.layers[layer].keys[0].numpy(), cache.layers[layer].keys[0].numpy()
        mask = np.ones(full.shape[:2], bool)
        if name == "adakv":  # hides keys and deletes none
            _batch, heads, tokens = (i.numpy() for i in block.self_attn.masked_key_indices)
            mask[heads, tokens] = False
            block.self_attn.masked_key_indices = None
        else:
            for head in range(len(full)):
                mask[head] = in_both(full[head], left[head])
            assert (mask.sum(-1) == left.shape[1]).all()
        found.append(mask)
    return np.stack(found)


def in_both(full: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Which rows are among those of another array; later layers of a pressed prefill are the same to rounding."""
    distance = np.abs(left[:, None] - full[None]).max(-1)
    nearest = distance.argmin(-1)
    assert distance.min(-1).max() < 1e-3 * np.abs(full).max()
    return np.isin(np.arange(len(full)), nearest)


def main() -> None:
    """Run every method at every share and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the embedded model")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    how = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model = AutoModelForCausalLM.from_pretrained(options.model, **how).eval()
    with np.load(HERE / "kvpress.npz", allow_pickle=False) as arrays:
        ids = torch.from_numpy(arrays["context_ids"].astype(np.int64))[None]
    whole = DynamicCache()
    model.model(input_ids=ids, past_key_values=whole)
    out = {}
    for name in WRAPPERS:
        for share in SHARES:
            mask = kept(model, name, share, ids, whole)
            out[f"{name}_{share}"] = np.packbits(mask, axis=-1)
            print(name, share, int(mask.sum()), "kept")
    np.savez_compressed(options.out / "kvpress_wrappers.npz", **out)


if __name__ == "__main__":
    main()
