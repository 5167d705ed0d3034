"""A model of two tokens whose every probability is known by hand: what comes depends on the last token alone."""

from __future__ import annotations

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from analysis.models.loading import LanguageModel
from tests.tiny_models.unusual import language_model

A, B = 34, 35
"""Ids of two letters."""
AFTER = {A: {A: 1 / 4, B: 3 / 4}, B: {A: 2 / 3, B: 1 / 3}}
"""Probability of each after each; all other tokens have none."""
_WIDTH = 16
_NOTHING = -60.0
"""Logit of the others: exp of it is 1e-26."""


def entropy_after(token: int) -> float:
    """Nats."""
    return -sum(p * math.log(p) for p in AFTER[token].values())


def varentropy_after(token: int) -> float:
    """Nats squared: ``sum p (ln p)^2 - H^2``."""
    return sum(p * math.log(p) ** 2 for p in AFTER[token].values()) - entropy_after(token) ** 2


def chain_model(context_length: int = 1536) -> LanguageModel:
    """One layer that adds nothing; embeddings are unit vectors, which the norm stretches by the root of the width."""
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=context_length,
        rms_norm_eps=1e-30,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    layer = model.model.layers[0]
    layer.self_attn.o_proj.weight.zero_()
    layer.mlp.down_proj.weight.zero_()
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    embedding.zero_()
    embedding[:, 2] = 1.0
    head.fill_(_NOTHING / math.sqrt(_WIDTH))
    for place, (token, following) in enumerate(AFTER.items()):
        embedding[token] = torch.eye(_WIDTH)[place]
        for other, p in following.items():
            head[other, place] = math.log(p) / math.sqrt(_WIDTH)
    loaded = language_model(model, "chain")
    loaded.info = loaded.info.__class__(**vars(loaded.info) | {"context_length": context_length})
    return loaded
