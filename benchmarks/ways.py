"""What one gets out of a model over n tokens, and how: each way in a process of its own, see `benchmarks.passes`.

The last two run in the environment that `make peers` makes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import serve

ROOT = Path(__file__).resolve().parents[1]
_PROSE = ("DECISIONS.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md")


def text_of(tokenizer: Any, n_tokens: int) -> str:
    """The project's own words, exactly so many tokens; prose that repeats itself has other spectra, and ties."""
    whole = "\n".join((ROOT / name).read_text() for name in _PROSE)
    text: str = tokenizer.decode(tokenizer(whole)["input_ids"][:n_tokens])
    assert len(tokenizer(text)["input_ids"]) == n_tokens
    return text


def ours(spectra: bool) -> Callable[[int], Any]:
    """A whole run, as the app makes it."""
    import analysis as an

    model = an.load_model(device="cpu")
    model.info = replace(model.info, context_length=None)  # 16k tokens are more than this model was built for

    def run(n: int) -> None:
        trace = an.trace(model, text_of(model.tokenizer, n), spectra=spectra)
        assert len(trace.tokens) == n and trace.attention is not None
        assert (trace.layers.spectrum is not None) == spectra

    return run


def library(folder: str, attention: str) -> tuple[Any, Callable[[int], Any]]:
    """The library's model in float32, and token ids."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_grad_enabled(False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    how = {"dtype": torch.float32, "attn_implementation": attention}
    model = AutoModelForCausalLM.from_pretrained(folder, **how).eval()
    return model, lambda n: tokenizer(text_of(tokenizer, n), return_tensors="pt")["input_ids"]


def forward(folder: str) -> Callable[[int], Any]:
    """Logits of every token, and nothing done with them."""
    model, ids = library(folder, "sdpa")

    def run(n: int) -> None:
        model(input_ids=ids(n), use_cache=False)

    return run


def dense(folder: str) -> Callable[[int], Any]:
    """What one would write: whole logits, their log-softmax, and what it says about every token."""
    model, ids = library(folder, "sdpa")

    def run(n: int) -> float:
        tokens = ids(n)
        log_probs = model(input_ids=tokens, use_cache=False).logits[0].float().log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        of_target = log_probs[:-1].gather(-1, tokens[0, 1:, None])
        (log_probs[:-1] > of_target).sum(-1)
        log_probs.topk(10)
        return float(entropy.mean())

    return run


def eager(folder: str) -> Callable[[int], Any]:
    """Every attention map kept, then reduced to the entropy of rows, attention received, sink mass and distance."""
    import torch

    model, ids = library(folder, "eager")

    def run(n: int) -> float:
        out = model(input_ids=ids(n), use_cache=False, output_attentions=True)
        position = torch.arange(n)
        entropies = []
        for layer in out.attentions:
            weights = layer[0]
            entropies.append(-torch.special.xlogy(weights, weights).sum(-1))
            weights.sum(1) / (n - position)
            weights[:, 1:, 0].mean(-1)
            (weights * (position[:, None] - position)).sum((1, 2)) / (n - 1)
        return float(torch.stack(entropies).mean())

    return run


def transformer_lens(folder: str) -> Callable[[int], Any]:
    """All activations by TransformerLens: `HookedTransformer` knows no SmolLM2, its newer bridge takes the folder."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    _, ids = library(folder, "eager")
    torch.set_grad_enabled(False)
    model = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32)

    def run(n: int) -> dict[str, int]:
        _logits, cache = model.run_with_cache(ids(n))
        return {"activations": len(cache)}

    return run


def bertviz(folder: str) -> Callable[[int], Any]:
    """Attention of every head as BertViz's page: a forward that keeps it, and HTML. Hands over its bytes."""
    from bertviz import head_view

    model, ids = library(folder, "eager")

    def run(n: int) -> dict[str, int]:
        tokens = ids(n)
        out = model(input_ids=tokens, use_cache=False, output_attentions=True)
        page = head_view(out.attentions, [str(i) for i in tokens[0].tolist()], html_action="return").data
        return {"bytes": len(page.encode())}

    return run


WAYS: dict[str, Callable[[str], Callable[[int], Any]]] = {
    "run": lambda _folder: ours(True),
    "run without spectra": lambda _folder: ours(False),
    "forward": forward,
    "dense": dense,
    "eager": eager,
    "TransformerLens": transformer_lens,
    "BertViz": bertviz,
}


if __name__ == "__main__":
    way, folder = sys.argv[1:]
    run = WAYS[way](folder)
    if way not in ("run", "BertViz"):  # the first run of a process is a row of its own; a page has no warm-up
        run(16)
    serve(run)
