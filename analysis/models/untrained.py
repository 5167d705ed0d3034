"""The untrained twin: the same architecture and tokenizer with random weights."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch

from analysis.models.anatomy import find_anatomy
from analysis.models.loading import LanguageModel


def untrained_twin(model: LanguageModel, *, seed: int = 0) -> LanguageModel:
    """Build the model again from its config, with the library's random initial weights.

    Parameters
    ----------
    model : LanguageModel
        The trained one; untouched.
    seed : int, default 0
        Of the weights.

    Returns
    -------
    LanguageModel
        On the same device, in the same precision, with the same tokenizer.
    """
    from transformers import AutoModelForCausalLM

    # A config of its own: a measured run swaps the attention that is written there.
    config = deepcopy(model.model.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    twin = twin.to(device=model.anatomy.head.weight.device, dtype=model.model.dtype).eval()
    twin.requires_grad_(False)
    anatomy = find_anatomy(twin)
    info = replace(
        model.info,
        name=f"{model.info.name}, untrained (seed {seed})",
        head_error=anatomy.head_error,
        weights="",
        notes=("Random weights.",),
    )
    return LanguageModel(twin, model.tokenizer, model.spec, info, anatomy, model.speed)
