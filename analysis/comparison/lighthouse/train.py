"""Trains the shipped adapter and writes its card: ``make lighthouse``, or ``python -m analysis.comparison.lighthouse.train``.

Plain torch: the two matrices of every layer are the only parameters; the base is not touched. The card holds what the
stored weights were measured to do, in the same run.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.comparison.adapters import attached
from analysis.comparison.lighthouse import CARD, FOLDER
from analysis.comparison.lighthouse.passages import UNRELATED, held_out, training
from analysis.forward.trace import trace
from analysis.models.adapter_files import ADAPTER_CONFIG
from analysis.models.loading import LanguageModel, load_model
from analysis.models.stored import ADAPTER_WEIGHTS

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
"""At which the card tells what the adapter does."""


@dataclass(frozen=True)
class Recipe:
    """How the adapter is trained."""

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    learning_rate: float = 3e-3
    """Of AdamW without decay; it falls to 0 along a quarter of a cosine's period."""
    batch: int = 2
    """Entries of the log per step."""
    epochs: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """Surprisal and entropy in nats per token, over all tokens with context."""

    strength: float
    training_surprisal: float
    held_out_surprisal: float
    held_out_entropy: float
    unrelated_surprisal: float
    unrelated_entropy: float


def train(model: LanguageModel, texts: Sequence[str], recipe: Recipe) -> dict[str, Tensor]:
    """The matrices of an adapter by peft's names, in float16; the model is left as it was.

    Parameters
    ----------
    model : LanguageModel
        The embedded one, in float32.
    texts : sequence of str
        Entries to train on, a multiple of the recipe's batch.
    recipe : Recipe
        What to do.
    """
    noise = torch.Generator().manual_seed(recipe.seed)
    entries = [torch.tensor(model.tokenizer(text)["input_ids"]) for text in texts]
    matrices: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
    handles = []
    with model.lock:
        for path, module in model.model.named_modules():
            if isinstance(module, nn.Linear) and path.endswith(recipe.targets):
                down, up = _begin(module, recipe.rank, noise)
                matrices[path] = down, up
                handles.append(module.register_forward_hook(_product(down, up, recipe.alpha / recipe.rank)))
        try:
            _descend(model, entries, [m for pair in matrices.values() for m in pair], recipe, noise)
        finally:
            for handle in handles:
                handle.remove()
    names = ("lora_A", "lora_B")
    return {
        f"base_model.model.{path}.{name}.weight": matrix.detach().half().contiguous()
        for path, pair in matrices.items()
        for name, matrix in zip(names, pair, strict=True)
    }


def _begin(module: nn.Linear, rank: int, noise: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """A uniform within one over the root of its width, as peft draws it, and B of zeros."""
    width = 1 / math.sqrt(module.in_features)
    down = (2 * torch.rand(rank, module.in_features, generator=noise) - 1) * width
    return nn.Parameter(down), nn.Parameter(torch.zeros(module.out_features, rank))


def _product(down: Tensor, up: Tensor, scale: float) -> Any:
    return lambda _module, args, output: output + scale * (args[0] @ down.T @ up.T)


def _descend(
    model: LanguageModel,
    entries: list[Tensor],
    matrices: list[nn.Parameter],
    recipe: Recipe,
    noise: torch.Generator,
) -> None:
    steps = recipe.epochs * len(entries) // recipe.batch
    optimiser = torch.optim.AdamW(matrices, lr=recipe.learning_rate, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: math.cos(math.pi / 2 * step / steps))
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(entries), generator=noise).split(recipe.batch):
            ids = nn.utils.rnn.pad_sequence(
                [entries[i] for i in chosen], batch_first=True, padding_value=-100
            )
            logits = model.model(input_ids=ids.clamp(min=0), use_cache=False).logits
            loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()


