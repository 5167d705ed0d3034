"""Make kvpress.json and kvpress.npz: what kvpress keeps of a text and what that does to the next 64 tokens.

Run in kvpress's own environment (README.md beside this file says how it was set up, and how
every press works), with the folder of the embedded model:

    python make_kvpress.py --model FOLDER

The tests import :func:`read_golden` from here, which needs numpy alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)
PRESSES = {
    "knorm": "KnormPress",
    "keydiff": "KeyDiffPress",
    "streaming": "StreamingLLMPress",
    "observed": "ObservedAttentionPress",
    "tova": "TOVAPress",
    "snapkv": "SnapKVPress",
    "pyramidkv": "PyramidKVPress",
    "expected": "ExpectedAttentionPress",
}
SCORE_LAYERS = (0, 9, 19, 29)
SCORE_SHARE = 0.5
NARROW = 1e-5
"""Boundaries whose scores are closer than this, relatively, are listed: rounding may decide there."""


@dataclasses.dataclass(frozen=True)
class Golden:
    """What the two files hold, unpacked; presses and shares in the order of PRESSES and SHARES."""

    about: dict[str, Any]
    """kvpress.json: versions, parameters, budgets, seconds, boundaries that rounding decides."""
    context: str
    continuation: str
    sequel: str
    """More of the same story, for the benchmark."""
    context_ids: np.ndarray
    """int32, (512,)."""
    continuation_ids: np.ndarray
    """int32, (64,)."""
    sequel_ids: np.ndarray
    """int32."""
    kept: dict[str, np.ndarray]
    """By press: bool, (shares, layers, KV heads, tokens): whether the key is still in the cache."""
    scores: dict[str, np.ndarray]
    """By press: float32, (4 layers SCORE_LAYERS, KV heads, tokens) at SCORE_SHARE; higher is kept."""
    nll: dict[str, np.ndarray]
    """By press: float32, (shares, 64), nats: surprisal of the continuation's tokens."""
    full_nll: np.ndarray
    """float32, (64,), nats: the same with the whole cache."""
    inferred_nll: np.ndarray
    """float32, (64,), nats: snapkv at 0.5 with positions wrongly taken from the shortened cache."""


def read_golden(folder: Path = HERE) -> Golden:
    """Read both files."""
    about = json.loads((folder / "kvpress.json").read_text())
    with np.load(folder / "kvpress.npz", allow_pickle=False) as arrays:
        n_tokens = len(arrays["context_ids"])
        return Golden(
            about=about,
            **json.loads((folder / "kvpress_text.json").read_text()),
            context_ids=arrays["context_ids"],
            continuation_ids=arrays["continuation_ids"],
            sequel_ids=arrays["sequel_ids"],
            kept={
                name: np.unpackbits(arrays[f"kept_{name}"], axis=-1, count=n_tokens).astype(bool)
                for name in PRESSES
            },
            scores={name: arrays[f"scores_{name}"] for name in PRESSES},
            nll={name: arrays[f"nll_{name}"] for name in PRESSES},
            full_nll=arrays["full_nll"],
            inferred_nll=arrays["inferred_nll"],
        )


def make_press(name: str, share: float) -> Any:
    """A press with the library's defaults, recording the keys and the scores of every layer."""
    import kvpress

    press = getattr(kvpress, PRESSES[name])(compression_ratio=1 - share)
    score, press.recorded = press.score, {}

    def recording(module, hidden_states, keys, values, attentions, kwargs):
        scores = score(module, hidden_states, keys, values, attentions, kwargs)
        press.recorded[module.layer_idx] = (keys, scores)
        return scores

    press.score = recording
    return press


