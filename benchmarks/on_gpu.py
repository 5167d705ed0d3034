"""Attention that measures on a CUDA device, on the shape of an 8B model with random weights in bfloat16.

    python -m benchmarks.on_gpu [--lengths 8192 32768] [--no-blocks] [--small]

First one layer's attention (32 heads, 8 KV heads, width 128): the library's fused attention that measures nothing, blocks
of rows, two fused calls, and the kernels; with what each gets wrong against blocks in float32. Then whole passes of 32
layers: a forward with logits, and runs of ours by blocks and by kernels. Times are medians by the device's own clock,
memory is what lies beyond inputs and weights. ``--small`` runs a tiny shape on any device to see that it works.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from analysis.forward import attention as blocks
from analysis.forward.attention_way import kernels_for
from analysis.forward.row_sums import Attended

HEADS, GROUPS, WIDTH, LAYERS, HIDDEN, INNER, VOCABULARY = 32, 8, 128, 32, 4096, 14336, 128256


def measured(work: Callable[[], Any], turns: int) -> tuple[float, float, Any]:
    """Median milliseconds of some turns after one more, MiB at the peak beyond what was there, and what came out."""
    if not torch.cuda.is_available():
        begin = time.perf_counter()
        kept = work()
        return (time.perf_counter() - begin) * 1e3, 0.0, kept
    work()
    torch.cuda.synchronize()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before, found, kept = torch.cuda.memory_allocated(), [], None
    for _ in range(turns):
        kept = None  # as nobody holds two of them
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        kept = work()
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end))
    return statistics.median(found), (torch.cuda.max_memory_allocated() - before) / 2**20, kept


def two_fused_calls(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Output, row entropies and column sums from torch's fused attention alone.

    Values [v | k] give the mean score of every row, and with it the entropy. The transposed call swaps queries and keys
    and turns the order round: the logarithm of its normaliser is that of the column sum, once each row's own normaliser
    is taken off its scores, in two numbers of 16 bits.
    """
    heads, n, width = query.shape
    repeated = lambda x: x.repeat_interleave(heads // len(x), 0)  # noqa: E731
    key, value = repeated(key), repeated(value)
    fused = torch.ops.aten._scaled_dot_product_flash_attention
    wide = [pad(x, (0, width))[None] for x in (query, key)]
    out = fused(*wide, torch.cat([value, key], -1)[None], is_causal=True, scale=scale)
    mixed, normaliser = out[0][0], out[1][0][:, :n]
    mean = (query.float() * mixed[..., width:].float()).sum(-1) * scale
    entropy = normaliser - mean
    rest = -normaliser / scale
    high = rest.to(query.dtype)
    low = (rest - high.float()).to(query.dtype)
    from_keys = torch.cat([key, torch.ones_like(key[..., :2]), torch.zeros_like(key[..., :6])], -1).flip(1)[
        None
    ]
    from_rows = torch.cat(
        [query, high[..., None], low[..., None], torch.zeros_like(query[..., :6])], -1
    ).flip(1)[None]
    columns = fused(from_keys, from_rows, from_rows, is_causal=True, scale=scale)[1][0][:, :n].exp()
    return mixed[..., :width], entropy, columns.flip(1)


def differences(found: Attended, exact: Attended) -> str:
    """Largest ones of entropy (nats), column sums (as a share of the largest), first key, output (as a share)."""
    pairs = [
        (found.entropy, exact.entropy, 1.0),
        (found.columns, exact.columns, float(exact.columns.abs().max())),
        (found.first_key, exact.first_key, 1.0),
        (found.output.float(), exact.output.float(), float(exact.output.float().abs().max())),
    ]
    return " | ".join(f"{float((a.double() - b.double()).abs().max()) / scale:.1e}" for a, b, scale in pairs)


def one_layer(n: int, device: str, small: bool) -> None:
    """Attention of one layer by every way."""
    heads, groups, width = (4, 2, 64) if small else (HEADS, GROUPS, WIDTH)
    generator = torch.Generator(device).manual_seed(0)

    def draw(count: int) -> Tensor:
        numbers = torch.randn(1, n, count, width, generator=generator, device=device)
        return numbers.transpose(1, 2).bfloat16()

    query, key, value = draw(heads) * 2, draw(groups), draw(groups)
    scale, ones = width**-0.5, torch.ones(n, 1, device=device)
    given = {"scale": scale, "weightings": ones}
    ways: dict[str, Callable[[], Any]] = {
        "fused, nothing measured": lambda: scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        ),
        "blocks": lambda: blocks.attend(query[0], key[0], value[0], **given),
    }
    fused = kernels_for(query[0], key[0], value[0])
    if device == "cuda":
        ways["two fused calls"] = lambda: two_fused_calls(query[0], key[0], value[0], scale)
    if fused is not None:
        ways["kernels"] = lambda: fused(query[0], key[0], value[0], **given)
    print(
        f"\nOne layer, {n:,} tokens\n\n| way | ms | / fused | MiB | entropy | columns | first key | output |"
    )
    print("|" + " --- |" * 8)
    plain = 0.0
    floats = [x[0].float() for x in (query, key, value)]
    exact = blocks.attend(*floats, **given)
    for name, work in ways.items():
        try:
            spent, room, found = measured(work, 5)
            plain = plain or spent
            wrong = ""
            if isinstance(found, Attended):
                wrong = differences(found, exact)
            elif isinstance(found, tuple):
                output, entropy, columns = found
                wrong = differences(
                    replace(exact, output=output, entropy=entropy, columns=columns[:, None]), exact
                )
            print(f"| {name} | {spent:.2f} | {spent / plain:.2f} | {room:,.0f} | {wrong} |", flush=True)
        except Exception as error:  # noqa: BLE001 - one way that fails does not end the others
            print(f"| {name} | {type(error).__name__}: {str(error)[:200]} |", flush=True)


