"""Runs as large as those of the embedded model, made of random numbers, which no file makes smaller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.results.attention import AttentionTrace
from analysis.results.trace import Trace
from tests.figures.synthetic import run


def with_heads(trace: Trace, layers: int, heads: int, seed: int = 0) -> Trace:
    """The run with attention."""
    n, rng = len(trace.tokens), np.random.default_rng(seed)
    per_head, per_value = np.zeros((layers, heads), np.float32), np.ones((layers, 1, n), np.float32)
    attention = AttentionTrace(
        entropy=np.zeros((layers, heads, n), np.float32),
        received=rng.uniform(0, 1, (layers, heads, n)).astype(np.float32),
        sink_mass=per_head, sink_baseline=np.zeros(layers, np.float32), distance=per_head,
        value_norm=per_value, key_norm=per_value, window=np.zeros(layers, np.int32),
    )  # fmt: skip
    return replace(trace, attention=attention, spec=replace(trace.spec, n_layers=layers))


def full_size(n: int) -> Trace:
    """A run as large as one of the embedded model with its lens, and harder to make small."""
    rng = np.random.default_rng(2)
    names = {i: "".join(map(chr, rng.integers(97, 123, 6))) for i in range(20_000)}
    trace = run(n, lens=tuple(range(31)))
    tokens = replace(
        trace.tokens,
        names=names,
        top_ids=rng.integers(0, len(names), (n, 10)),
        top_logprobs=rng.normal(-4, 2, (n, 10)).astype(np.float32),
    )
    layers = replace(trace.layers, lens_top_ids=rng.integers(0, len(names), (31, n)))
    return with_heads(replace(trace, tokens=tokens, layers=layers), 30, 9)