def kept_keys(press: Any, cache: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """By layer: which keys are in the cache (KV heads, tokens), and the gap of scores at the boundary.

    The choice is made again from the recorded scores and proven by comparing the chosen keys
    with the cache, bit by bit and in the same order. The gap is between the last kept and the
    first dropped score, relative to the former.
    """
    import torch

    kept, gaps = [], []
    for layer, (keys, scores) in sorted(press.recorded.items()):
        in_cache = cache.layers[layer].keys
        n_kept = in_cache.shape[2]
        chosen = scores.topk(n_kept, dim=-1).indices
        assert torch.equal(keys.gather(2, chosen[..., None].expand_as(in_cache)), in_cache)
        kept.append(torch.zeros_like(scores, dtype=torch.bool).scatter(-1, chosen, True)[0].numpy())
        falling = scores[0].double().sort(descending=True).values
        last, first = falling[:, n_kept - 1], falling[:, n_kept]
        gaps.append(((last - first) / last.abs()).numpy())
    return kept, gaps


def prefill(model: Any, press: Any, context: Any) -> tuple[Any, Any]:
    """Run the context through the model, press its cache; the cache and the last token's logits."""
    from transformers import DynamicCache

    cache = DynamicCache()
    with press(model) if press is not None else nullcontext():
        logits = model(input_ids=context, past_key_values=cache, logits_to_keep=1).logits
    return cache, logits


def surprisals(logits: Any, ids: Any) -> np.ndarray:
    """Of each of the ids under its row of logits, in nats."""
    return -logits[0].float().log_softmax(-1).gather(-1, ids[0, :, None])[:, 0].numpy()


def continue_in_one_block(model: Any, cache: Any, last: Any, ids: Any, positions: Any) -> np.ndarray:
    """Surprisal of all ids from one forward over them, as the library's pipeline reads a question."""
    import torch

    logits = model(input_ids=ids, past_key_values=cache, position_ids=positions).logits
    return surprisals(torch.cat([last, logits[:, :-1]], dim=1), ids)


def continue_by_token(model: Any, cache: Any, last: Any, ids: Any, positions: Any) -> np.ndarray:
    """The same, one token at a time: no causal mask, so layers may hold different numbers of keys."""
    import torch

    rows = [last]
    for t in range(ids.shape[1] - 1):
        one = {"input_ids": ids[:, t : t + 1], "position_ids": positions[:, t : t + 1]}
        rows.append(model(past_key_values=cache, **one).logits)
    return surprisals(torch.cat(rows, dim=1), ids)


def sets_that_differ(kept: np.ndarray, scores: list[Any]) -> int:
    """How many (layer, KV head) sets other scores of the same press choose differently."""
    import torch

    count = 0
    for layer, by_head in zip(kept, scores, strict=True):
        chosen = by_head.topk(int(layer[0].sum()), dim=-1).indices
        other = torch.zeros_like(by_head, dtype=torch.bool).scatter(-1, chosen, True)
        count += int((other[0].numpy() != layer).any(-1).sum())
    return count


def scores_elsewhere(models: dict[str, Any], name: str, context: Any) -> dict[str, list[Any]]:
    """Scores of every layer in float64, and from the attention kernel that keeps no weights."""
    found = {}
    for way in ("float64", "sdpa"):
        if (name, way) != ("observed", "sdpa"):  # needs the weights
            press = make_press(name, SCORE_SHARE)
            prefill(models[way], press, context)
            found[way] = [scores for _keys, scores in press.recorded.values()]
    return found


def one_run(
    models: dict[str, Any], name: str, share: float, ids: Any
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """One press at one share: the press after use, kept keys, surprisals, and what the .json says."""
    context, continuation, positions = ids
    press = make_press(name, share)
    begin = time.process_time()
    cache, last = prefill(models["eager"], press, context)
    seconds = {"prefill": round(time.process_time() - begin, 3)}
    by_layer, gaps = kept_keys(press, cache)
    kept = np.stack(by_layer)
    sizes = [int(layer[0].sum()) for layer in by_layer]
    uniform = len(set(sizes)) == 1

    begin = time.process_time()
    proceed, way = (continue_in_one_block, "eager") if uniform else (continue_by_token, "sdpa")
    nll = proceed(models[way], cache, last, continuation, positions)
    seconds["continuation"] = round(time.process_time() - begin, 3)
    narrow = {
        f"layer {layer} head {head}": float(f"{gap:.2g}")
        for layer, heads in enumerate(gaps)
        for head, gap in enumerate(heads)
        if gap < NARROW
    }
    said = {
        "n_kept": sizes[0] if uniform else sizes,
        "mean_nll": round(float(nll.mean()), 6),
        "continuation": "one block, eager" if uniform else "one token at a time, sdpa",
        "cpu_seconds": seconds,
        "narrow_boundaries": narrow,
    }
    return press, kept, nll, said


def record(models: dict[str, Any], context: Any, continuation: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every press at every share; arrays for the .npz and a description for the .json."""
    import torch

    n_tokens, n_next = context.shape[1], continuation.shape[1]
    positions = torch.arange(n_tokens, n_tokens + n_next)[None]
    ids = (context, continuation, positions)
    whole, last = prefill(models["eager"], None, context)
    arrays = {"full_nll": continue_in_one_block(models["eager"], whole, last, continuation, positions)}
    whole, last = prefill(models["eager"], None, context)
    by_token = continue_by_token(models["sdpa"], whole, last, continuation, positions)
    difference = float(abs(by_token - arrays["full_nll"]).max())

    presses = {}
    for name, class_name in PRESSES.items():
        all_kept, all_nll, runs = [], [], {}
        elsewhere = scores_elsewhere(models, name, context) if name != "streaming" else {}
        for share in SHARES:
            press, kept, nll, said = one_run(models, name, share, ids)
            said["sets_that_differ"] = {
                way: sets_that_differ(kept, other) for way, other in elsewhere.items()
            }
            runs[str(share)] = said
            all_kept.append(np.packbits(kept, axis=-1))
            all_nll.append(nll)
            if share == SCORE_SHARE:
                found = [press.recorded[layer][1][0].numpy() for layer in SCORE_LAYERS]
                arrays[f"scores_{name}"] = np.stack(found).astype(np.float32)
            print(name, share, said, flush=True)
        arrays[f"kept_{name}"], arrays[f"nll_{name}"] = np.stack(all_kept), np.stack(all_nll)
        parameters = dataclasses.asdict(make_press(name, SCORE_SHARE))
        del parameters["compression_ratio"]
        presses[name] = {"class": class_name, "parameters": parameters, "runs": runs}

    pressed, last = prefill(models["eager"], make_press("snapkv", SCORE_SHARE), context)
    n_kept = pressed.get_seq_length()
    wrong = torch.arange(n_kept, n_kept + n_next)[None]
    arrays["inferred_nll"] = continue_in_one_block(models["eager"], pressed, last, continuation, wrong)
    described = {
        "full_mean_nll": round(float(arrays["full_nll"].mean()), 6),
        "full_by_token_sdpa_max_difference": difference,
        "presses": presses,
    }
    return arrays, described


def main() -> None:
    """Run everything and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the embedded model")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    text = json.loads((HERE / "kvpress_text.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    ids = {part: tokenizer.encode(text[part], add_special_tokens=False) for part in text}
    whole = tokenizer.encode("".join(text.values()), add_special_tokens=False)
    assert whole == [token for part in ids.values() for token in part]

    ways = {
        "eager": {"attn_implementation": "eager", "dtype": torch.float32},
        "sdpa": {"attn_implementation": "sdpa", "dtype": torch.float32},
        "float64": {"attn_implementation": "eager", "dtype": torch.float64},
    }
    models = {
        way: AutoModelForCausalLM.from_pretrained(options.model, **how).eval() for way, how in ways.items()
    }
    context, continuation = torch.tensor([ids["context"]]), torch.tensor([ids["continuation"]])
    arrays, described = record(models, context, continuation)
    arrays |= {f"{part}_ids": np.array(ids[part], dtype=np.int32) for part in ids}
    packages = ("kvpress", "transformers", "torch", "tokenizers")
    about = {
        "versions": {name: metadata.version(name) for name in packages},
        "prefill": "float32, eager attention, one thread",
        "shares": SHARES,
        "score_layers": SCORE_LAYERS,
        "score_share": SCORE_SHARE,
        **described,
    }
    np.savez_compressed(options.out / "kvpress.npz", **arrays)
    (options.out / "kvpress.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