def large_model(device: str, small: bool) -> Any:
    """A random Llama of 8 billion weights, as if it had been loaded."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_models.unusual import language_model

    sizes = (128, 256, 2, 4, 2, 512) if small else (HIDDEN, INNER, LAYERS, HEADS, GROUPS, VOCABULARY)
    hidden, inner, layers, heads, groups, vocabulary = sizes
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=groups, vocab_size=vocabulary, max_position_embeddings=131072,
        attn_implementation="sdpa", dtype=torch.bfloat16,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    loaded = language_model(model, "8B-shaped" if not small else "small")
    from analysis.models.speed import Speed

    loaded.speed = Speed.measure(loaded.anatomy.head.weight.device, torch.bfloat16)
    loaded.info = replace(loaded.info, context_length=131072, device=device, device_name=device)
    return loaded


def whole_passes(lengths: list[int], device: str, small: bool, blocks_too: bool) -> None:
    """A forward with logits beside runs."""
    import analysis as an
    from benchmarks.ways import text_of

    begin = time.perf_counter()
    model = large_model(device, small)
    print(
        f"\nmodel made in {time.perf_counter() - begin:.1f} s, {model.info.n_parameters / 1e9:.2f} billion weights"
    )
    for n in lengths:
        text = text_of(model.tokenizer, n)
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"].to(device)

        def forward(ids: Tensor = ids) -> Any:
            with torch.inference_mode():
                return model.model(input_ids=ids, use_cache=False).logits

        def run(text: str = text, **options: Any) -> Any:
            return an.trace(model, text, **options)

        print(
            f"\nWhole passes, {n:,} tokens\n\n| pass | ms | / forward | MiB | what came out |\n|"
            + " --- |" * 5
        )
        plain = 0.0
        ways = {
            "forward with logits": forward,
            "run without attention": lambda: run(attention=False, spectra=False),
            "run by kernels": lambda: run(spectra=False),
            "run as by default": run,
            "run by blocks": lambda: run(spectra=False),
        }
        if small or n > 16384:
            del ways["run as by default"]
        if not blocks_too:
            del ways["run by blocks"]
        for name, work in ways.items():
            try:
                way = kernels_for if name != "run by blocks" else lambda *_: None
                with patch("analysis.forward.attention_adapter.kernels_for", way):
                    spent, room, found = measured(work, 1 if n > 16384 else 3)
                plain = plain or spent
                about = ""
                if hasattr(found, "checks"):
                    failed = [c for c in found.checks if not c.passed]
                    about = f"entropy {float(found.tokens.entropy[1:].mean()):.6f}; failed checks {failed}"
                    if found.attention is not None:
                        about += f"; row entropy {float(found.attention.entropy.mean()):.6f}"
                print(f"| {name} | {spent:.0f} | {spent / plain:.2f} | {room:,.0f} | {about} |", flush=True)
                del found
            except Exception as error:  # noqa: BLE001
                print(f"| {name} | {type(error).__name__}: {str(error)[:300]} |", flush=True)
    waits(model, text_of(model.tokenizer, min(lengths)), device)


def waits(model: Any, text: str, device: str) -> None:
    """Where a run asks the device for something while it goes."""
    import warnings

    import analysis as an

    if device != "cuda":
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        an.trace(model, text, spectra=False)
        torch.cuda.set_sync_debug_mode("default")
    places: dict[str, int] = {}
    for warning in caught:
        if "synchroniz" in str(warning.message):
            place = f"{warning.filename.split('/analysis/')[-1].split('site-packages/')[-1]}:{warning.lineno}"
            places[place] = places.get(place, 0) + 1
    print(f"\nsynchronising calls in a run: {sum(places.values())}")
    for place, count in sorted(places.items(), key=lambda item: -item[1])[:25]:
        print(f"  {count:4d} {place}")


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[8192, 32768])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--no-blocks", action="store_true", help="leave out whole runs by blocks, a minute")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name(0) if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")
    for n in asked.lengths:
        with torch.inference_mode():
            one_layer(n, device, asked.small)
    whole_passes(asked.lengths, device, asked.small, not asked.no_blocks)


if __name__ == "__main__":
    main()
