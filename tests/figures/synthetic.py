"""Runs made of seeded random numbers, so that a figure can be tested without a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.drawing.strip import Strip
from analysis.drawing.theme import amount_ramp
from analysis.results.layers import LayerTrace
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Trace, TraceSpec

VOCAB = 1000
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<b>bold</b>",
    "<|im_end|>",
    "</script><script>alert(1)</script>",
    "![](https://evil.example/x.png)",
    "&lt;",
    "a\nb\tc d",
    "\ud800",
    "'\"\\",
)


def data_of(spec: dict[str, Any], layer: dict[str, Any]) -> pd.DataFrame:
    """Numbers behind one layer of an Altair chart's spec."""
    return pd.DataFrame(spec["datasets"][(layer.get("data") or spec["data"])["name"]])


def strip_of(texts: list[str], cell: list[int] | None = None, **more: Any) -> Strip:
    """A strip of rising values, a token per text or per entry of ``cell``."""
    n = len(cell) if cell is not None else len(texts)
    base = {
        "title": "Entropy",
        "unit": "nats",
        "values": np.linspace(0, 7, n, dtype="f4"),
        "cell": np.arange(n, dtype="i4") if cell is None else np.array(cell, "i4"),
        "cell_text": tuple(texts),
        "flags": np.zeros(n, "u1"),
        "low": 0.0,
        "high": 7.0,
        "light": amount_ramp("token_entropy", "light"),
        "dark": amount_ramp("token_entropy", "dark"),
    }
    return Strip(**{**base, **more})


def token_trace(n: int, texts: tuple[str, ...] = ("alpha", " beta", "\n"), seed: int = 0) -> TokenTrace:
    """A text of n tokens; the first has no context."""
    rng = np.random.default_rng(seed)

    def values(low: float, high: float) -> np.ndarray:
        out = rng.uniform(low, high, n).astype(np.float32)
        out[0] = np.nan
        return out

    rank = rng.integers(1, VOCAB, n).astype(np.int32)
    rank[0] = 0
    ids = np.arange(n) % len(texts)
    text = tuple(texts[i] for i in ids)
    ends = np.cumsum([len(t) for t in text]).astype(np.int32)
    top_ids = np.stack([(ids + k) % len(texts) for k in range(3)], axis=1).astype(np.int64)
    top_ids[0] = -1
    return TokenTrace(
        token_id=ids.astype(np.int64),
        text=text,
        start=np.concatenate([[0], ends[:-1]]).astype(np.int32),
        end=ends,
        n_bytes=np.ones(n, np.int32),
        is_special=np.zeros(n, bool),
        cell=np.arange(n, dtype=np.int32),
        cell_text=text,
        context=np.arange(n, dtype=np.int32),
        surprisal=values(0.0, 9.0),
        entropy=values(0.0, 5.0),
        varentropy=values(0.0, 6.0),
        max_prob=values(0.0, 1.0),
        rank=rank,
        top_ids=top_ids,
        top_logprobs=np.full((n, 3), -1.5, np.float32),
        names=dict(enumerate(texts)),
    )


def run(n: int = 60, *, lens: tuple[int, ...] | None = (0, 2, 4), **more: object) -> Trace:
    """A run of n tokens on a model of four layers."""
    tokens = token_trace(n, **more)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    layers = LayerTrace(residual_norm=np.ones((5, n), np.float32))
    if lens is not None:
        entropy = rng.uniform(0.1, 5, (len(lens), n)).astype(np.float32)
        entropy[:, 0] = np.nan
        entropy[-1] = tokens.entropy
        kl = rng.uniform(0.1, 8, (len(lens), n)).astype(np.float32)
        kl[:, 0] = np.nan
        kl[-1, 1:] = 0
        top = rng.integers(0, len(tokens.names), (len(lens), n)).astype(np.int64)
        top[:, 0] = -1
        ranks = rng.integers(1, VOCAB, (len(lens), n)).astype(np.int32)
        ranks[:, 0] = 0
        layers = LayerTrace(
            residual_norm=layers.residual_norm,
            lens_layers=np.array(lens, np.int32),
            lens_entropy=entropy,
            lens_kl=kl,
            lens_top_ids=top,
            lens_rank=ranks,
        )
    spec = TraceSpec(
        "some <b>model</b>", "x", "r", "float32", "a device", "0" * 64, n, VOCAB, 4, lens_layers=lens or ()
    )
    nothing = NextToken(1.0, 1.0, 0.5, np.zeros(3, np.int64), np.zeros(3, np.float32))
    return Trace(spec, "".join(tokens.text), tokens, nothing, layers, checks=())