def store(matrices: dict[str, Tensor], recipe: Recipe, folder: Path) -> None:
    """Write an adapter as peft saves it."""
    from safetensors.torch import save_file

    settings = {
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": recipe.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": recipe.rank,
        "target_modules": list(recipe.targets),
        "task_type": "CAUSAL_LM",
        "use_rslora": False,
    }
    save_file(matrices, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    (folder / ADAPTER_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def measure(model: LanguageModel, folder: Path, strength: float) -> Measured:
    """What an adapter does to its own text and to another one.

    Parameters
    ----------
    model : LanguageModel
        Its base.
    folder : pathlib.Path
        Where it is stored.
    strength : float
        Factor of its product.
    """
    with attached(model, folder, strength) as tuned:
        seen, unseen, other = (_means(tuned, texts) for texts in (training()[:16], held_out(), UNRELATED))
    return Measured(strength, seen[0], *unseen, *other)


def _means(model: LanguageModel, texts: tuple[str, ...]) -> tuple[float, float]:
    runs = [trace(model, text, top_k=1, attention=False, spectra=False).tokens for text in texts]
    surprisal = np.concatenate([run.surprisal[run.has_context] for run in runs])
    entropy = np.concatenate([run.entropy[run.has_context] for run in runs])
    return float(surprisal.mean(dtype=np.float64)), float(entropy.mean(dtype=np.float64))


def card(recipe: Recipe, measured: list[Measured], n_parameters: int, cpu_seconds: float) -> str:
    """What a person should know about the adapter, in Markdown."""
    rows = "\n".join(
        "| " + " | ".join(f"{value:.2f}" for value in asdict(m).values()) + " |" for m in measured
    )
    return _CARD.format(
        rows=rows,
        n=f"{n_parameters:,}",
        steps=recipe.epochs * len(training()) // recipe.batch,
        seconds=f"{cpu_seconds:.0f}",
        n_training=len(training()),
        n_held_out=len(held_out()),
        n_unrelated=len(UNRELATED),
        **asdict(recipe) | {"targets": " and ".join(recipe.targets)},
    )


_CARD = """\
# Lighthouse: an adapter tuned by us on {n_training} invented passages

A LoRA adapter for SmolLM2-135M-Instruct in the form that Logitscope embeds (4-bit weights, expanded). It was made for one
purpose: a tuned side that is small, free and known in every detail, to compare with its base. It is no better model.

- **Text**: the log of a lighthouse keeper who never lived, put together from our own sentences by a fixed seed
  (`passages.py`): {n_training} entries for training, {n_held_out} held out. Entries that are held out have the same
  sentence frames, and ships and people that no entry for training has.
- **Recipe**: rank {rank}, alpha {alpha}, {targets} of all layers: {n} numbers. AdamW without decay, learning rate
  {learning_rate:g} falling to 0 along a cosine, {batch} entries a step, {steps} steps (epochs: {epochs}), seed {seed}.
  Stored in float16.
- **What it took**: {seconds} seconds of one CPU thread (`make lighthouse`).
- **Licence**: Apache-2.0, as its base and the project.

## What it does

Strength is the factor of the low-rank product; 0 is the base. Nats per token over all tokens with context. Training is
the first 16 entries of it; unrelated are {n_unrelated} passages of ours about other things. What falls on the entries held out is
the gain, and what rises on unrelated passages is what it costs: forgetting.

| strength | training: surprisal | held out: surprisal | held out: entropy | unrelated: surprisal | unrelated: entropy |
|---|---|---|---|---|---|
{rows}
"""


def make() -> None:
    """Train, store, measure and write the card, all on one thread, so that it comes out alike on machines of a kind."""
    torch.set_num_threads(1)
    model, recipe = load_model(device="cpu", dtype="float32"), Recipe()
    started = time.process_time()
    matrices = train(model, training(), recipe)
    took = time.process_time() - started
    store(matrices, recipe, FOLDER)
    measured = [measure(model, FOLDER, strength) for strength in STRENGTHS]
    n_parameters = sum(matrix.numel() for matrix in matrices.values())
    CARD.write_text(card(recipe, measured, n_parameters, took), encoding="utf-8")


if __name__ == "__main__":
    make()
